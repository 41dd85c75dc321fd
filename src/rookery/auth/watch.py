"""Files that others change while the node runs: looked at a few times a second, read off the loop, applied on it.

One thread looks at all of them. What a read finds wrong leaves in force what was read before, is logged once,
and is tried again at every look until it is mended.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import structlog

log: Final = structlog.get_logger("rookery.auth")

LOOK_SECONDS: Final = 0.25
"""How soon a change takes effect, at most, beside the time it takes to read."""


class FileFault(Exception):
    """A file cannot be used; the text says which, why, and what to do."""


class Watched(Protocol):
    """A file, or what is in one. Both methods are called off the loop."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def version(self) -> object:
        """What differs after every change; cheap."""

    def read(self) -> Callable[[], None]:
        """Read all of it; the answer is then called on the loop and puts it into force.

        Raises ``FileFault``.
        """


def file_version(path: Path) -> tuple[int, int, int] | None:
    """The version of a plain file; ``None`` where there is none."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - a quarter of Path.stat's cost, four times a second
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


class _Entry:
    """One watched file and what was last seen of it."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.version: object = self  # Equal to no version there is.
        self.fault: str | None = None

    def look(self) -> Callable[[], None] | FileFault | None:
        """Off the loop: read it where it has changed. The version is asked first, so that no change is missed."""
        version = self.watched.version()
        if version == self.version and self.fault is None:
            return None
        try:
            found = self.watched.read()
        except FileFault as fault:
            return fault
        self.version = version
        return found


class FileWatch:
    """Watches what is added to it. ``changed`` is called on the loop after something new is in force."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._entries: list[_Entry] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="file-watch")

    def add(self, watched: Watched) -> None:
        """Watch this too; it is read by ``load``, or at the next look."""
        self._entries.append(_Entry(watched))

    async def load(self) -> None:
        """Read everything for the first time. Raises ``FileFault``: a node does not start without it."""
        await self._look(starting=True)

    async def run(self) -> None:
        """Look again and again; a background task of the node."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once at everything and put into force what has changed."""
        await self._look(starting=False)

    def close(self) -> None:
        """Let the thread go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _look(self, *, starting: bool) -> None:
        entries = list(self._entries)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, lambda: [entry.look() for entry in entries])
        any_new = False
        for entry, answer in zip(entries, found, strict=True):
            if isinstance(answer, FileFault):
                if starting:
                    raise answer
                self._tell_fault(entry, str(answer))
            elif answer is not None:
                answer()
                any_new = True
                self._tell_read(entry, starting)
        if any_new:
            self._changed()

    def _tell_fault(self, entry: _Entry, text: str) -> None:
        if text != entry.fault:
            log.error("file_refused", file=entry.watched.name, reason=text)
        entry.fault = text

    def _tell_read(self, entry: _Entry, starting: bool) -> None:
        entry.fault = None
        if not starting:
            log.info("file_applied", file=entry.watched.name)
