"""The embedded store: a SQLite database in a directory of its own, with a write-ahead log.

Durability ``fsync``: a commit is done when it is on the disk. ``os``: when the operating system has it,
which survives the end of the node but not that of the machine.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from rookery.ports import Clock
from rookery.records import Group, Loaded
from rookery.store.database import (
    FILE,
    DirectoryLock,
    check_features,
    damaged,
    fault_of,
    make_directory,
    sync_directory,
)
from rookery.store.reader import Reader
from rookery.store.rebuild import check, finish_rename, rebuild
from rookery.store.rows import load
from rookery.store.schema import MARK
from rookery.store.settle import settle
from rookery.store.writer import Writer

CHECKED: Final = 3
"""How many faults of a damaged file the operator is told."""


class SqliteStore:
    """Adapter of ``rookery.ports.Store``."""

    def __init__(
        self, directory: Path, durability: Literal["fsync", "os"], bytes_max: int, clock: Clock
    ) -> None:
        """Nothing is opened yet."""
        self._directory = directory
        self._path = directory / FILE
        self._durability = durability
        self._wall = clock.wall
        self._lock: DirectoryLock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._set_aside: list[str] = []
        self._writer = Writer(self._path, durability, bytes_max, clock)
        self._reader = Reader(self._path)

    @property
    def durability(self) -> str:
        """The level a completed commit has reached."""
        return self._durability

    async def open(self) -> Loaded:
        """Open or make the database and load it. Raises ``StoreFault``, with nothing left open."""
        self._loop = asyncio.get_running_loop()
        loaded = await self._loop.run_in_executor(None, self._open)
        self._writer.start(self._loop, loaded.next_block, loaded.next_number)
        self._reader.start()
        return loaded

    def commit(self, group: Group, done: Callable[[Exception | None], None]) -> None:
        """Make one group durable."""
        self._writer.commit(group, done)

    def read(
        self, positions: Sequence[int], done: Callable[[Sequence[bytes | None]], None]
    ) -> None:
        """Read log entries. While the disk fails it is tried again, and ``done`` is called later."""
        assert self._loop is not None, "the store is not open"
        self._reader.read(self._loop, positions, done)

    def read_blocks(self, blocks: Sequence[int]) -> asyncio.Future[list[list[bytes | None]]]:
        """Read all entries of some blocks; one that is lost has none."""
        assert self._loop is not None, "the store is not open"
        return self._reader.read_blocks(self._loop, blocks)

    def full(self) -> bool:
        """Whether a message would still not find room, after a commit that failed."""
        return self._writer.full

    def problems(self) -> list[str]:
        """What is wrong with the store now."""
        found = [*self._set_aside, *self._writer.problems()]
        if self._reader.problem is not None:
            found.append(self._reader.problem)
        if self._reader.entries_damaged:
            found.append(
                f"{self._reader.entries_damaged} damaged entries were found in {self._path}: look with "
                "'rookery store check'"
            )
        return found

    def bytes_used(self) -> int:
        """What the files take on disk, as of the last look, a few seconds ago at most."""
        return self._writer.file_bytes

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _open(self) -> Loaded:
        check_features()
        make_directory(self._directory)
        self._lock = DirectoryLock(self._directory)
        try:
            return self._loaded()
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise fault_of(self._path, error) from error
        except BaseException:
            self._close()
            raise

    def _loaded(self) -> Loaded:
        finish_rename(self._directory)
        if self._path.exists():
            settle(self._path)
            told = self._told()
            if told:
                return self._rebuilt("; ".join(told[:CHECKED]))
        try:
            loaded = self._unmarked()
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            reason = str(error)
        except (TypeError, ValueError) as error:
            reason = str(error)
        else:
            sync_directory(self._directory)
            return loaded
        self._writer.stop()
        return self._rebuilt(reason)

    def _told(self) -> list[str]:
        try:
            return check(self._path)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            return [str(error)]

    def _rebuilt(self, reason: str) -> Loaded:
        salvage = rebuild(self._directory, self._wall())
        self._set_aside.append(
            f"{self._path} was damaged ({reason}) and lies now at {salvage.broken}; "
            f"saved: {salvage.saved_text()}; lost: {salvage.lost_text()}"
        )
        return self._unmarked()

    def _unmarked(self) -> Loaded:
        connection = self._writer.connect()
        loaded = load(connection)
        if loaded.facts.pop(MARK, None) is not None:
            # A member of a cluster goes on alone: from now on its log tells another story.
            connection.execute("DELETE FROM facts WHERE key = ?", (MARK,))
        return loaded

    def _close(self) -> None:
        self._reader.stop()
        self._writer.stop()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
