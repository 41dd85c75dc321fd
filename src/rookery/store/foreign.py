"""The cell of another node, read by who takes it over.

Its image is made in a directory of its own from the last snapshot and the log, by what any replica says: the log
may have no leader yet. Once it has one, ``seal`` appends what nothing can follow; whatever the
other node had acknowledged was found by then.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from rookery.actors.clock import chance
from rookery.ports import CellLog, Clock, LogFenced
from rookery.records import Group, Loaded
from rookery.records_wire import SEAL, Record, encode_record
from rookery.store.faults import GroupFault, StoreFault
from rookery.store.image import ADOPTING, Image, Mark
from rookery.store.replay import RECORDS_AT_A_TIME, Replay
from rookery.store.snapshots import download, mark_of

log: Final = structlog.get_logger("rookery.store")

LOOKS: Final = 8
LOOK_SECONDS: Final = 0.01
BYTES_MAX: Final = 1 << 62
"""Nothing is refused: it is all there already."""


class ForeignCell:
    """What another node's cell holds. Made by ``open_foreign``."""

    def __init__(
        self, cell_log: CellLog, directory: Path, epoch: int, cell: str, clock: Clock
    ) -> None:
        self.loaded = Loaded()
        """What there was when it was opened."""
        self._log = cell_log
        self._directory = directory
        self._epoch = epoch
        self._cell = cell
        self._wall = clock.wall
        self._image = Image(directory, BYTES_MAX, clock)
        self._replay = Replay(epoch, 0)
        self._found: list[Group] = []
        """Groups that were read and not given out yet."""
        self._boot = chance() << 30 | chance()

    @property
    def sequence(self) -> int:
        """The last record that was read."""
        return self._replay.end

    @property
    def sealed(self) -> str | None:
        """Who has sealed the log, once that was read."""
        return self._replay.sealed

    async def open(self) -> None:
        """Read everything there is. Raises ``StoreFault``, ``LogUnavailable`` and ``LogFenced``."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._image.take_directory)
        loaded = await self._begun()
        mark = self._image.mark
        assert mark is not None
        alive_at = loaded.alive_at_wall
        self._image.start(loop, loaded)
        self._image.start_reading()
        self._replay = Replay(self._epoch, mark.applied)
        await self._follow_all()
        self.loaded = await loop.run_in_executor(None, self._image.load)
        self.loaded.alive_at_wall = max(alive_at, self._replay.wall)

    async def _follow_all(self) -> None:
        """Read to the end, and look again: any replica may have answered, and one may lag behind another."""
        for _ in range(LOOKS):
            await self.follow()
            await asyncio.sleep(LOOK_SECONDS)

    async def _begun(self) -> Loaded:
        loop = asyncio.get_running_loop()
        snapshot = await self._log.snapshot()
        if snapshot is not None:
            fetched = await download(snapshot, self._directory)
            mark = await loop.run_in_executor(None, mark_of, fetched)
            if mark is not None and mark.epoch > self._epoch:
                raise LogFenced(f"the cell {self._cell} is at epoch {mark.epoch}")
            if mark is not None and (mark.cell, mark.epoch) == (self._cell, self._epoch):
                fetched.replace(self._image.path)
                loaded = await loop.run_in_executor(None, self._image.look)
                if loaded is None:
                    raise StoreFault(f"the snapshot of the cell {self._cell} is damaged")
                return loaded
        begin = Mark(self._cell, self._epoch, 0, 0)
        return await loop.run_in_executor(None, self._image.make, begin)

    async def follow(self) -> list[Group]:
        """The groups that appeared since, in order; they can be read from then on.

        The last one is among them though nothing behind it confirms it: it may have been acknowledged.
        """
        while records := await self._log.read(self._replay.end + 1, RECORDS_AT_A_TIME):
            for sequence, data in records:
                await self._add(self._replay.take(sequence, data))
        await self._add(self._replay.confirm())
        found, self._found = self._found, []
        return found

    async def _add(self, group: Group | None) -> None:
        if group is None:
            return
        mark = Mark(self._cell, self._epoch, self._replay.applied, 0)
        fault = await self._image.apply(group, mark)
        if isinstance(fault, GroupFault):
            log.warning("group_left_out", record=self._replay.applied, reason=str(fault))
            return
        if fault is not None:
            raise fault
        self._found.append(group)

    async def seal(self, by: str) -> bool:
        """Append that nothing follows what was read; false where something does: ``follow`` finds it.

        Raises ``LogUnavailable`` where it is not known whether that is there: ``sealed`` tells after ``follow``.
        """
        replay = self._replay
        wall_ms = int(self._wall() * 1000.0)
        record = Record(
            SEAL, self._epoch, self._boot, 1, replay.confirmable(), wall_ms, 0, True, by.encode()
        )
        try:
            sequence = await self._log.append(encode_record(record), replay.end)
        except LogFenced:
            return False
        replay.take(sequence, encode_record(record))
        return True

    def read(
        self, positions: Sequence[int], done: Callable[[Sequence[bytes | None]], None]
    ) -> None:
        """Read entries of its message log."""
        self._image.read(positions, done)

    def read_blocks(self, blocks: Sequence[int]) -> Awaitable[list[list[bytes | None]]]:
        """Read all entries of some of its blocks."""
        return self._image.read_blocks(blocks)

    async def close(self) -> None:
        """Remove the image."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._image.release)
        await loop.run_in_executor(None, shutil.rmtree, self._directory)


async def open_foreign(
    cell_log: CellLog, directory: Path, cell: str, epoch: int, clock: Clock
) -> ForeignCell:
    """Read the cell of another node as of an epoch, into a new directory within ``directory``.

    Raises ``StoreFault``, ``LogUnavailable``, and ``LogFenced`` for a log that is of a later epoch.
    """
    loop = asyncio.get_running_loop()
    place = await loop.run_in_executor(
        None, lambda: tempfile.mkdtemp(prefix=ADOPTING, dir=directory)
    )
    foreign = ForeignCell(cell_log, Path(place), epoch, cell, clock)
    try:
        await foreign.open()
    except BaseException:
        await foreign.close()
        raise
    return foreign
