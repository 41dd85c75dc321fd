"""How much of a turn goes to TLS handshakes: a storm of new clients must not stop the traffic of the others.

A handshake is the one thing a link does that computes for a millisecond or more. So a turn works on a few;
the other links that are shaking hands wait, unread and in the order in which they came, and the next
turn begins with them. The time that a link waits here is not counted against its deadline.
"""

from collections import deque
from typing import Final

from rookery.net.pollable import Pollable
from rookery.ports import Clock

STEPS_PER_TURN_MAX: Final = 16
"""Reads of links that are shaking hands; a handshake takes two or three, and the first does the work."""
SECONDS_PER_TURN_MAX: Final = 0.003
"""No step is begun after so long; one step of RSA with 4096 bits takes longer than this by itself."""


class HandshakeCounts:
    """What became of the handshakes of one listener."""

    def __init__(self) -> None:
        self.done: int = 0
        self.resumed: int = 0
        """Of those done, the ones that took up an earlier session."""
        self.failed: int = 0


class Handshakes:
    """The handshakes of all listeners."""

    def __init__(self, clock: Clock) -> None:
        self.waiting: deque[Pollable] = deque()
        self.counts: dict[str, HandshakeCounts] = {}
        """By listener."""
        self._clock = clock
        self._steps: int = 0
        self._seconds: float = 0.0
        self._began: float = 0.0

    def begin_turn(self, now: float) -> None:
        """Go on with those that wait, as far as the turn goes."""
        self._steps = 0
        self._seconds = 0.0
        waiting = self.waiting
        while waiting and self.may_step():
            waiting.popleft().work(now)

    def may_step(self) -> bool:
        """Whether this turn has room for another step."""
        return self._steps < STEPS_PER_TURN_MAX and self._seconds < SECONDS_PER_TURN_MAX

    def begin_step(self) -> None:
        """A step begins."""
        self._steps += 1
        self._began = self._clock.monotonic()

    def end_step(self) -> None:
        """It ended."""
        self._seconds += self._clock.monotonic() - self._began

    def of(self, listener: str) -> HandshakeCounts:
        """The counts of a listener."""
        counts = self.counts.get(listener)
        if counts is None:
            counts = HandshakeCounts()
            self.counts[listener] = counts
        return counts
