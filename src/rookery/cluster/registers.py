"""The three registers, streams led by three different servers, of which two decide who has a cell.

Everything written is a compare-and-set: a register takes a record only if it still holds, by its sequence, what the
writer knows of. Why that makes one owner at most:

- Two claims of one term have a register in common, and there the second one finds another sequence.
- A renewal is of the term it was claimed with, and a register with a higher one refuses it by its sequence, or, where
  that is known, is left alone. So once another's claim is in two registers, no renewal succeeds any more.
- A claim that was made in one register only may still be on its way to a second one. Whoever sees it waits longer
  than a claim may take (``CLAIM_SECONDS_MAX``) before claiming over it (``contested_by_others``).

What was asked and not answered may be done or not. Such a register is read again before it is written to; it costs a
round trip then, and one write in parallel to all three else.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from rookery.actors.tasks import Tasks
from rookery.cluster.cells import (
    MAJORITY,
    CellRecord,
    Entry,
    RecordFault,
    Sighting,
    decode_record,
    sighting,
)
from rookery.cluster.jetstream import NoAnswer, Refusal, Stored
from rookery.cluster.names import REGISTERS, register_stream, register_subject
from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.cluster")

ANSWER_SECONDS_MAX: Final = 0.7
"""How long one register may take. Two attempts fit into the time a lease lasts."""
CLAIM_SECONDS_MAX: Final = 1.5
"""A claim that took longer has failed, whatever was answered."""
STRAGGLER_SECONDS: Final = 0.1
"""How much longer a read waits for the last register when the others have answered."""
EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
WRONG_LAST_SEQUENCE: Final = frozenset((10071, 10164))
WRITES_MAX: Final = 2
"""How often a renewal tries one register: a second time when it learnt what is there."""


class RegisterStreams(Protocol):
    """What is needed of JetStream."""

    async def put(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, seconds: float = ...
    ) -> int:
        """Append; the sequence."""

    async def get(
        self, stream: str, asked: Mapping[str, object], seconds: float = ...
    ) -> list[Stored]:
        """Read from any replica."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of a renewal."""

    succeeded: bool
    higher: CellRecord | None = None
    """A record of a higher term than ours that stands in a register."""


class _Round:
    """One question to all registers: what each came to, as far as they have answered."""

    def __init__(self) -> None:
        self.succeeded: list[int] = []
        self.failed: list[int] = []
        self.changed = asyncio.Event()

    @property
    def decided(self) -> bool:
        """Whether a majority succeeded, or none can any more."""
        return len(self.succeeded) >= MAJORITY or REGISTERS - len(self.failed) < MAJORITY


