"""Snapshots: what comes back is what went, or it is refused."""

import asyncio
from pathlib import Path

import pytest

from rookery.store.database import FILE
from rookery.store.faults import StoreFault
from rookery.store.image import Mark
from rookery.store.snapshots import CRC_BYTES, download, mark_of, upload
from tests.support.cell_log import MemoryLog
from tests.support.stores import commit, group, replicated_store, sqlite_store


async def kept(directory: Path, log: MemoryLog) -> tuple[Mark, int]:
    """A store with some groups, and a snapshot of it."""
    store = replicated_store(directory, log)
    await store.open()
    for block in range(1, 30):
        await commit(store, group(block, bytes([block]) * 5_000, facts={f"{block}": b""}))
    found = await upload(log, directory)
    await store.close()
    return found


@pytest.mark.parametrize("record_bytes_max", [3, 1000, 1 << 20])
def test_it_comes_back_as_it_went(tmp_path: Path, record_bytes_max: int):
    async def run() -> None:
        log = MemoryLog()
        mark, _ = await kept(tmp_path / "a", log)
        assert (mark.cell, mark.applied) == ("n1", log.end)
        assert log.records == {}
        if record_bytes_max < log.record_bytes_max:
            _, parts = log.kept
            whole = b"".join(parts)
            step = record_bytes_max
            log.kept = (1, [whole[at : at + step] for at in range(0, len(whole), step)])
        snapshot = await log.snapshot()
        assert snapshot is not None
        (tmp_path / "b").mkdir()
        path = await download(snapshot, tmp_path / "b")
        assert path.stat().st_size == snapshot.size_bytes - CRC_BYTES
        found = mark_of(path)
        assert found is not None
        assert (found.cell, found.applied) == ("n1", mark.applied)

    asyncio.run(run())


def test_parts_are_no_larger_than_a_record(tmp_path: Path):
    async def run() -> None:
        log = MemoryLog(record_bytes_max=10_000)
        _, size_bytes = await kept(tmp_path, log)
        _, parts = log.kept
        assert max(map(len, parts)) == 10_000
        assert sum(map(len, parts)) == size_bytes
        assert not list(tmp_path.glob("rookery.snapshot*"))

    asyncio.run(run())


@pytest.mark.parametrize("harm", ["a byte", "the end", "a part", "everything"])
def test_one_that_is_damaged_is_refused(tmp_path: Path, harm: str):
    async def run() -> None:
        log = MemoryLog()
        await kept(tmp_path / "a", log)
        sequence, parts = log.kept
        whole = bytearray(b"".join(parts))
        if harm == "a byte":
            whole[len(whole) // 2] ^= 1
        elif harm == "everything":
            whole.clear()
        else:
            del whole[-2 if harm == "the end" else 4096 : None if harm == "the end" else 8192]
        log.kept = (sequence, [bytes(whole)])
        (tmp_path / "b").mkdir()
        snapshot = await log.snapshot()
        assert snapshot is not None
        with pytest.raises(StoreFault, match=f"the snapshot of record {sequence} is damaged"):
            await download(snapshot, tmp_path / "b")

    asyncio.run(run())


def test_a_database_without_a_mark_is_no_snapshot(tmp_path: Path):
    async def run() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await store.close()
        assert mark_of(tmp_path / FILE) is None
        log = MemoryLog()
        with pytest.raises(StoreFault, match="is of no cell"):
            await upload(log, tmp_path)
        assert log.kept is None
        assert not list(tmp_path.glob("rookery.snapshot*"))

    asyncio.run(run())
