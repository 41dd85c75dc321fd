"""The start of a node in a cluster: from whatever lies on its disk to what the log says."""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from rookery.records import Loaded, position_of
from rookery.records_wire import SEAL, Record, encode_record
from rookery.store import catch_up
from rookery.store.faults import StoreFault
from tests.support.cell_log import MemoryLog
from tests.support.stores import (
    commit,
    copy_files,
    group,
    opened,
    read,
    replicated_store,
    session,
    sqlite_store,
)


def started(
    directory: Path,
    log: MemoryLog,
    work: Callable[..., Awaitable[object]] | None = None,
    **options,
) -> tuple[Loaded, list[str]]:
    """Start a store, do something with it, and close it: what it found and had to tell."""

    async def run() -> tuple[Loaded, list[str]]:
        store = replicated_store(directory, log, **options)
        loaded = await store.open()
        try:
            problems = store.problems()
            if work is not None:
                await work(store)
        finally:
            await store.close()
        return loaded, problems

    return asyncio.run(run())


def puts(*names: str) -> Callable[..., Awaitable[object]]:
    async def work(store) -> None:
        for name in names:
            assert await commit(store, group(1, facts={name: b""})) is None

    return work


def facts(directory: Path, log: MemoryLog, **options) -> list[str]:
    loaded, problems = started(directory, log, **options)
    assert problems == []
    return sorted(loaded.facts)


def aside(directory: Path, word: str) -> list[str]:
    return sorted(each.name for each in directory.glob(f"*.{word}-*") if each.suffix[-4] != "-")


def test_nothing_of_the_image_is_shown(tmp_path: Path):
    log = MemoryLog()
    started(tmp_path, log, puts("a"))
    loaded, _ = started(tmp_path, log)
    assert list(loaded.facts) == ["a"]


def test_an_image_that_is_good_is_kept(tmp_path: Path):
    log = MemoryLog()
    started(tmp_path, log, puts("a"))
    inode = (tmp_path / "rookery.db").stat().st_ino
    assert facts(tmp_path, log) == ["a"]
    assert (tmp_path / "rookery.db").stat().st_ino == inode


def test_an_image_that_is_behind_is_brought_up(tmp_path: Path):
    log = MemoryLog()
    started(tmp_path / "a", log, puts("a"))
    copy_files(tmp_path / "a", tmp_path / "b")
    inode = (tmp_path / "b" / "rookery.db").stat().st_ino
    started(tmp_path / "a", log, puts("b", "c"))
    assert facts(tmp_path / "b", log) == ["a", "b", "c"]
    assert (tmp_path / "b" / "rookery.db").stat().st_ino == inode


def snapshot(store) -> Awaitable[None]:
    return store.snapshot_now()


