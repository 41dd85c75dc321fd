"""A cell's log in memory, which fails as it is told."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from rookery.ports import LogFenced, LogUnavailable, Snapshot


class MemoryLog:
    """Stands in for ``rookery.ports.CellLog``.

    ``faults`` says of the next appends what becomes of them: ``ok``; ``lost``, which never arrives; ``taken``,
    whose acknowledgement is lost; ``late``, which arrives when ``land`` is called; ``hangs`` and ``hangs taken``, the
    same without any answer. An append that no fault is left for does what ``always`` says.
    """

    def __init__(self, record_bytes_max: int = 1 << 20) -> None:
        self.records: dict[int, bytes] = {}
        self.end = 0
        self.kept: tuple[int, list[bytes]] | None = None
        self.faults: deque[str] = deque()
        self.always = "ok"
        self.down = False
        """Nobody answers, not even a replica."""
        self.leaderless = False
        """Replicas answer what is read; nothing else is answered."""
        self.stale_reads = 0
        """How many of the next reads do not see the last record."""
        self.snapshot_fault: str | None = None
        self.snapshot_may_go_on: asyncio.Event | None = None
        self.appends = 0
        self.lasts = 0
        """How often each was asked for."""
        self.late: list[tuple[bytes, int]] = []
        self._record_bytes_max = record_bytes_max

    @property
    def record_bytes_max(self) -> int:
        return self._record_bytes_max

    async def append(self, record: bytes, after: int) -> int:
        assert len(record) <= self._record_bytes_max
        self.appends += 1
        await asyncio.sleep(0)
        if self.down or self.leaderless:
            raise LogUnavailable("the double has no leader")
        fault = self.faults.popleft() if self.faults else self.always
        if fault == "late":
            self.late.append((record, after))
        elif fault not in ("lost", "hangs"):
            self._take(record, after)
        if fault.startswith("hangs"):
            await asyncio.Event().wait()
        if fault != "ok":
            raise LogUnavailable(f"the double was told: {fault}")
        return self.end

    def _take(self, record: bytes, after: int) -> None:
        if after != self.end:
            raise LogFenced(f"the log ends at {self.end}, not at {after}")
        self.end += 1
        self.records[self.end] = bytes(record)

    def land(self) -> list[bool]:
        """What is late arrives; whether each found its place free."""
        landed = []
        for record, after in self.late:
            try:
                self._take(record, after)
            except LogFenced:
                landed.append(False)
            else:
                landed.append(True)
        self.late.clear()
        return landed

    async def read(self, first: int, count: int) -> list[tuple[int, bytes]]:
        await asyncio.sleep(0)
        if self.down:
            raise LogUnavailable("the double is down")
        end = self.end
        if self.stale_reads:
            self.stale_reads -= 1
            end -= 1
        found = [
            (each, self.records[each]) for each in sorted(self.records) if first <= each <= end
        ]
        return found[:count]

    async def last(self) -> int:
        self.lasts += 1
        await asyncio.sleep(0)
        if self.down or self.leaderless:
            raise LogUnavailable("the double has no leader")
        return self.end

    async def forget(self, before: int) -> None:
        await asyncio.sleep(0)
        for each in [each for each in self.records if each < before]:
            del self.records[each]

    async def put_snapshot(self, sequence: int, parts: AsyncIterator[bytes]) -> None:
        if self.snapshot_may_go_on is not None:
            await self.snapshot_may_go_on.wait()
        kept = [part async for part in parts]
        if self.snapshot_fault is not None:
            raise LogUnavailable(self.snapshot_fault)
        assert max(map(len, kept)) <= self._record_bytes_max
        self.kept = (sequence, kept)

    async def snapshot(self) -> Snapshot | None:
        await asyncio.sleep(0)
        if self.down:
            raise LogUnavailable("the double is down")
        if self.kept is None:
            return None
        sequence, parts = self.kept
        return Snapshot(sequence, sum(map(len, parts)), _given(parts))


async def _given(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
