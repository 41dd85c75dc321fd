"""Work of thousands of steps beside live traffic: a little between two turns, and no faster than the disk.

Whoever works counts what a step costs and pauses when that is enough. What it puts into commit groups is noted
here, so that it never runs far ahead of what is durable, and learns of a commit that failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rookery.engine.committer import Waiter

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

WORK_PER_SLICE_MAX: Final = 500
"""Steps of some microseconds each, so that a slice takes a few milliseconds at most."""
AHEAD_BYTES_MAX: Final = 2_097_152
"""Bytes of entries that may wait for the disk at a time."""


class CommitFailed(Exception):
    """Something of the work could not be made durable."""


class Slices(Waiter):
    """The slices of one piece of work."""

    def __init__(self, broker: Broker, failed: Callable[[], None]) -> None:
        """``failed`` is called as soon as a commit with something of the work has failed."""
        self.work_max: int = WORK_PER_SLICE_MAX
        self.ahead_bytes_max: int = AHEAD_BYTES_MAX
        self._broker = broker
        self._tell_failed = failed
        self._work: int = 0
        self._ahead: dict[int, int] = {}
        """By commit group that is not durable yet: the bytes of the work's entries in it."""
        self._failed: bool = False
        self._changed: asyncio.Future[None] | None = None

    def note(self, size_bytes: int) -> None:
        """Something was put into the open group, entries of so many bytes among it."""
        committer = self._broker.committer
        number = committer.must_keep()
        if number not in self._ahead:
            self._ahead[number] = 0
            committer.wait(number, self)
        self._ahead[number] += size_bytes

    def spend(self, work: int) -> bool:
        """So many steps were done; return whether it is time to ``pause``."""
        self._work += work
        return self._work >= self.work_max

    async def pause(self) -> None:
        """Let others have their turn. Raises ``CommitFailed``."""
        await self.rest()
        while not self._failed and sum(self._ahead.values()) > self.ahead_bytes_max:
            await self._change()
        self._check()

    async def rest(self) -> None:
        """The same where nothing may stop the work."""
        self._work = 0
        self._broker.request_turn()
        await asyncio.sleep(0)

    async def durable(self) -> None:
        """Wait until all that was noted is durable. Raises ``CommitFailed``."""
        self._work = 0
        self._broker.request_turn()
        while not self._failed and self._ahead:
            await self._change()
        self._check()

    def committed(self, group: int, error: Exception | None) -> None:
        """A group is durable, or none of its messages was taken."""
        self._ahead.pop(group, None)
        if error is not None and not self._failed:
            self._failed = True
            self._tell_failed()
        if self._changed is not None:
            if not self._changed.done():
                self._changed.set_result(None)
            self._changed = None

    def room(self) -> None:
        """Never asked for."""

    async def _change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def _check(self) -> None:
        if self._failed or self._broker.committer.failing:
            raise CommitFailed("the store takes no messages now")
