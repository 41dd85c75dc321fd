"""The store of a node in a cluster: what it promises when the log, the disk or another owner gets in the way."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rookery.records import Group, position_of
from rookery.records_wire import decode_record, encode_group
from rookery.store.faults import StoreFault
from rookery.store.replicated import ReplicatedStore
from tests.support.cell_log import MemoryLog
from tests.support.stores import commit, group, opened, read, replicated_store, session


@contextlib.asynccontextmanager
async def running(store: ReplicatedStore) -> AsyncIterator[ReplicatedStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def facts_of(directory: Path, log: MemoryLog) -> list[str]:
    """What a node finds that has nothing but the log."""
    loaded = asyncio.run(opened(lambda: replicated_store(directory, log)))
    return sorted(loaded.facts)


def named(name: str, block: int = 1, *entries: bytes):
    return group(block, *entries, facts={name: b""})


class TestTheLogDoesNotAnswer:
    @pytest.mark.parametrize("fault", ["lost", "taken", "late"])
    def test_for_a_moment(self, tmp_path: Path, fault: str):
        async def run() -> MemoryLog:
            log = MemoryLog()
            async with running(replicated_store(tmp_path / "a", log)) as store:
                log.faults.append(fault)
                assert await commit(store, named("a")) is None
                assert await commit(store, named("b")) is None
                assert store.problems() == []
                log.land()
                assert await commit(store, named("c")) is None
            return log

        log = asyncio.run(run())
        assert facts_of(tmp_path / "b", log) == ["a", "b", "c"]

    @pytest.mark.parametrize("fault", ["lost", "taken", "late", "hangs", "hangs taken"])
    def test_so_that_a_group_is_given_up(self, tmp_path: Path, fault: str):
        """It fails, those behind it are taken, and a rebuild knows nothing of it."""

        async def run() -> MemoryLog:
            log = MemoryLog()
            async with running(replicated_store(tmp_path / "a", log)) as store:
                assert await commit(store, named("a", 1, b"x")) is None
                log.always = fault if fault != "taken" else "hangs taken"
                error = await commit(store, named("given up", 2, b"y"))
                assert "the log of the cell n1 does not answer" in str(error)
                assert store.problems() == [str(error)]
                assert not store.full()
                log.always = "ok"
                assert await commit(store, named("b", 3, b"z")) is None
                assert store.problems() == []
                log.land()
                assert await commit(store, named("c", 4)) is None
                found = await read(store, *(position_of(block, 0) for block in (1, 2, 3)))
                assert found == [b"x", None, b"z"]
            return log

        log = asyncio.run(run())
        assert facts_of(tmp_path / "a", log) == ["a", "b", "c"]
        assert facts_of(tmp_path / "b", log) == ["a", "b", "c"]

    def test_at_the_start(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            log.down = True
            store = replicated_store(tmp_path, log, open_patience_seconds=0.1)
            with pytest.raises(StoreFault, match="a majority of the cluster's servers"):
                await store.open()
            log.down = False
            async with running(replicated_store(tmp_path, log)):  # The directory is free again.
                pass

        asyncio.run(run())

    def test_while_a_start_waits(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            log.leaderless = True
            opening = asyncio.create_task(replicated_store(tmp_path, log).open())
            while not log.lasts:
                await asyncio.sleep(0)
            assert not opening.done()
            log.leaderless = False
            await opening

        asyncio.run(run())

    def test_closing_does_not_wait_for_each(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            store = replicated_store(tmp_path, log, patience_seconds=0.2)
            await store.open()
            log.always = "hangs"
            errors: list[Exception | None] = []
            for _ in range(50):
                store.commit(named("a"), errors.append)
            async with asyncio.timeout(5):
                await store.close()
            assert len(errors) == 50
            assert all(errors)

        asyncio.run(run())


def test_done_is_said_when_the_group_can_be_read(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog()
        async with running(replicated_store(tmp_path, log)) as store:
            for block in range(1, 30):
                assert await commit(store, group(block, b"%d" % block)) is None
                assert await read(store, position_of(block, 0)) == [b"%d" % block]

    asyncio.run(run())


def test_a_group_larger_than_a_record(tmp_path: Path):
    async def run() -> MemoryLog:
        log = MemoryLog(record_bytes_max=5_000)
        async with running(replicated_store(tmp_path / "a", log)) as store:
            entries = [bytes([index]) * 1_000 for index in range(60)] * 3
            assert await commit(store, named("a", 1, *entries)) is None
            log.faults.extend(["ok", "ok", "taken", "lost"])
            assert await commit(store, named("b", 9, *entries)) is None
            log.faults.extend(["ok", "ok", *["hangs"] * 9])
            assert await commit(store, named("half", 17, *entries)) is not None
            log.faults.clear()
            assert await commit(store, named("c", 25)) is None
        assert len(log.records) > 70
        return log

    log = asyncio.run(run())
    loaded = asyncio.run(opened(lambda: replicated_store(tmp_path / "b", log)))
    assert sorted(loaded.facts) == ["a", "b", "c"]
    assert loaded.blocks == [1, 2, 3, 9, 10, 11]


def test_a_large_group_is_encoded_off_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    on_the_loop: list[bool] = []

    def encode(made: Group) -> bytes:
        on_the_loop.append(threading.current_thread() is threading.main_thread())
        return encode_group(made)

    monkeypatch.setattr("rookery.store.replicated.encode_group", encode)

    async def run() -> None:
        log = MemoryLog(record_bytes_max=8 << 20)
        async with running(replicated_store(tmp_path, log)) as store:
            assert await commit(store, group(1, *[bytes(400)] * 10_000)) is None
            assert await commit(store, group(200, bytes(400))) is None
        assert on_the_loop == [False, True]
        # What is reckoned on the loop is small as well.
        assert 900_000 < max(map(len, log.records.values())) <= 1_048_576

    asyncio.run(run())


class TestAnotherOwner:
    def test_stops_the_store(self, tmp_path: Path):
        async def run() -> MemoryLog:
            log = MemoryLog()
            told: list[str] = []
            async with running(replicated_store(tmp_path / "a", log, fenced=told.append)) as store:
                assert await commit(store, named("a")) is None
                async with running(replicated_store(tmp_path / "b", log)) as other:
                    assert await commit(other, named("b")) is None
                    appends = log.appends
                    for name in ("c", "d"):
                        error = await commit(store, named(name))
                        assert "the cell n1 has another owner" in str(error)
                    assert log.appends == appends + 1
                    assert told == store.problems() == [str(error)]
                    assert store.full()
                    assert await commit(other, named("e")) is None
            return log

        assert facts_of(tmp_path / "c", asyncio.run(run())) == ["a", "b", "e"]

    def test_a_log_of_a_later_epoch_is_not_opened(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            async with running(replicated_store(tmp_path / "a", log, epoch=3)):
                pass
            with pytest.raises(StoreFault, match="has another owner: record 1 is of epoch 3"):
                await replicated_store(tmp_path / "b", log, epoch=2).open()

        asyncio.run(run())


class TestTheImage:
    def test_a_group_it_refuses_is_void(self, tmp_path: Path):
        async def run() -> MemoryLog:
            log = MemoryLog()
            async with running(replicated_store(tmp_path / "a", log)) as store:
                assert await commit(store, named("a", 1, b"x")) is None
                error = await commit(store, named("twice", 1, b"y"))
                assert "UNIQUE" in str(error)
                void = log.end
                assert await commit(store, named("b", 2, b"z")) is None
                assert decode_record(log.records[log.end]).follows == void - 1
                assert "UNIQUE" in str(await commit(store, named("again", 1, b"y")))
            return log

        log = asyncio.run(run())
        assert facts_of(tmp_path / "a", log) == ["a", "b"]
        assert facts_of(tmp_path / "b", log) == ["a", "b"]

    def test_a_group_that_cannot_be_bytes_fails(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            async with running(replicated_store(tmp_path, log)) as store:
                error = await commit(store, group(1, retained={"t": 1 << 70}))
                assert "cannot be written as bytes" in str(error)
                assert await commit(store, named("a")) is None

        asyncio.run(run())

    def test_that_cannot_grow_for_a_moment_costs_nothing(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            store = replicated_store(tmp_path, log, image_patience_seconds=30.0)
            async with running(store):
                allow_pages(store, 30)
                committing = asyncio.create_task(commit(store, group(1, bytes(400_000))))
                while not store.problems():
                    await asyncio.sleep(0.01)
                assert not committing.done()
                assert "cannot grow" in store.problems()[0]
                allow_pages(store, 1 << 30)
                assert await committing is None
                assert store.problems() == []
                assert await read(store, position_of(1, 0)) == [bytes(400_000)]

        asyncio.run(run())

    def test_that_cannot_be_written_stops_the_store_and_the_log_has_everything(
        self, tmp_path: Path
    ):
        async def run() -> MemoryLog:
            log = MemoryLog()
            told: list[str] = []
            store = replicated_store(tmp_path, log, fenced=told.append)
            async with running(store):
                assert await commit(store, named("a")) is None
                allow_pages(store, 30)
                assert "cannot grow" in str(await commit(store, named("b", 1, bytes(400_000))))
                assert "cannot be written" in str(await commit(store, named("c")))
                assert len(told) == 1
                assert "the image of the cell n1 cannot be written" in store.problems()[0]
            return log

        log = asyncio.run(run())
        loaded = asyncio.run(opened(lambda: replicated_store(tmp_path, log)))
        assert sorted(loaded.facts) == ["a", "b"]
        assert loaded.blocks == [1]

    def test_messages_over_the_bytes_allowed_are_refused_before_the_log_has_them(
        self, tmp_path: Path
    ):
        async def run() -> None:
            log = MemoryLog()
            async with running(replicated_store(tmp_path, log, bytes_max=300_000)) as store:
                assert await commit(store, group(1, bytes(200_000))) is None
                appends = log.appends
                error = await commit(store, group(2, bytes(200_000)))
                assert "is full" in str(error)
                assert log.appends == appends
                assert store.full()
                assert str(error) in store.problems()
                assert await commit(store, group(2, sessions={1: session(1)})) is None
                assert store.full()
                assert await commit(store, group(2, finished_blocks=[1])) is None
                assert await commit(store, group(2)) is None
                assert not store.full()
                assert await commit(store, group(2, bytes(200_000))) is None

        asyncio.run(run())

    def test_messages_that_the_disk_has_no_room_for_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        async def run() -> None:
            log = MemoryLog()
            async with running(replicated_store(tmp_path, log)) as store:
                usage = type("Usage", (), {"free": 70_000})
                monkeypatch.setattr("rookery.store.writer.shutil.disk_usage", lambda path: usage)
                store._image.writer.room_bytes = 70_000
                appends = log.appends
                error = await commit(store, group(1, bytes(4_000)))
                assert "cannot grow: 70000 bytes are free; make room on the disk" in str(error)
                assert await commit(store, named("a")) is None
                assert log.appends == appends + 1

        asyncio.run(run())


def allow_pages(store: ReplicatedStore, pages: int) -> None:
    """As a full disk does, only that nothing else suffers from it."""
    connection = store._image.writer._connection
    assert connection is not None
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()


class TestSnapshots:
    def test_are_taken_when_the_log_has_grown_and_it_is_forgotten(self, tmp_path: Path):
        async def run() -> MemoryLog:
            log = MemoryLog()
            store = replicated_store(tmp_path / "a", log, snapshot_bytes_min=50_000)
            async with running(store):
                for block in range(1, 40):
                    assert await commit(store, named(f"{block:02}", block, bytes(3_000))) is None
                while log.kept is None or len(log.records) > 35:
                    await asyncio.sleep(0.001)
                assert store.problems() == []
                assert await commit(store, named("z", 40)) is None
            return log

        log = asyncio.run(run())
        assert facts_of(tmp_path / "b", log) == [*(f"{block:02}" for block in range(1, 40)), "z"]

    def test_keep_no_commit_waiting(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            log.snapshot_may_go_on = asyncio.Event()
            async with running(replicated_store(tmp_path, log, snapshot_bytes_min=0)) as store:
                for block in range(1, 10):
                    assert await commit(store, named(f"{block}", block)) is None
                assert log.kept is None
                log.snapshot_may_go_on.set()
                while log.kept is None:
                    await asyncio.sleep(0.001)

        asyncio.run(run())

    def test_one_that_fails_is_told_and_the_log_kept(self, tmp_path: Path):
        async def run() -> None:
            log = MemoryLog()
            log.snapshot_fault = "no room there"
            async with running(replicated_store(tmp_path, log, snapshot_bytes_min=0)) as store:
                assert await commit(store, named("a")) is None
                while not store.problems():
                    await asyncio.sleep(0.001)
                assert "no snapshot of the cell n1 could be kept" in store.problems()[0]
                assert log.records
                log.snapshot_fault = None
                await store.snapshot_now()
                assert store.problems() == []
                assert log.records == {}
            assert not list(tmp_path.glob("rookery.snapshot*"))

        asyncio.run(run())

    def test_a_start_behind_one_goes_on_where_it_was(self, tmp_path: Path):
        async def run() -> MemoryLog:
            log = MemoryLog()
            async with running(replicated_store(tmp_path / "a", log)) as store:
                assert await commit(store, named("a", 5, b"x")) is None
                await store.snapshot_now()
            for directory in ("a", "b"):
                async with running(replicated_store(tmp_path / directory, log)) as store:
                    assert await commit(store, named(directory, 6 + log.end, b"y")) is None
                    assert await read(store, position_of(5, 0)) == [b"x"]
            return log

        assert facts_of(tmp_path / "c", asyncio.run(run())) == ["a", "b"]
