import asyncio

import pytest

from rookery.engine.peers.slices import CommitFailed, Slices
from tests.support.engine import Engine, FakeStore


def begun(engine: Engine) -> tuple[Slices, list[str]]:
    told: list[str] = []
    return Slices(engine.broker, lambda: told.append("failed")), told


def append(engine: Engine, slices: Slices, size_bytes: int) -> None:
    position = engine.broker.committer.append_entry(b"x" * size_bytes)
    engine.broker.committer.refer(position, 1)
    slices.note(size_bytes)


def test_says_when_enough_was_done():
    slices, _ = begun(Engine())
    slices.work_max = 3
    assert [slices.spend(1) for _ in range(4)] == [False, False, True, True]
    asyncio.run(slices.pause())
    assert slices.spend(1) is False


def test_asks_for_a_turn():
    engine = Engine()
    slices, _ = begun(engine)
    asyncio.run(slices.rest())
    assert engine.turn_requested


def test_waits_for_the_disk_when_it_is_far_ahead():
    async def scenario() -> None:
        engine = Engine(FakeStore())
        slices, _ = begun(engine)
        slices.ahead_bytes_max = 100
        append(engine, slices, 60)
        await slices.pause()
        engine.turn()
        append(engine, slices, 60)
        waiting = asyncio.get_running_loop().create_task(slices.pause())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        engine.complete()
        await waiting

    asyncio.run(scenario())


def test_waits_until_all_is_durable():
    async def scenario() -> None:
        engine = Engine(FakeStore())
        slices, _ = begun(engine)
        append(engine, slices, 1)
        waiting = asyncio.get_running_loop().create_task(slices.durable())
        await asyncio.sleep(0)
        engine.settle()
        await asyncio.sleep(0)
        assert not waiting.done()
        engine.complete()
        await waiting

    asyncio.run(scenario())


def test_a_commit_that_fails_is_told_at_once_and_stops_the_work():
    async def scenario() -> None:
        engine = Engine(FakeStore())
        slices, told = begun(engine)
        append(engine, slices, 1)
        engine.turn()
        engine.store.complete(OSError("full"))
        assert told == ["failed"]
        with pytest.raises(CommitFailed, match="takes no messages"):
            await slices.pause()
        await slices.rest()
        with pytest.raises(CommitFailed):
            await slices.durable()

    asyncio.run(scenario())


def test_nothing_is_begun_while_nothing_can_be_kept():
    engine = Engine()
    slices, _ = begun(engine)
    engine.broker.committer.failing = True
    with pytest.raises(CommitFailed):
        asyncio.run(slices.pause())
