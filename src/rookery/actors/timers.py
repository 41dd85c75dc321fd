"""One timer wheel for all deadlines of a node.

A deadline costs one entry and no callback of the event loop. Deadlines are kept by the tick of
an eighth of a second, rounded up: nothing is ever due early, and what is due late is late by a tick
and the time until ``advance`` is called. A deadline that moved is not rescheduled: when the old one
is due its owner looks at its state and schedules itself again. An owner that ends gives up its deadline,
which would keep it in memory until then.
"""

from collections.abc import Callable
from typing import Final, Protocol

TICKS_PER_SECOND: Final = 8
TICK_SECONDS: Final = 1 / TICKS_PER_SECOND


# Compiled classes name it as a base: mypyc calls those directly, and others as Python does.
class Timed(Protocol):
    """Something that waits for a time."""

    def due(self, now: float) -> None:
        """The time has come, or had been going to come before the owner changed its mind."""


class Timers:
    """Deadlines by the tick on the monotonic clock.

    One that fails is told to ``failed``; it spoils no other.
    """

    def __init__(self, now: float, failed: Callable[[Timed, Exception], None]) -> None:
        self._failed = failed
        self._slots: dict[int, dict[Timed, bool]] = {}
        self._tick: int = int(now * TICKS_PER_SECOND)
        self._leftover: list[Timed] = []

    @property
    def waiting(self) -> int:
        """How many deadlines are kept."""
        return sum(len(slot) for slot in self._slots.values()) + len(self._leftover)

    def at(self, when: float, timed: Timed) -> None:
        """Call ``timed.due`` once the clock has reached ``when``."""
        tick = int(when * TICKS_PER_SECOND) + 1
        if tick <= self._tick:
            tick = self._tick + 1
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = {timed: True}
        else:
            slot[timed] = True

    def give_up(self, when: float, timed: Timed) -> None:
        """Forget what ``at`` was told for this time; what is due by now may come all the same."""
        tick = int(when * TICKS_PER_SECOND) + 1
        slot = self._slots.get(tick)
        if slot is not None:
            slot.pop(timed, None)
            if not slot:
                del self._slots[tick]

    def advance(self, now: float, count_max: int) -> bool:
        """Call at most ``count_max`` that are due; True when more are, for the next turn."""
        current = int(now * TICKS_PER_SECOND)
        while self._tick < current and len(self._leftover) < count_max:
            self._tick += 1
            slot = self._slots.pop(self._tick, None)
            if slot is not None:
                self._leftover.extend(slot.keys())
        batch = self._leftover[:count_max]
        del self._leftover[:count_max]
        for timed in batch:
            try:
                timed.due(now)
            except Exception as error:  # noqa: BLE001 - the supervisor's boundary
                self._failed(timed, error)
        return len(self._leftover) > 0 or self._tick < current
