"""The image of a cell: a database that holds what the groups of a replicated log add up to.

It is the store's own database, whose commits wait for no disk, and says of itself how far it has come: each
commit also writes a *mark*, in the same transaction. What is lost of it is made again from the log; so it is not
saved piece by piece as the only copy would be, but set aside whole.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct, error
from typing import Final

import structlog

from rookery.ports import Clock
from rookery.records import Group, Loaded
from rookery.store.database import (
    FILE,
    DirectoryLock,
    check_features,
    connect_to_read,
    damaged,
    fault_of,
    make_directory,
    remove_whole,
    rename_whole,
    sync_directory,
)
from rookery.store.reader import Reader
from rookery.store.rebuild import BROKEN, OUTDATED, check, finish_rename, free_name
from rookery.store.rows import load
from rookery.store.schema import MARK
from rookery.store.settle import settle
from rookery.store.writer import Writer

log: Final = structlog.get_logger("rookery.store")

COPY_FILE: Final = "rookery.snapshot"
"""A copy of the image that is being sent."""
FETCHED_FILE: Final = "rookery.fetched"
"""A snapshot that is being fetched; it becomes the image when it is whole."""
ADOPTING: Final = "adopting-"
"""How the directories begin in which the images of other cells are made."""
_MARK: Final = Struct(">BIQQ")
_MARK_VERSION: Final = 1


class Mark:
    """Which cell an image is of, and how far it has come."""

    def __init__(self, cell: str, epoch: int, applied: int, unsaved_bytes: int) -> None:
        self.cell = cell
        self.epoch = epoch
        self.applied = applied
        """The last record of the log whose effects are in it."""
        self.unsaved_bytes = unsaved_bytes
        """The bytes of the records since the last snapshot."""

    def encode(self) -> bytes:
        """As the value of a fact."""
        return (
            _MARK.pack(_MARK_VERSION, self.epoch, self.applied, self.unsaved_bytes)
            + self.cell.encode()
        )


def decode_mark(data: bytes) -> Mark:
    """The mark of a fact. Raises ``ValueError``."""
    try:
        version, epoch, applied, unsaved_bytes = _MARK.unpack_from(data)
    except error as fault:
        raise ValueError(f"the mark of the image is damaged: {fault}") from fault
    if version != _MARK_VERSION:
        raise ValueError(f"the mark of the image is of version {version}, which is not known")
    return Mark(data[_MARK.size :].decode(), epoch, applied, unsaved_bytes)


class Image:
    """One database in its directory, read and written in threads of its own."""

    def __init__(self, directory: Path, bytes_max: int, clock: Clock) -> None:
        self.path = directory / FILE
        self.mark: Mark | None = None
        """``None`` for one that says nothing of a log: a single node's."""
        self.writer = Writer(self.path, "os", bytes_max, clock, refuses=False)
        self._directory = directory
        self._wall = clock.wall
        self._reader = Reader(self.path)
        self._lock: DirectoryLock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- Off the loop ---------------------------------------------------------------------------

    def take_directory(self) -> None:
        """Keep others out of the directory, and end what was left half done. Raises ``StoreFault``."""
        check_features()
        make_directory(self._directory)
        self._lock = DirectoryLock(self._directory)
        try:
            finish_rename(self._directory)
            for left in self._directory.glob(f"{ADOPTING}*"):
                shutil.rmtree(left)
            for name in (COPY_FILE, f"{COPY_FILE}.partial", FETCHED_FILE):
                (self._directory / name).unlink(missing_ok=True)
        except OSError as fault:
            raise fault_of(self.path, fault) from fault

    def look(self) -> Loaded | None:
        """What is there, with the mark; ``None`` for nothing, and what is damaged is set aside.

        Raises ``StoreFault`` where it cannot be read at all, or is a newer program's.
        """
        if not self.path.exists():
            return None
        try:
            settle(self.path)
            told = self._told()
            if told is None:
                return self._loaded()
        except sqlite3.DatabaseError as fault:
            if not damaged(fault):
                raise fault_of(self.path, fault) from fault
            told = str(fault)
        except (TypeError, ValueError) as fault:
            told = str(fault)
        except OSError as fault:
            raise fault_of(self.path, fault) from fault
        self.set_aside(BROKEN, f"it is damaged: {told}")
        return None

    def _told(self) -> str | None:
        found = check(self.path)
        return "; ".join(found[:3]) if found else None

    def _loaded(self) -> Loaded:
        loaded = load(self.writer.connect())
        fact = loaded.facts.pop(MARK, None)
        self.mark = None if fact is None else decode_mark(fact)
        return loaded

    def make(self, mark: Mark) -> Loaded:
        """A new one without anything in it. Raises ``StoreFault``."""
        try:
            loaded = load(self.writer.connect())
            sync_directory(self._directory)
        except (sqlite3.Error, OSError) as fault:
            raise fault_of(self.path, fault) from fault
        self.mark = mark
        return loaded

    def set_aside(self, word: str, reason: str) -> Path:
        """Rename what is there; where it lies then. Of those that are outdated only the last is kept."""
        self.writer.stop()
        self.mark = None
        if word == OUTDATED:
            for old in self._directory.glob(f"{FILE}{OUTDATED}*"):
                old.unlink()
        place = free_name(self.path, word, self._wall())
        try:
            rename_whole(self.path, place)
        except OSError as fault:
            raise fault_of(self.path, fault) from fault
        log.warning("image_set_aside", path=str(self.path), now=str(place), reason=reason)
        return place

    def remove(self) -> None:
        """Remove what is there."""
        self.writer.stop()
        self.mark = None
        remove_whole(self.path)

    def load(self) -> Loaded:
        """Everything but the entries, as it is now. Raises ``StoreFault``."""
        try:
            connection = connect_to_read(self.path)
            try:
                loaded = load(connection)
            finally:
                connection.close()
        except (sqlite3.Error, OSError, TypeError, ValueError) as fault:
            if isinstance(fault, TypeError | ValueError):
                fault = sqlite3.DatabaseError(str(fault))
            raise fault_of(self.path, fault) from fault
        loaded.facts.pop(MARK, None)
        return loaded

    def release(self) -> None:
        """Finish what was handed over and let go of the files."""
        self._reader.stop()
        self.writer.stop()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- On the loop ----------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop, loaded: Loaded) -> None:
        """Take groups from now on."""
        self._loop = loop
        self.writer.start(loop, loaded.next_block, loaded.next_number)

    def start_reading(self) -> None:
        """Read from now on: it will not be set aside any more."""
        self._reader.start()

    async def apply(self, group: Group, mark: Mark) -> Exception | None:
        """Put the effects of a group in, and say how far that is; an error where nothing of it is there."""
        group.facts[MARK] = mark.encode()
        fault = await self._worked(self.writer.commit, group)
        del group.facts[MARK]  # It is nobody else's.
        if fault is None:
            self.mark = mark
        return fault

    async def find_room(self, group: Group) -> Exception | None:
        """Whether the messages of a group find room: an error where they do not."""
        if self.writer.has_room(group):
            return None
        return await self._worked(self.writer.find_room, group)

    async def _worked(
        self, work: Callable[[Group, Callable[[Exception | None], None]], None], group: Group
    ) -> Exception | None:
        assert self._loop is not None, "the image is not open"
        future: asyncio.Future[Exception | None] = self._loop.create_future()

        def done(fault: Exception | None) -> None:
            if not future.done():  # Whoever waited may have been stopped.
                future.set_result(fault)

        work(group, done)
        return await future

    def read(
        self, positions: Sequence[int], done: Callable[[Sequence[bytes | None]], None]
    ) -> None:
        """Read log entries."""
        assert self._loop is not None, "the image is not open"
        self._reader.read(self._loop, positions, done)

    def read_blocks(self, blocks: Sequence[int]) -> asyncio.Future[list[list[bytes | None]]]:
        """Read all entries of some blocks."""
        assert self._loop is not None, "the image is not open"
        return self._reader.read_blocks(self._loop, blocks)

    def problems(self) -> list[str]:
        """What is wrong with it now."""
        found = self.writer.problems()
        if self._reader.problem is not None:
            found.append(self._reader.problem)
        if self._reader.entries_damaged:
            found.append(
                f"{self._reader.entries_damaged} damaged entries were found in {self.path}: start the node "
                "again after removing that file, which makes it anew from the cell's log"
            )
        return found


def is_empty(loaded: Loaded) -> bool:
    """Whether nothing was ever put into a database."""
    return loaded.next_block == 1 and loaded.next_number == 1 and not loaded.facts
