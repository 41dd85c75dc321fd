"""One timer wheel for all deadlines of a node.

A deadline costs one list entry and no callback of the event loop. Deadlines are kept by the whole
second, rounded up: nothing is ever due early, and at most about a second late. A deadline that moved
is not rescheduled: when the old one is due its owner looks at its state and schedules itself again.
"""

from mypy_extensions import trait


@trait
class Timed:
    """Something that waits for a time."""

    def due(self, now: float) -> None:
        """The time has come, or had been going to come before the owner changed its mind."""
        raise NotImplementedError


class Timers:
    """Deadlines by the second on the monotonic clock."""

    def __init__(self, now: float) -> None:
        self._slots: dict[int, list[Timed]] = {}
        self._second: int = int(now)
        self._leftover: list[Timed] = []

    def at(self, when: float, timed: Timed) -> None:
        """Call ``timed.due`` once the clock has reached ``when``."""
        second = int(when) + 1
        if second <= self._second:
            second = self._second + 1
        slot = self._slots.get(second)
        if slot is None:
            self._slots[second] = [timed]
        else:
            slot.append(timed)

    def advance(self, now: float, count_max: int) -> bool:
        """Call at most ``count_max`` that are due; True when more are, for the next turn."""
        current = int(now)
        while self._second < current and len(self._leftover) < count_max:
            self._second += 1
            slot = self._slots.pop(self._second, None)
            if slot is not None:
                self._leftover.extend(slot)
        batch = self._leftover[:count_max]
        del self._leftover[:count_max]
        for timed in batch:
            timed.due(now)
        return len(self._leftover) > 0 or self._second < current
