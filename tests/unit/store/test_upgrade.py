"""Files of older versions: what they hold is found again, where it was."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from rookery.store.blocks import encode_block
from rookery.store.schema import APPLICATION_ID, MIGRATIONS, VERSION
from rookery.store.upgrade import next_block_since_2, split_row
from tests.support.stores import commit, group, opened, read, sqlite_store

SMALL = [b"a", b"", b"c"]
MANY = [b"%d" % index * 50 for index in range(1_000)]


def old_position(block: int, index: int) -> int:
    return block << 20 | index


def version_1(directory: Path) -> Path:
    """A file as version 1 left it: two blocks, a session with progress, a retained message."""
    directory.mkdir(exist_ok=True)
    path = directory / "rookery.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(MIGRATIONS[0])
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    for block, entries in ((3, SMALL), (7, MANY)):
        connection.execute("INSERT INTO log VALUES (?, ?)", (block, encode_block(entries)))
    connection.execute("INSERT INTO sessions VALUES (1, 'c', 60, 1.5, NULL, 0)")
    done = f"[{old_position(7, 5)}]"
    connection.execute("INSERT INTO progress VALUES (1, ?, 0, ?)", (old_position(3, 2), done))
    connection.execute("INSERT INTO retained VALUES ('t', ?)", (old_position(7, 999),))
    connection.execute("UPDATE meta SET next_block = 9, next_number = 2, alive_at = 5.0")
    connection.close()
    return path


def everything_is_there(directory: Path) -> None:
    async def look() -> None:
        store = sqlite_store(directory)
        loaded = await store.open()
        wanted = [old_position(3, 0), old_position(3, 2), old_position(7, 0), old_position(7, 999)]
        assert await read(store, *wanted) == [b"a", b"c", MANY[0], MANY[999]]
        assert loaded.next_block > old_position(8, 0) >> 6
        assert loaded.progress[0].cursor == old_position(3, 2)
        assert loaded.progress[0].done == [old_position(7, 5)]
        assert loaded.retained == [("t", old_position(7, 999))]
        found = await store.read_blocks(loaded.blocks)
        assert [entry for entries in found for entry in entries] == SMALL + MANY
        assert max(map(len, found)) == 64
        assert loaded.facts == {}
        made = group(loaded.next_block, b"new", facts={"a": b"b"})
        assert await commit(store, made) is None
        await store.close()

    asyncio.run(look())


def test_version_1_is_brought_up_to_date(tmp_path: Path):
    path = version_1(tmp_path)
    everything_is_there(tmp_path)
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    connection.close()
    assert version == VERSION
    assert "log_of_version_1" not in tables


def test_a_new_file_begins_with_block_1(tmp_path: Path):
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).next_block == 1


def test_a_damaged_file_of_version_1_is_saved_in_the_new_form(tmp_path: Path):
    path = version_1(tmp_path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO log VALUES (5, x'00')")
    connection.close()

    async def start() -> list[str]:
        store = sqlite_store(tmp_path)
        await store.open()
        problems = store.problems()
        await store.close()
        return problems

    (problem,) = asyncio.run(start())
    assert "the directory of block 5 is damaged" in problem
    assert "lost: block 5: all entries" in problem
    everything_is_there(tmp_path)


@pytest.mark.parametrize("block", [1, 77])
def test_positions_stay_the_same(block: int):
    rows = list(split_row(block, encode_block(MANY[:130])))
    assert [number << 6 for number, _ in rows] == [old_position(block, at) for at in (0, 64, 128)]
    assert next_block_since_2(block) == rows[0][0]


def test_a_file_of_version_2_has_room_for_facts(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / "rookery.db", isolation_level=None)
    for script in MIGRATIONS[:2]:
        connection.executescript(script)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 2")
    connection.execute("INSERT INTO log VALUES (3, ?)", (encode_block(SMALL),))
    connection.execute("UPDATE meta SET next_block = 4, next_number = 2, alive_at = 5.0")
    connection.close()

    async def put() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        assert await commit(store, group(4, facts={"a": b"b"})) is None
        assert await read(store, 3 << 6) == [b"a"]
        await store.close()

    asyncio.run(put())
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).facts == {"a": b"b"}
