"""Work for the loop that comes in crowds: done at once, but only so much of it at a stretch.

Checking a signature takes between 30 and 800 us, holds the interpreter all the while, and so gains
nothing from a thread. When a thousand clients come back together, what is beyond a slice waits in line,
and between two slices the loop serves everybody else.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from rookery.ports import Clock

SLICE_SECONDS: Final = 0.002

Result = TypeVar("Result")


class LineFull(Exception):
    """As many wait already as may."""


class Slices(Generic[Result]):
    """The line of one kind of work."""

    def __init__(self, clock: Clock, waiting_max: int) -> None:
        self._clock = clock
        self._waiting_max = waiting_max
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._spent_seconds = 0.0
        self._last_seconds = SLICE_SECONDS
        self._scheduled = False

    def run(self, work: Callable[[], Result]) -> Result | Awaitable[Result]:
        """Do it now where there is time left in this slice, else later; raises ``LineFull``."""
        self._schedule()
        if not self._waiting and self._spent_seconds < SLICE_SECONDS:
            return self._timed(work)
        if len(self._waiting) >= self._waiting_max:
            raise LineFull
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        return self._later(turn, work)

    async def _later(self, turn: asyncio.Future[None], work: Callable[[], Result]) -> Result:
        await turn
        return self._timed(work)

    def _timed(self, work: Callable[[], Result]) -> Result:
        began = self._clock.monotonic()
        try:
            return work()
        finally:
            self._last_seconds = self._clock.monotonic() - began
            self._spent_seconds += self._last_seconds

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_slice)

    def _next_slice(self) -> None:
        """Wake as many as fit, going by the last one."""
        self._scheduled = False
        self._spent_seconds = 0.0
        room = max(1, int(SLICE_SECONDS / max(self._last_seconds, 1e-6)))
        while self._waiting and room:
            turn = self._waiting.popleft()
            if not turn.done():  # Else whoever waited was cancelled.
                turn.set_result(None)
                room -= 1
        if self._waiting:
            self._schedule()