class Registers:
    """The registers as one node sees them."""

    def __init__(self, streams: RegisterStreams, clock: Clock) -> None:
        self._streams = streams
        self._clock = clock
        self._known: list[dict[str, Entry]] = [{} for _ in range(REGISTERS)]
        """By register and cell, what it held when it was last heard of; absent where that is not known."""
        self._listed: list[set[str]] = [set() for _ in range(REGISTERS)]
        """By register, the cells it had when all were last read."""
        self._busy: set[tuple[int, str]] = set()
        self._tasks = Tasks(_failed)

    async def stop(self) -> None:
        """Give up what is still asked."""
        await self._tasks.stop()

    async def read_all(self) -> dict[str, Sighting]:
        """All cells there are, by name. Raises ``NoAnswer`` where fewer than two registers answer."""
        asked = await self._ask(self._read)
        if asked.decided and len(asked.succeeded) < REGISTERS:
            await self._wait(asked, STRAGGLER_SECONDS, lambda: len(asked.succeeded) == REGISTERS)
        if len(asked.succeeded) < MAJORITY:
            raise NoAnswer(f"{len(asked.failed)} of {REGISTERS} registers did not answer")
        cells = sorted({cell for known in self._known for cell in known})
        seen = {cell: self._seen(cell, asked) for cell in cells}
        return {cell: found for cell, found in seen.items() if found is not None}

    async def claim(self, cell: str, seen: Sighting | None, new: CellRecord) -> CellRecord | None:
        """Take a cell of which nothing else is known than ``seen``; ``None`` says that nobody has it.

        Returns the record as it stands now, with its term, where that succeeded in time; else ``None``. An attempt
        that failed may have left its record in a register, where the next one will find it.
        """
        entries = (Entry(0, None),) * REGISTERS if seen is None else seen.entries
        term = 1 if seen is None else seen.term_max + 1
        record = replace(new, term=term)
        began = self._clock.monotonic()

        async def write(index: int) -> bool:
            entry = entries[index]
            return entry is not None and await self._write(index, record, entry.sequence)

        asked = await self._ask(write, cell)
        # Whoever waits before claiming over this one counts on its being over.
        if self._clock.monotonic() - began > CLAIM_SECONDS_MAX:
            return None
        return record if len(asked.succeeded) >= MAJORITY else None

    async def renew(self, record: CellRecord) -> Renewal:
        """Write the next record of a cell that was claimed with this term."""
        cell = record.node_id

        async def write(index: int) -> bool:
            return await self._renew(index, record)

        asked = await self._ask(write, cell)
        found = [known[cell].record for known in self._known if cell in known]
        higher = [each for each in found if each is not None and each.term > record.term]
        return Renewal(
            len(asked.succeeded) >= MAJORITY,
            max(higher, key=lambda each: (each.term, each.beat), default=None),
        )

    async def _ask(
        self, work: Callable[[int], Coroutine[object, object, bool]], cell: str | None = None
    ) -> _Round:
        """Start the work for each register, and return when the outcome is certain; the rest goes on."""
        asked = _Round()
        for index in range(REGISTERS):
            # Two writes under way to one register would be in each other's way.
            if cell is not None and (index, cell) in self._busy:
                asked.failed.append(index)
            else:
                self._tasks.start(f"register-{index}", self._one(asked, work, index, cell))
        await self._wait(asked, None, lambda: asked.decided)
        return asked

    async def _one(
        self,
        asked: _Round,
        work: Callable[[int], Coroutine[object, object, bool]],
        index: int,
        cell: str | None,
    ) -> None:
        if cell is not None:
            self._busy.add((index, cell))
        succeeded = False
        try:
            succeeded = await work(index)
        except NoAnswer:
            pass
        finally:
            if cell is not None:
                self._busy.discard((index, cell))
            (asked.succeeded if succeeded else asked.failed).append(index)
            asked.changed.set()

    async def _wait(self, asked: _Round, seconds: float | None, there: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not there():
                    asked.changed.clear()
                    await asked.changed.wait()
        except TimeoutError:
            pass

    async def _read(self, index: int) -> bool:
        await self._look(index, "*")
        return True

    async def _renew(self, index: int, record: CellRecord) -> bool:
        cell = record.node_id
        for _ in range(WRITES_MAX):
            if cell not in self._known[index]:
                await self._look(index, cell)
            entry = self._known[index].get(cell, Entry(0, None))
            if entry.record is not None and entry.record.term > record.term:
                return False
            if await self._write(index, record, entry.sequence):
                return True
        return False

    async def _write(self, index: int, record: CellRecord, sequence: int) -> bool:
        """Compare and set. Afterwards, what the register holds is known, or known not to be known."""
        cell = record.node_id
        headers = {EXPECTED_LAST: str(sequence)}
        # Whatever comes of it, what was known before is not sure any more.
        self._known[index].pop(cell, None)
        try:
            now = await self._streams.put(
                register_subject(index, cell), record.encode(), headers, ANSWER_SECONDS_MAX
            )
        except Refusal as refusal:
            if refusal.code not in WRONG_LAST_SEQUENCE:
                log.warning("register_refused", register=index, cell=cell, reason=str(refusal))
            return False
        self._learn(index, cell, Entry(now, record))
        return True

    async def _look(self, index: int, cell: str) -> None:
        """Read one cell of a register, or all (``*``). Raises ``NoAnswer``."""
        asked = {"multi_last": [register_subject(index, cell)]}
        try:
            found = await self._streams.get(register_stream(index), asked, ANSWER_SECONDS_MAX)
        except Refusal as refusal:
            raise NoAnswer(str(refusal)) from refusal
        try:
            records = [decode_record(each.data) for each in found]
        except RecordFault as fault:
            # As if it did not answer: what is not understood must not be overwritten.
            log.error("register_unreadable", register=index, reason=str(fault))
            raise NoAnswer(str(fault)) from fault
        for each, record in zip(found, records, strict=True):
            self._learn(index, record.node_id, Entry(each.sequence, record))
        if cell == "*":
            self._listed[index] = {record.node_id for record in records}

    def _learn(self, index: int, cell: str, entry: Entry) -> None:
        """Remember what a register holds; a replica that lags behind tells what was before."""
        known = self._known[index].get(cell)
        if known is None or known.sequence < entry.sequence:
            self._known[index][cell] = entry

    def _seen(self, cell: str, asked: _Round) -> Sighting | None:
        """What is known of a cell. A register that was read just now and did not name it has nothing."""
        entries: list[Entry | None] = []
        for index, known in enumerate(self._known):
            sure = index in asked.succeeded and cell not in self._listed[index]
            nothing = Entry(0, None) if sure and (index, cell) not in self._busy else None
            entries.append(known.get(cell, nothing))
        return sighting(entries)


def _failed(name: str, error: BaseException) -> None:
    log.error("register_task_failed", task=name, exc_info=error)
