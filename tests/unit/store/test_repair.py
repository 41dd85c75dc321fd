import asyncio
import sqlite3
from pathlib import Path

import pytest

from rookery.store.faults import StoreFault
from rookery.store.inspect import check
from rookery.store.repair import repair
from rookery.store.schema import VERSION
from tests.support.stores import opened, sqlite_store
from tests.unit.store.test_inspect import fill


def change(directory: Path, statement: str) -> None:
    connection = sqlite3.connect(directory / "rookery.db")
    with connection:
        connection.execute(statement)
    connection.close()


def test_what_is_damaged_is_left_out(tmp_path: Path):
    fill(tmp_path)
    change(tmp_path, "UPDATE log SET data = x'00' WHERE block = 1")
    assert check(tmp_path)
    salvage = repair(tmp_path, 0.0)
    assert check(tmp_path) == []
    assert salvage.saved_text().startswith("2 sessions, 1 subscriptions, 2 progress")
    assert "block 1: all entries" in salvage.lost_text()
    assert "2 retained messages that lay in lost blocks" in salvage.lost_text()
    assert salvage.broken == tmp_path / "rookery.db.broken-19700101-000000"
    assert salvage.broken.exists()
    loaded = asyncio.run(opened(lambda: sqlite_store(tmp_path)))
    assert (loaded.blocks, loaded.next_block, loaded.next_number) == ([2], 3, 3)


def test_what_is_whole_stays_so(tmp_path: Path):
    fill(tmp_path)
    assert repair(tmp_path, 0.0).lost_text() == "nothing that is known of"
    assert check(tmp_path) == []


def test_what_cannot_be_repaired_is_told(tmp_path: Path):
    with pytest.raises(StoreFault, match="holds no store"):
        repair(tmp_path / "absent", 0.0)
    with pytest.raises(StoreFault, match="holds no store"):
        repair(tmp_path, 0.0)
    fill(tmp_path)
    change(tmp_path, f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreFault, match="newer Rookery"):
        repair(tmp_path, 0.0)


def test_not_under_a_running_node(tmp_path: Path):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        with pytest.raises(StoreFault, match="in use by another node"):
            repair(tmp_path, 0.0)
        await store.close()

    asyncio.run(work())
