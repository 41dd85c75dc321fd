"""From an image and a log to an image that is where the log is.

The image is kept where it is a state of this log. Else it is set aside, and made again from the last snapshot and the
log behind that. Where there is no log yet either, what is there begins the cell: so a single node becomes a member.

At the end stands a record that says that the node has begun. It goes behind the last that was read, so
it shows that this was all, and fences whatever an earlier process of the node has under way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import structlog

from rookery.ports import CellLog, LogFenced, LogUnavailable, Snapshot
from rookery.records import Group, Loaded
from rookery.records_wire import BEGIN
from rookery.store.faults import GroupFault, StoreFault
from rookery.store.image import Image, Mark, is_empty
from rookery.store.rebuild import OUTDATED, REPLACED
from rookery.store.replay import RECORDS_AT_A_TIME, Gap, Replay
from rookery.store.snapshots import download, mark_of, upload
from rookery.store.tail import PAUSE_SECONDS, Tail

log: Final = structlog.get_logger("rookery.store")

STALE_SECONDS: Final = 2.0
"""How long a replica may not know of a record that the leader has; what is not there then was forgotten."""
PROGRESS_SECONDS: Final = 2.0
"""How often a long start says how far it is."""

T = TypeVar("T")


class CatchUp:
    """One start of a replicated store."""

    def __init__(
        self,
        directory: Path,
        cell_log: CellLog,
        image: Image,
        tail: Tail,
        cell: str,
        epoch: int,
        patience_seconds: float,
    ) -> None:
        self.set_aside: list[str] = []
        """What the operator must know of what was set aside."""
        self.unsaved_bytes = 0
        """The bytes of the log since the last snapshot."""
        self.snapshot_bytes = 0
        """How large that one is."""
        self._snapshot_sequence = 0
        self._directory = directory
        self._log = cell_log
        self._image = image
        self._tail = tail
        self._cell = cell
        self._epoch = epoch
        self._patience_seconds = patience_seconds

    async def run(self, loaded: Loaded | None) -> Loaded:
        """Bring the image to where the log is, from what was found of it, and append that the node has begun.

        Raises ``StoreFault``, and ``LogFenced`` where the cell was taken over.
        """
        last = await self._asked(self._log.last)
        snapshot = await self._asked(self._log.snapshot)
        self.snapshot_bytes = snapshot.size_bytes if snapshot else 0
        self._snapshot_sequence = snapshot.sequence if snapshot else 0
        if loaded is not None:
            loaded = await self._fitting(loaded, last, snapshot)
        if loaded is not None:
            try:
                return await self._followed(loaded, snapshot)
            except Gap as gap:
                reason = str(gap)
                await in_thread(lambda: self._image.set_aside(OUTDATED, reason))
        return await self._followed(await self._rebuilt(snapshot), snapshot)

    async def _fitting(self, loaded: Loaded, last: int, snapshot: Snapshot | None) -> Loaded | None:
        """The image, where it is a state of this log; else it is set aside."""
        mark = self._image.mark
        unused = last == 0 and snapshot is None
        if unused and (mark is None or (mark.cell == self._cell and mark.applied == 0)):
            # A single node becomes a member, perhaps not for the first time: what it has begins its cell.
            self._image.mark = Mark(self._cell, self._epoch, 0, 0)
            return loaded
        if mark is None:
            if is_empty(loaded):
                await in_thread(self._image.remove)
                return None
            told = "it is a single node's, and the cell has a log already"
        elif mark.cell == self._cell and mark.epoch < self._epoch:
            # What it held went to other nodes when they took the cell over.
            reason = f"it is of epoch {mark.epoch} of the cell, which is at {self._epoch}"
            await in_thread(lambda: self._image.set_aside(OUTDATED, reason))
            return None
        elif (mark.cell, mark.epoch) != (self._cell, self._epoch):
            told = f"it is of epoch {mark.epoch} of the cell {mark.cell}"
        elif mark.applied > last:
            told = f"it knows of record {mark.applied}, and the last of the log is {last}"
        else:
            return loaded
        place = await in_thread(lambda: self._image.set_aside(REPLACED, told))
        self.set_aside.append(
            f"{self._image.path} was not the image of the cell {self._cell} ({told}) and lies now at {place}; "
            "the node began with what the cell's log has"
        )
        return None

    async def _rebuilt(self, snapshot: Snapshot | None) -> Loaded:
        """An image from the snapshot, or an empty one, where there was none."""
        if snapshot is not None:
            log.info("snapshot_fetching", record=snapshot.sequence, size_bytes=snapshot.size_bytes)
            fetched = await self._asked(lambda: self._fetched(snapshot))
            mark = await in_thread(lambda: mark_of(fetched))
            if mark is None or mark.cell != self._cell:
                raise StoreFault(f"the snapshot in the log of {self._cell} is of another cell")
            if mark.epoch > self._epoch:
                raise LogFenced(f"its snapshot is of epoch {mark.epoch}, and ours is {self._epoch}")
            if mark.epoch == self._epoch:
                return await self._installed(fetched)
            await in_thread(lambda: fetched.unlink(missing_ok=True))
            self._snapshot_sequence = 0  # It is of an earlier epoch, so nothing of it is ours.
        return await in_thread(lambda: self._image.make(Mark(self._cell, self._epoch, 0, 0)))

    async def _installed(self, fetched: Path) -> Loaded:
        await in_thread(lambda: fetched.replace(self._image.path))
        loaded = await in_thread(self._image.look)
        if loaded is None:
            raise StoreFault(f"the snapshot of the cell {self._cell} is damaged")
        return loaded

    async def _fetched(self, snapshot: Snapshot) -> Path:
        # The parts of one can be read once.
        current = await self._log.snapshot() or snapshot
        return await download(current, self._directory)

    async def _followed(self, loaded: Loaded, snapshot: Snapshot | None) -> Loaded:
        """Read the log from where the image is to its end, and append that this node has begun."""
        mark = self._image.mark
        assert mark is not None
        self._image.start(asyncio.get_running_loop(), loaded)
        if mark.applied == 0:
            await self._must_apply(Group(1), mark)
            if snapshot is None and not is_empty(loaded):
                sent = await self._asked(lambda: upload(self._log, self._directory))
                self.snapshot_bytes = sent[1]
        self.unsaved_bytes = mark.unsaved_bytes
        replay = Replay(self._epoch, mark.applied)
        applied = await self._replayed(replay)
        if applied:
            alive_at = max(loaded.alive_at_wall, replay.wall)
            loaded = await in_thread(self._image.load)
            loaded.alive_at_wall = alive_at
        return loaded

    async def _replayed(self, replay: Replay) -> int:
        """Apply what the log has; the number of groups."""
        applied = 0
        patient_until = asyncio.get_running_loop().time() + self._patience_seconds
        while True:
            last = await self._asked(self._log.last)
            applied += await self._read_to(replay, last)
            if replay.sealed is not None:
                raise LogFenced(f"{replay.sealed} has taken it over")
            self._tail.counts = replay.confirmable()
            self._tail.end = replay.end
            try:
                await self._tail.append(BEGIN, [self._cell.encode()])
            except (LogFenced, LogUnavailable) as error:
                # One more record came before ours, or it may.
                if asyncio.get_running_loop().time() >= patient_until:
                    raise self._unanswered(error) from error
                continue
            group = replay.confirm()
            self._tail.counts = self._tail.end
            if group is not None:
                applied += await self._take(group, replay)
            return applied

    async def _read_to(self, replay: Replay, last: int) -> int:
        loop = asyncio.get_running_loop()
        applied = 0
        begin, told_at = replay.end, loop.time()
        silent_since = told_at
        while replay.end < last:
            records = await self._asked(lambda: self._log.read(replay.end + 1, RECORDS_AT_A_TIME))
            now = loop.time()
            if not records:
                if now < silent_since + STALE_SECONDS:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                self._check_forgotten(replay, last)
                break
            silent_since = now
            for sequence, data in records:
                group = replay.take(sequence, data)
                if group is not None:
                    applied += await self._take(group, replay)
            if now >= told_at + PROGRESS_SECONDS:
                told_at = now
                log.info("log_replaying", record=replay.end - begin, of=last - begin)
        return applied

    def _check_forgotten(self, replay: Replay, last: int) -> None:
        """What was forgotten before the cell began anew is nobody's; else it is missing."""
        if replay.confirmable() or self._snapshot_sequence > replay.end:
            raise Gap(
                f"the log of the cell {self._cell} ends with record {last}, and {replay.end + 1} is not there"
            )
        replay.end = last

    async def _take(self, group: Group, replay: Replay) -> int:
        """Put a group of the log into the image."""
        self.unsaved_bytes += replay.record_bytes
        replay.record_bytes = 0
        mark = Mark(self._cell, self._epoch, replay.applied, self.unsaved_bytes)
        try:
            await self._must_apply(group, mark)
        except GroupFault as fault:
            # It was refused when it was committed, and is the last of its process.
            log.warning("group_left_out", record=replay.applied, reason=str(fault))
            return 0
        return 1

    async def _must_apply(self, group: Group, mark: Mark) -> None:
        fault = await self._image.apply(group, mark)
        if fault is not None:
            raise fault

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the log answers, as soon as it does."""
        patient_until = asyncio.get_running_loop().time() + self._patience_seconds
        told = False
        while True:
            try:
                return await ask()
            except LogUnavailable as error:
                if asyncio.get_running_loop().time() >= patient_until:
                    raise self._unanswered(error) from error
                if not told:
                    told = True
                    log.warning("log_awaited", cell=self._cell, reason=str(error))
                await asyncio.sleep(PAUSE_SECONDS * 4)

    def _unanswered(self, error: Exception) -> StoreFault:
        return StoreFault(
            f"the log of the cell {self._cell} cannot be used ({error}): a majority of the cluster's servers "
            "must run and reach each other"
        )


async def in_thread(work: Callable[[], T]) -> T:
    """Do what waits for the disk off the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work)
