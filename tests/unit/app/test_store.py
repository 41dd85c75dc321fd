"""The store, by configuration."""

import pytest

from rookery.actors.clock import SystemClock
from rookery.app.store import make_store
from rookery.store.memory import MemoryStore
from rookery.store.sqlite import SqliteStore
from tests.support.node import config


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_a_durable_store_lies_in_its_directory(durability: str, tmp_path):
    store = make_store(config(**{"store.durability": durability}), tmp_path / "s", SystemClock())
    assert isinstance(store, SqliteStore)
    assert store.durability == durability
    assert not (tmp_path / "s").exists(), "nothing is opened yet"


def test_memory_needs_no_directory():
    store = make_store(config(**{"store.durability": "memory"}), None, SystemClock())
    assert isinstance(store, MemoryStore)
