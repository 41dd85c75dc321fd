"""Reading while things are damaged or fail."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from rookery.records import ENTRIES_PER_BLOCK_MAX, position_of
from rookery.store import reader
from tests.support.stores import commit, group, read, sqlite_store

LARGE = [bytes([index]) * 3000 for index in range(ENTRIES_PER_BLOCK_MAX)]


def damage(directory: Path, row: int, place: int, table: str = "log") -> None:
    connection = sqlite3.connect(directory / "rookery.db")
    with connection, connection.blobopen(table, "data", row) as blob:
        blob.seek(place if place >= 0 else len(blob) + place)
        byte = blob.read(1)
        blob.seek(place if place >= 0 else len(blob) + place)
        blob.write(bytes([byte[0] ^ 0x10]))
    connection.close()


@pytest.mark.parametrize("entries", [[b"first", b"second"], LARGE], ids=["small", "large"])
def test_a_damaged_entry_is_none_and_told(tmp_path: Path, entries: list[bytes]):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, *entries))
        damage(tmp_path, 1, -1)
        last = position_of(1, len(entries) - 1)
        assert await read(store, position_of(1, 0), last) == [entries[0], None]
        assert await store.read_blocks([1]) == [[*entries[:-1], None]]
        (problem,) = store.problems()
        assert problem.startswith("2 damaged entries were found in")
        await store.close()

    asyncio.run(work())


def test_a_damaged_directory_loses_the_block_and_no_more(tmp_path: Path):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, b"x"))
        await commit(store, group(2, b"y"))
        damage(tmp_path, 1, 17)
        assert await store.read_blocks([1, 2]) == [[], [b"y"]]
        assert await read(store, position_of(1, 0), position_of(2, 0)) == [None, b"y"]
        await store.close()

    asyncio.run(work())


def test_a_large_block_that_is_trimmed_meanwhile_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between the look that says it is large and the one that opens it the writer may have been there."""
    wanted = [position_of(1, 0), position_of(1, 5), position_of(1, 6)]

    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, *LARGE))
        opens = reader.Reader._open_large

        def late(self, connection, *rest):
            asyncio.run_coroutine_threadsafe(
                commit(store, group(2, trimmed={1: wanted[:2]})), loop
            ).result(20)
            opens(self, connection, *rest)

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(reader.Reader, "_open_large", late)
        assert await read(store, *wanted) == [LARGE[0], LARGE[5], None]
        assert store.problems() == []
        await store.close()

    asyncio.run(work())


def test_a_damaged_one_of_a_trimmed_block_is_none_and_told(tmp_path: Path):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, b"first", b"second", b"third"))
        await commit(store, group(2, trimmed={1: [position_of(1, 1), position_of(1, 2)]}))
        damage(tmp_path, position_of(1, 1), -1, "kept")
        assert await read(store, position_of(1, 1), position_of(1, 2)) == [None, b"third"]
        assert await store.read_blocks([1]) == [[b"", None, b"third"]]
        (problem,) = store.problems()
        assert problem.startswith("2 damaged entries were found in")
        await store.close()

    asyncio.run(work())


def test_what_cannot_be_read_now_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "RETRY_SECONDS", 0.01)

    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, b"x"))
        (tmp_path / "rookery.db").rename(tmp_path / "elsewhere")
        found = asyncio.get_running_loop().create_future()
        store.read([position_of(1, 0)], found.set_result)
        while not store.problems():
            await asyncio.sleep(0.005)
        assert not found.done()
        (tmp_path / "elsewhere").rename(tmp_path / "rookery.db")
        assert await found == [b"x"]
        assert store.problems() == []
        await store.close()

    asyncio.run(work())


def test_who_waits_for_a_disk_that_fails_does_not_keep_the_node_from_stopping(tmp_path: Path):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, b"x"))
        (tmp_path / "rookery.db").rename(tmp_path / "elsewhere")
        told: list[object] = []
        store.read([position_of(1, 0)], told.append)
        waiting = store.read_blocks([1])
        await store.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert told == []

    asyncio.run(work())
