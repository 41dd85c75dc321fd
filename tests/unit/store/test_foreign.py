"""The cell of another node, read without its leader, followed, and sealed."""

import asyncio
from pathlib import Path

import pytest

from rookery.ports import LogFenced, LogUnavailable
from rookery.records import position_of
from rookery.store import catch_up
from rookery.store.faults import StoreFault
from rookery.store.foreign import ForeignCell, open_foreign
from tests.support.cell_log import MemoryLog
from tests.support.stores import SteppedClock, commit, group, read, replicated_store, session


def foreign(log: MemoryLog, directory: Path, epoch: int = 1):
    directory.mkdir(exist_ok=True)
    return open_foreign(log, directory, "n1", epoch, SteppedClock())


def named(name: str, block: int, *entries: bytes):
    return group(block, *entries, facts={name: b""})


def names(groups) -> list[str]:
    return [name for each in groups for name in each.facts]


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_everything_is_found_without_a_leader(tmp_path: Path, with_snapshot: bool):
    async def run() -> None:
        log = MemoryLog()
        store = replicated_store(tmp_path / "a", log)
        await store.open()
        await commit(store, group(1, b"x", b"y", sessions={1: session(1)}))
        if with_snapshot:
            await store.snapshot_now()
        await commit(store, named("a", 2, b"z"))
        log.leaderless = True
        lasts = log.lasts
        cell = await foreign(log, tmp_path / "b")
        assert ([row.number for row in cell.loaded.sessions], cell.loaded.blocks) == ([1], [1, 2])
        assert list(cell.loaded.facts) == ["a"]
        assert cell.loaded.alive_at_wall == 1_800_000_000.0
        assert cell.sequence == log.end
        assert await cell.read_blocks([1, 2]) == [[b"x", b"y"], [b"z"]]
        assert await read(cell, position_of(1, 1)) == [b"y"]
        assert log.lasts == lasts
        await cell.close()
        assert list((tmp_path / "b").iterdir()) == []
        await store.close()

    asyncio.run(run())


def test_a_replica_that_lags_hides_nothing_that_another_has(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog()
        store = replicated_store(tmp_path / "a", log)
        await store.open()
        await commit(store, named("a", 1, b"x"))
        log.stale_reads = 4
        cell = await foreign(log, tmp_path / "b")
        assert list(cell.loaded.facts) == ["a"]
        await cell.close()
        await store.close()

    asyncio.run(run())


def test_the_tail_is_followed_and_sealed(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog()
        told: list[str] = []
        store = replicated_store(tmp_path / "a", log, fenced=told.append)
        await store.open()
        await commit(store, named("a", 1, b"x"))
        cell = await foreign(log, tmp_path / "b")
        assert await cell.follow() == []
        await commit(store, named("b", 2, b"y"))
        await commit(store, named("c", 3, b"z"))
        assert await cell.seal("n2") is False
        found = await cell.follow()
        assert names(found) == ["b", "c"]
        assert [each.entries for each in found] == [[b"y"], [b"z"]]
        assert await read(cell, position_of(1, 0), position_of(3, 0)) == [b"x", b"z"]
        assert await cell.seal("n2") is True
        assert cell.sealed == "n2"
        error = await commit(store, named("d", 4))
        assert "has another owner" in str(error)
        assert len(told) == 1
        assert await cell.follow() == []
        await cell.close()
        await store.close()

    asyncio.run(run())


def test_a_seal_that_was_not_answered_is_found(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog()
        cell = await foreign(log, tmp_path)
        log.faults.append("taken")
        with pytest.raises(LogUnavailable):
            await cell.seal("n2")
        assert await cell.seal("n2") is False
        assert await cell.follow() == []
        assert cell.sealed == "n2"
        await cell.close()

    asyncio.run(run())


def test_groups_that_were_read_are_given_out_though_the_log_then_failed(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog()
        store = replicated_store(tmp_path / "a", log)
        await store.open()
        cell = await foreign(log, tmp_path / "b")
        for name in ("a", "b", "c"):
            await commit(store, named(name, 1))
        reading = log.read
        reads = 0

        async def read_once(first: int, count: int) -> list[tuple[int, bytes]]:
            nonlocal reads
            reads += 1
            if reads == 2:
                raise LogUnavailable("it died")
            return await reading(first, count)

        log.read = read_once
        with pytest.raises(LogUnavailable):
            await cell.follow()
        assert names(await cell.follow()) == ["a", "b", "c"]
        await cell.close()
        await store.close()

    asyncio.run(run())


def test_what_was_given_up_before_the_last_is_left_out(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog()
        store = replicated_store(tmp_path / "a", log)
        await store.open()
        await commit(store, named("a", 1))
        log.always = "hangs taken"
        assert await commit(store, named("given up", 2)) is not None
        log.always = "ok"
        cell = await foreign(log, tmp_path / "b")
        assert list(cell.loaded.facts) == ["a", "given up"], "it may have been acknowledged"
        await commit(store, named("b", 3))
        assert names(await cell.follow()) == ["b"]
        await cell.close()
        cell = await foreign(log, tmp_path / "b")
        assert list(cell.loaded.facts) == ["a", "b"]
        await cell.close()
        await store.close()

    asyncio.run(run())


def test_another_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catch_up, "STALE_SECONDS", 0.1)

    async def run() -> None:
        log = MemoryLog()
        for epoch in (1, 2):
            store = replicated_store(tmp_path / "a", log, epoch=epoch)
            await store.open()
            await commit(store, named(f"{epoch}", 1))
            if epoch == 1:
                await store.snapshot_now()
            await store.close()
        cell: ForeignCell = await foreign(log, tmp_path / "b", epoch=2)
        assert list(cell.loaded.facts) == ["2"]
        await cell.close()
        with pytest.raises(LogFenced):
            await foreign(log, tmp_path / "b", epoch=1)
        assert list((tmp_path / "b").iterdir()) == []

    asyncio.run(run())


def test_a_damaged_record_is_told_and_nothing_left_behind(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog()
        await log.append(b"what is this?", 0)
        with pytest.raises(StoreFault, match="record 1 of the log is damaged"):
            await foreign(log, tmp_path)
        assert list(tmp_path.iterdir()) == []

    asyncio.run(run())
