"""The store as a whole; the contract is in ``tests/properties/test_store_contract.py``."""

import asyncio
import threading
from pathlib import Path

import pytest

from rookery.store.faults import StoreFault
from tests.support.stores import commit, group, opened, sqlite_store


def test_no_callback_is_called_off_the_loop(tmp_path: Path):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        threads = []
        store.commit(group(1, b"x"), lambda error: threads.append(threading.get_ident()))
        await commit(store, group(2))
        store.read([1 << 20], lambda found: threads.append(threading.get_ident()))
        await store.read_blocks([1])
        assert threads == [threading.get_ident()] * 2
        await store.close()

    asyncio.run(work())


def test_after_a_failed_open_nothing_is_left_open(tmp_path: Path):
    (tmp_path / "rookery.db").mkdir()
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(StoreFault, match="cannot be used"):
            asyncio.run(opened(lambda: sqlite_store(tmp_path)))
    (tmp_path / "rookery.db").rmdir()
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).blocks == []
    assert threading.active_count() == before


def test_a_store_can_be_closed_twice_and_unopened(tmp_path: Path):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.close()
        await store.open()
        await store.close()
        await store.close()

    asyncio.run(work())