@pytest.mark.parametrize("behind", [[], ["c"]])
def test_an_image_behind_what_was_forgotten_is_made_anew(
    tmp_path: Path, behind: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(catch_up, "STALE_SECONDS", 0.1)
    log = MemoryLog()
    started(tmp_path / "a", log, puts("a"))
    copy_files(tmp_path / "a", tmp_path / "b")

    async def work(store) -> None:
        await puts("b")(store)
        await store.snapshot_now()

    started(tmp_path / "a", log, work)
    assert log.records == {}
    if behind:
        started(tmp_path / "a", log, puts(*behind))
    assert facts(tmp_path / "b", log) == ["a", "b", *behind]
    assert len(aside(tmp_path / "b", "outdated")) == 1
    log.end += 1  # And so it is where a whole record is missing.
    with pytest.raises(StoreFault, match=r"is not there|and the last known is"):
        started(tmp_path / "b", log)


@pytest.mark.parametrize("harm", ["torn", "other", "row", "mark"])
def test_an_image_that_is_damaged_is_made_anew(tmp_path: Path, harm: str):
    log = MemoryLog()
    started(tmp_path, log, puts(*(f"{each:03}" for each in range(100))))
    path = tmp_path / "rookery.db"
    if harm == "torn":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif harm == "other":
        path.write_bytes(b"what is this?" * 1000)
    else:
        change = {"row": "'0'", "mark": "'00'"}[harm]
        key = {"row": "007", "mark": "store/mark"}[harm]
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE facts SET value_hex = {change} WHERE key = '{key}'")
    assert len(facts(tmp_path, log)) == 100
    assert len(aside(tmp_path, "broken")) == 1
    assert len(facts(tmp_path, log)) == 100


def test_an_image_ahead_of_the_log_is_set_aside_and_told(tmp_path: Path):
    log = MemoryLog()
    started(tmp_path, log, puts("a"))
    loaded, (problem,) = started(tmp_path, MemoryLog())
    assert loaded.facts == {}
    assert "it knows of record 2, and the last of the log is 0" in problem
    assert f"lies now at {tmp_path}/rookery.db.replaced-" in problem


def test_an_image_of_another_cell_is_set_aside_and_told(tmp_path: Path):
    log, other = MemoryLog(), MemoryLog()
    started(tmp_path / "a", log, puts("a"))
    started(tmp_path / "b", other, puts("b"), cell="n2")
    shutil.rmtree(tmp_path / "a")
    copy_files(tmp_path / "b", tmp_path / "a")
    loaded, (problem,) = started(tmp_path / "a", log)
    assert list(loaded.facts) == ["a"]
    assert "it is of epoch 1 of the cell n2" in problem


class TestEpochs:
    def test_what_was_adopted_is_gone_even_if_the_log_was_not_emptied(self, tmp_path: Path):
        log = MemoryLog()
        started(tmp_path, log, puts("a"))
        started(tmp_path, log, snapshot)
        started(tmp_path, log, puts("b"))
        assert facts(tmp_path, log, epoch=2) == []
        started(tmp_path, log, puts("c"), epoch=2)
        assert facts(tmp_path, log, epoch=2) == ["c"]
        assert facts(tmp_path / "new", log, epoch=2) == ["c"]
        assert len(aside(tmp_path, "outdated")) == 1

    def test_a_log_that_was_emptied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(catch_up, "STALE_SECONDS", 0.1)
        log = MemoryLog()
        started(tmp_path, log, puts("a"))
        log.records.clear()
        assert facts(tmp_path, log, epoch=2) == []
        started(tmp_path, log, puts("b"), epoch=2)
        assert facts(tmp_path / "new", log, epoch=2) == ["b"]

    def test_only_the_last_image_that_is_outdated_is_kept(self, tmp_path: Path):
        log = MemoryLog()
        for epoch in range(1, 5):
            started(tmp_path, log, puts(f"{epoch}"), epoch=epoch)
        assert len(aside(tmp_path, "outdated")) == 1

    def test_an_image_of_a_later_epoch_is_not_thrown_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(catch_up, "STALE_SECONDS", 0.1)
        log = MemoryLog()
        started(tmp_path, log, puts("a"), epoch=2)
        log.records.clear()
        log.end = 9
        _, (problem,) = started(tmp_path, log, epoch=1)
        assert "it is of epoch 2 of the cell n1" in problem
        assert len(aside(tmp_path, "replaced")) == 1

    def test_a_cell_that_was_sealed_is_not_opened(self, tmp_path: Path):
        log = MemoryLog()
        started(tmp_path, log, puts("a"))
        seal = Record(SEAL, 1, 5, 1, log.end, 0, 0, True, b"n2")
        asyncio.run(log.append(encode_record(seal), log.end))
        with pytest.raises(StoreFault, match="n2 has taken it over"):
            started(tmp_path, log)


class TestASingleNodeBecomesAMember:
    def single(self, directory: Path) -> None:
        async def put() -> None:
            store = sqlite_store(directory)
            await store.open()
            made = group(1, b"x", sessions={1: session(1)}, facts={"a": b""})
            await commit(store, made)
            await store.close()

        asyncio.run(put())

    def test_what_it_has_begins_the_cell(self, tmp_path: Path):
        self.single(tmp_path / "a")
        log = MemoryLog()
        loaded, problems = started(tmp_path / "a", log, puts("b"))
        assert problems == []
        assert ([row.number for row in loaded.sessions], loaded.blocks) == ([1], [1])
        assert log.kept is not None

        async def look(store) -> None:
            assert await read(store, position_of(1, 0)) == [b"x"]

        loaded, _ = started(tmp_path / "b", log, look)
        assert sorted(loaded.facts) == ["a", "b"]
        assert (loaded.next_block, loaded.next_number) == (2, 2)

    def test_a_join_that_was_cut_short_is_done_again(self, tmp_path: Path):
        self.single(tmp_path)
        log = MemoryLog()
        log.snapshot_fault = "cut short"
        with pytest.raises(StoreFault, match="cut short"):
            started(tmp_path, log, open_patience_seconds=0.1)
        assert log.records == {}
        log.snapshot_fault = None
        # Others may have thought it dead meanwhile.
        assert facts(tmp_path, log, epoch=2) == ["a"]
        assert facts(tmp_path / "new", log, epoch=2) == ["a"]

    def test_not_over_a_cell_that_has_something(self, tmp_path: Path):
        log = MemoryLog()
        started(tmp_path / "a", log, puts("b"))
        self.single(tmp_path / "b")
        loaded, (problem,) = started(tmp_path / "b", log)
        assert list(loaded.facts) == ["b"]
        assert "it is a single node's, and the cell has a log already" in problem
        copy_files(tmp_path / "b", tmp_path / "c")
        (set_aside,) = (tmp_path / "b").glob("rookery.db.replaced-*")
        (tmp_path / "c" / "rookery.db").write_bytes(set_aside.read_bytes())
        assert list(asyncio.run(opened(lambda: sqlite_store(tmp_path / "c"))).facts) == ["a"]


def test_a_member_that_went_on_alone_is_no_image_any_more(tmp_path: Path):
    log = MemoryLog()
    started(tmp_path, log, puts("a"))

    async def alone() -> None:
        store = sqlite_store(tmp_path)
        assert list((await store.open()).facts) == ["a"]
        assert await commit(store, group(1, facts={"alone": b""})) is None
        await store.close()

    asyncio.run(alone())
    loaded, (problem,) = started(tmp_path, log)
    assert list(loaded.facts) == ["a"]
    assert "it is a single node's" in problem


def test_what_an_earlier_process_had_under_way_never_comes(tmp_path: Path):
    log = MemoryLog()

    async def work(store) -> None:
        await puts("a")(store)
        log.always = "late"
        assert await commit(store, group(1, facts={"late": b""})) is not None
        log.always = "ok"

    started(tmp_path, log, work)
    assert facts(tmp_path, log) == ["a"]
    assert set(log.land()) == {False}


def test_the_last_that_was_given_up_may_be_found(tmp_path: Path):
    log = MemoryLog()

    async def work(store) -> None:
        await puts("a")(store)
        log.always = "hangs taken"
        assert await commit(store, group(1, facts={"given up": b""})) is not None
        log.always = "ok"

    started(tmp_path, log, work)
    assert facts(tmp_path, log) == ["a", "given up"]
    assert facts(tmp_path / "new", log) == ["a", "given up"]


def test_a_replica_that_is_behind_is_waited_for(tmp_path: Path):
    log = MemoryLog()
    started(tmp_path / "a", log, puts("a", "b"))
    log.stale_reads = 3
    assert facts(tmp_path / "b", log) == ["a", "b"]


def test_when_the_node_was_alive_comes_from_the_log(tmp_path: Path):
    log = MemoryLog()
    started(tmp_path / "a", log, puts("a"))
    loaded, _ = started(tmp_path / "b", log)
    assert loaded.alive_at_wall == 1_800_000_000.0
