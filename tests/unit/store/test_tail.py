"""The end of the log: what an append that was not answered may have done, and what becomes of it."""

import asyncio

import pytest

from rookery.ports import LogFenced, LogUnavailable
from rookery.records_wire import GROUP, HEAD_BYTES, Record, decode_record, encode_record
from rookery.store import tail as tail_module
from rookery.store.tail import Tail
from tests.support.cell_log import MemoryLog
from tests.support.stores import SteppedClock


def tail(log: MemoryLog, boot: int = 7) -> Tail:
    return Tail(log, 3, boot, SteppedClock(), 0.2)


def records(log: MemoryLog) -> list[tuple[int, int, bytes]]:
    """Each with its sequence, and which one it follows."""
    found = []
    for sequence, data in sorted(log.records.items()):
        record = decode_record(data)
        found.append((sequence, record.follows, record.payload))
    return found


async def put(writer: Tail, *payloads: bytes) -> None:
    """As the store does: what is appended counts."""
    await writer.append(GROUP, list(payloads))
    writer.counts = writer.end


@pytest.mark.parametrize("fault", ["lost", "taken", "hangs taken"])
def test_what_was_not_answered_is_there_once(fault: str):
    async def run() -> None:
        log = MemoryLog()
        writer = tail(log)
        await put(writer, b"a")
        log.faults.append(fault)
        if fault.startswith("hangs"):
            with pytest.raises(LogUnavailable, match=r"no answer to record 2 within 0\.2 seconds"):
                await put(writer, b"b")
        else:
            await put(writer, b"b")
            assert records(log) == [(1, 0, b"a"), (2, 1, b"b")]

    asyncio.run(run())


def test_a_replica_that_is_behind_does_not_fence():
    async def run() -> None:
        log = MemoryLog()
        log.faults.append("taken")
        log.stale_reads = 2
        await put(tail(log), b"a")
        assert records(log) == [(1, 0, b"a")]

    asyncio.run(run())


async def given_up(log: MemoryLog, writer: Tail, fault: str) -> None:
    log.always = fault
    with pytest.raises(LogUnavailable):
        await put(writer, b"given up")
    log.always = "ok"


def test_what_was_given_up_and_is_there_is_void_by_the_next():
    async def run() -> None:
        log = MemoryLog()
        writer = tail(log)
        await put(writer, b"a")
        await given_up(log, writer, "hangs taken")
        await put(writer, b"b")
        await put(writer, b"c")
        assert records(log) == [(1, 0, b"a"), (2, 1, b"given up"), (3, 1, b"b"), (4, 3, b"c")]

    asyncio.run(run())


def test_what_was_given_up_and_is_not_there_never_comes():
    async def run() -> None:
        log = MemoryLog()
        writer = tail(log)
        await put(writer, b"a")
        await given_up(log, writer, "late")
        await put(writer, b"b")
        assert set(log.land()) == {False}
        assert records(log) == [(1, 0, b"a"), (2, 1, b"b")]

    asyncio.run(run())


def test_what_comes_between_the_look_and_the_next_append_is_void_too():
    async def run() -> None:
        log = MemoryLog()
        writer = tail(log)
        await put(writer, b"a")
        await given_up(log, writer, "late")
        read = log.read

        async def read_before_it_lands(first: int, count: int) -> list[tuple[int, bytes]]:
            found = await read(first, count)
            log.land()
            return found

        log.read = read_before_it_lands
        await put(writer, b"b")
        assert records(log) == [(1, 0, b"a"), (2, 1, b"given up"), (3, 1, b"b")]

    asyncio.run(run())


def test_many_that_were_given_up_at_one_place():
    async def run() -> None:
        log = MemoryLog()
        writer = tail(log)
        await given_up(log, writer, "late")
        first, log.late = log.late, []
        await given_up(log, writer, "lost")
        log.late = first[:1]
        assert log.land() == [True], "the first of both"
        await put(writer, b"b")
        assert [each[1:] for each in records(log)] == [(0, b"given up"), (0, b"b")]

    asyncio.run(run())


def test_parts_follow_each_other_and_a_half_group_is_void():
    async def run() -> None:
        log = MemoryLog()
        writer = tail(log)
        await put(writer, b"a", b"b")
        log.faults.extend(["ok", *["lost"] * 99])
        with pytest.raises(LogUnavailable):
            await put(writer, b"half", b"never")
        log.faults.clear()
        await put(writer, b"c")
        follows = [(1, 0, b"a"), (2, 1, b"b"), (3, 2, b"half"), (4, 2, b"c")]
        assert records(log) == follows
        parts = [decode_record(log.records[each]) for each in (1, 2)]
        assert [(each.part, each.last) for each in parts] == [(0, False), (1, True)]

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["ok", "lost"])
def test_what_another_one_wrote_fences(fault: str):
    async def run() -> None:
        log = MemoryLog()
        writer = tail(log)
        await put(writer, b"a")
        await put_other(log)
        log.faults.append(fault)
        with pytest.raises(LogFenced):
            await put(writer, b"b")
        assert len(log.records) == 2

    async def put_other(log: MemoryLog) -> None:
        other = tail(log, boot=8)
        other.end = other.counts = 1
        await put(other, b"b")

    asyncio.run(run())


def test_the_bytes_of_records_are_told():
    async def run() -> None:
        log = MemoryLog(record_bytes_max=1 << 24)
        writer = tail(log)
        assert writer.payload_bytes_max == (1 << 20) - HEAD_BYTES
        assert tail(MemoryLog(500)).payload_bytes_max == 500 - HEAD_BYTES
        assert await writer.append(GROUP, [b"12345", b"678"]) == 2 * HEAD_BYTES + 8
        record = Record(GROUP, 3, 7, 1, 0, 1_800_000_000_000, 0, False, b"12345")
        assert log.records[1] == encode_record(record)

    asyncio.run(run())


def test_a_node_that_ends_waits_no_longer_than_it_must(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail_module, "LAST_PATIENCE_SECONDS", 0.05)

    async def run() -> None:
        log = MemoryLog()
        writer = Tail(log, 3, 7, SteppedClock(), 3_600.0)
        log.leaderless = True
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            failing = tasks.create_task(given_up(log, writer, "ok"))
            await asyncio.sleep(0)
            writer.hurry()
            await failing
        with pytest.raises(LogUnavailable):
            await put(writer, b"later")
        log.leaderless = False
        await put(writer, b"there")
        writer.hurry()

    asyncio.run(run())
