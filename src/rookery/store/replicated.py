"""The store of a node in a cluster: a replicated log is the truth, a database on this disk its image.

A group is appended to the log of the node's cell, put into the image when the log has acknowledged it, and then
done: one after the other, in the order of the commits. Durability ``replicated`` is the log's: the image's own
commits wait for no disk. Reading goes to the image.

What can go wrong, and what becomes of it:

- The log does not answer: the group is tried for twelve seconds and then fails. It may be in the log all the
  same, or come there late; the group after it makes it void (``tail`` says how). A rebuild from the log leaves it
  out (``replay``). Only a group that was given up last, with none behind it, may be found after a restart, as what
  was never acknowledged may after any crash.
- Somebody else appended, since the cell was taken over: nothing is committed any more, and ``fenced`` is told.
- The group contradicts the image: it fails, and the one after it makes it void in the log as well.
- The image cannot be written, on a full disk say, though the log has the group: nothing is acknowledged while it
  is tried again. After five seconds the store stops, and ``fenced`` is told, so that the cell can go to a
  node that works; the log has everything. Messages are refused before it comes to that.
- The image is missing, torn, of another cell, or not a state of this log: it is set aside at the start and made
  again from the last snapshot and the log behind it. Each start appends a record of its own, so that whatever an
  earlier process has under way is fenced, and what the store has read by then is all there is.

A snapshot of the image is taken in the background when the log has grown, and what it covers is forgotten.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from rookery.actors.clock import chance
from rookery.actors.tasks import Tasks
from rookery.ports import CellLog, Clock, LogFenced, LogUnavailable
from rookery.records import Group, Loaded
from rookery.records_wire import GROUP, encode_group, split_body
from rookery.store.catch_up import CatchUp, in_thread
from rookery.store.faults import GroupFault, StoreFault
from rookery.store.image import Image, Mark
from rookery.store.snapshots import upload
from rookery.store.tail import PATIENCE_SECONDS, PAUSE_SECONDS, Tail

log: Final = structlog.get_logger("rookery.store")

SNAPSHOT_BYTES_MIN: Final = 33_554_432
"""How much log there is at least before a snapshot is taken; more where the last one was large."""
SNAPSHOT_RETRY_SECONDS: Final = 30.0
OPEN_PATIENCE_SECONDS: Final = 60.0
"""How long a start waits for a log that does not answer."""
IMAGE_PATIENCE_SECONDS: Final = 5.0
"""How long an image that cannot be written is tried."""
ENCODE_BYTES_MAX: Final = 65_536
"""Groups with more entries than that are encoded in a thread."""

Done = Callable[[Exception | None], None]


class ReplicatedStore:
    """Adapter of ``rookery.ports.Store``."""

    def __init__(
        self,
        directory: Path,
        cell_log: CellLog,
        bytes_max: int,
        clock: Clock,
        cell: str,
        epoch: int,
        fenced: Callable[[str], None],
        patience_seconds: float = PATIENCE_SECONDS,
        open_patience_seconds: float = OPEN_PATIENCE_SECONDS,
        image_patience_seconds: float = IMAGE_PATIENCE_SECONDS,
        snapshot_bytes_min: int = SNAPSHOT_BYTES_MIN,
    ) -> None:
        """Nothing is opened yet. ``fenced`` is told once, when nothing can be committed any more, and why."""
        self._directory = directory
        self._log = cell_log
        self._cell = cell
        self._epoch = epoch
        self._tell_fenced = fenced
        self._image_patience_seconds = image_patience_seconds
        self._snapshot_bytes_min = snapshot_bytes_min
        self._image = Image(directory, bytes_max, clock)
        boot = chance() << 30 | chance()
        self._tail = Tail(cell_log, epoch, boot, clock, patience_seconds)
        self._caught_up = CatchUp(
            directory, cell_log, self._image, self._tail, cell, epoch, open_patience_seconds
        )
        self._unsaved_bytes = 0
        """The bytes of the log since the last snapshot."""
        self._snapshot_bytes = 0
        """How large that one is."""
        self._snapshot_due_at = 0.0
        self._snapshot_problem: str | None = None
        self._snapshot_lock = asyncio.Lock()
        self._snapshot_running = False
        self._log_problem: str | None = None
        self._stopped: str | None = None
        """Why nothing is committed any more."""
        self._jobs: deque[tuple[Group, Done]] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._tasks = Tasks(self._task_failed)
        self._worker_done: asyncio.Event | None = None

    @property
    def durability(self) -> str:
        """The level a completed commit has reached."""
        return "replicated"

    # --- Opening --------------------------------------------------------------------------------

    async def open(self) -> Loaded:
        """Bring the image to where the log is and load it.

        Raises ``StoreFault``, with nothing left open: among others when the log does not answer for a minute,
        or the cell was taken over.
        """
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._image.take_directory)
            found = await loop.run_in_executor(None, self._image.look)
            loaded = await self._caught_up.run(found)
        except LogFenced as error:
            await loop.run_in_executor(None, self._image.release)
            raise StoreFault(f"the cell {self._cell} has another owner: {error}") from error
        except BaseException:
            await loop.run_in_executor(None, self._image.release)
            raise
        self._unsaved_bytes = self._caught_up.unsaved_bytes
        self._snapshot_bytes = self._caught_up.snapshot_bytes
        self._image.start_reading()
        self._worker_done = asyncio.Event()
        self._tasks.start("replicated-store", self._work())
        return loaded

    # --- Committing -----------------------------------------------------------------------------

    def commit(self, group: Group, done: Done) -> None:
        """Make one group durable."""
        assert self._worker_done is not None, "the store is not open"
        if self._worker_done.is_set():
            done(StoreFault(self._stopped or "the store is closed"))
            return
        self._jobs.append((group, done))
        self._wake.set()

    async def _work(self) -> None:
        """Commit one group after the other."""
        assert self._worker_done is not None
        loop = asyncio.get_running_loop()
        try:
            while True:
                while self._jobs:
                    group, done = self._jobs[0]
                    error = await self._committed(group)
                    self._jobs.popleft()
                    loop.call_soon(done, error)
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
        finally:
            self._worker_done.set()

    async def _committed(self, group: Group) -> Exception | None:
        if self._stopped is not None:
            return StoreFault(self._stopped)
        if self._closing and self._log_problem is not None:
            return StoreFault(self._log_problem)
        no_room = await self._image.find_room(group)
        if no_room is not None:
            return no_room
        try:
            body = await self._encoded(group)
            size_bytes = await self._tail.append(
                GROUP, split_body(body, self._tail.payload_bytes_max)
            )
        except ValueError as error:
            return StoreFault(str(error))
        except LogUnavailable as error:
            self._log_problem = f"the log of the cell {self._cell} does not answer: {error}"
            return StoreFault(self._log_problem)
        except LogFenced as error:
            self._stop(f"the cell {self._cell} has another owner: {error}")
            return StoreFault(f"the cell {self._cell} has another owner: {error}")
        self._log_problem = None
        self._unsaved_bytes += size_bytes
        fault = await self._applied(group)
        if fault is None:
            self._tail.counts = self._tail.end
            self._begin_snapshot()
        return fault

    async def _encoded(self, group: Group) -> bytes:
        if group.entry_bytes <= ENCODE_BYTES_MAX:
            return encode_group(group)
        return await in_thread(lambda: encode_group(group))

    async def _applied(self, group: Group) -> Exception | None:
        """Put what the log has taken into the image; an error where that never works."""
        mark = Mark(self._cell, self._epoch, self._tail.end, self._unsaved_bytes)
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._image_patience_seconds
        while True:
            fault = await self._image.apply(group, mark)
            if fault is None or isinstance(fault, GroupFault):
                return fault
            if self._closing or loop.time() >= patient_until:
                self._stop(f"the image of the cell {self._cell} cannot be written: {fault}")
                return fault
            await asyncio.sleep(PAUSE_SECONDS * 4)

    def _stop(self, reason: str) -> None:
        """Commit nothing any more."""
        if self._stopped is None:
            self._stopped = reason
            log.error("store_stopped", cell=self._cell, reason=reason)
            self._tell_fenced(reason)

    def _task_failed(self, name: str, error: BaseException) -> None:
        """Something of ours has ended that must not."""
        self._stop(f"{name} failed: {error!r}")
        jobs, self._jobs = self._jobs, deque()
        for _, done in jobs:
            done(StoreFault(f"{name} failed: {error!r}"))

    # --- Snapshots ------------------------------------------------------------------------------

    async def snapshot_now(self) -> None:
        """Keep a snapshot of what is committed, and forget the log before it.

        Raises ``StoreFault``, ``LogUnavailable`` and ``LogFenced``.
        """
        await self._upload()

    def _begin_snapshot(self) -> None:
        """Take one in the background, when it is time."""
        if self._snapshot_running or self._closing:
            return
        if self._unsaved_bytes <= max(self._snapshot_bytes_min, self._snapshot_bytes // 2):
            return
        if asyncio.get_running_loop().time() < self._snapshot_due_at:
            return
        self._snapshot_running = True
        self._tasks.start("snapshot", self._in_background())

    async def _in_background(self) -> None:
        try:
            await self._upload()
        except (StoreFault, LogUnavailable, LogFenced) as error:
            self._snapshot_due_at = asyncio.get_running_loop().time() + SNAPSHOT_RETRY_SECONDS
            self._snapshot_problem = (
                f"no snapshot of the cell {self._cell} could be kept, so its log grows: {error}"
            )
            log.warning("snapshot_failed", cell=self._cell, reason=str(error))
        finally:
            self._snapshot_running = False

    async def _upload(self) -> None:
        async with self._snapshot_lock:
            mark, size_bytes = await upload(self._log, self._directory)
        self._unsaved_bytes = max(0, self._unsaved_bytes - mark.unsaved_bytes)
        self._snapshot_bytes = size_bytes
        self._snapshot_problem = None
        log.info("snapshot_kept", cell=self._cell, record=mark.applied, size_bytes=size_bytes)

    # --- Reading, and the rest ------------------------------------------------------------------

    def read(
        self, positions: Sequence[int], done: Callable[[Sequence[bytes | None]], None]
    ) -> None:
        """Read log entries. While the disk fails it is tried again, and ``done`` is called later."""
        self._image.read(positions, done)

    def read_blocks(self, blocks: Sequence[int]) -> Awaitable[list[list[bytes | None]]]:
        """Read all entries of some blocks; one that is lost has none."""
        return self._image.read_blocks(blocks)

    def full(self) -> bool:
        """Whether a message would still not find room, after a commit that failed."""
        return self._image.writer.full or self._stopped is not None

    def problems(self) -> list[str]:
        """What is wrong with the store now."""
        told = (self._stopped, self._log_problem, self._snapshot_problem)
        return [
            *self._caught_up.set_aside,
            *(each for each in told if each),
            *self._image.problems(),
        ]

    def bytes_used(self) -> int:
        """What the image takes on disk, as of the last look, a few seconds ago at most."""
        return self._image.writer.file_bytes

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        self._closing = True
        self._tail.hurry()
        self._wake.set()
        if self._worker_done is not None:
            await self._worker_done.wait()
        await self._tasks.stop()
        await in_thread(self._image.release)
