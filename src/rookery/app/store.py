"""The store as the configuration asks for it."""

from pathlib import Path

from rookery.config.models import Config
from rookery.ports import Clock, Store
from rookery.store.memory import MemoryStore
from rookery.store.sqlite import SqliteStore


def make_store(config: Config, directory: Path | None, clock: Clock) -> Store:
    """The store of the configured durability; nothing is opened yet."""
    if config.store.durability == "memory":
        return MemoryStore()
    assert directory is not None, "a durable store needs a directory"
    return SqliteStore(directory, config.store.durability, config.store.bytes_max, clock)
