"""What a writer was told is there is what a reader finds, whatever the log does with appends."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from rookery.ports import LogUnavailable
from rookery.records_wire import BEGIN, GROUP, encode_group, split_body
from rookery.store.replay import Replay
from rookery.store.tail import Tail
from tests.support.cell_log import MemoryLog
from tests.support.stores import SteppedClock, group

FAULTS = st.sampled_from(["ok", "lost", "taken", "late", "hangs", "hangs taken"])
ATTEMPTS = st.tuples(st.lists(FAULTS, max_size=4), st.booleans(), st.integers(1, 3))
"""What becomes of the appends of a group, whether what is late lands before it, and its records."""


async def written(log: MemoryLog, attempts: list[tuple[list[str], bool, int]]) -> list[str]:
    """Commit a group for each; the names of those that were acknowledged."""
    writer = Tail(log, 1, 7, SteppedClock(), 0.01)
    acknowledged = []
    for number, (faults, lands, parts) in enumerate(attempts):
        if lands:
            log.land()
        log.faults.extend(faults)
        log.always = "lost" if faults and faults[-1] != "ok" else "ok"
        body = encode_group(group(1, facts={f"{number}": bytes(30)}))
        try:
            await writer.append(GROUP, split_body(body, len(body) // parts + 1))
        except LogUnavailable:
            pass
        else:
            writer.counts = writer.end
            acknowledged.append(f"{number}")
        log.faults.clear()
        log.always = "ok"
    return acknowledged


def found(log: MemoryLog) -> list[str]:
    replay = Replay(1, 0)
    groups = [replay.take(*each) for each in sorted(log.records.items())]
    groups.append(replay.confirm())
    return [name for each in groups if each is not None for name in each.facts]


@settings(deadline=None, max_examples=150)
@given(st.lists(ATTEMPTS, max_size=8))
def test_a_reader_finds_what_was_acknowledged(attempts):
    async def run() -> None:
        log = MemoryLog()
        acknowledged = await written(log, attempts)
        # With nothing behind it, the last that was given up may be found.
        assert found(log)[: len(acknowledged)] == acknowledged
        assert len(found(log)) <= len(acknowledged) + 1
        log.land()
        assert found(log)[: len(acknowledged)] == acknowledged

    asyncio.run(run())


@settings(deadline=None, max_examples=150)
@given(st.lists(ATTEMPTS, max_size=6))
def test_behind_one_that_is_acknowledged_nothing_of_before_changes(attempts):
    async def run() -> None:
        log = MemoryLog()
        acknowledged = await written(log, [*attempts, ([], True, 1)])
        assert acknowledged[-1] == f"{len(attempts)}"
        assert found(log) == acknowledged
        log.land()
        assert found(log) == acknowledged

    asyncio.run(run())


def test_a_begin_of_another_start_ends_what_is_under_way():
    async def run() -> None:
        log = MemoryLog()
        await written(log, [([], False, 1), (["late"], False, 1)])
        replay = Replay(1, 0)
        for each in sorted(log.records.items()):
            replay.take(*each)
        second = Tail(log, 1, 8, SteppedClock(), 0.1)
        second.end, second.counts = replay.end, replay.confirmable()
        await second.append(BEGIN, [b"n1"])
        assert set(log.land()) == {False}
        assert found(log) == ["0"]

    asyncio.run(run())
