"""Stores under test, and the values put into them."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rookery.ports import Store
from rookery.records import Group, Loaded, OutboundRow, ProgressRow, SessionRow, SubscriptionRow
from rookery.store.memory import MemoryStore
from rookery.store.sqlite import SqliteStore

BYTES_MAX = 1 << 30


class SteppedClock:
    """A clock that goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def sqlite_store(
    directory: Path,
    durability: Any = "fsync",
    bytes_max: int = BYTES_MAX,
    clock: SteppedClock | None = None,
) -> SqliteStore:
    return SqliteStore(directory, durability, bytes_max, clock or SteppedClock())


class Reopener:
    """Makes stores on the same data: ``memory``, ``fsync`` or ``os``."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.clock = SteppedClock()
        self._memory = MemoryStore()

    def store(self) -> Store:
        if self.kind == "memory":
            return self._memory
        return sqlite_store(self.directory, self.kind, clock=self.clock)


async def commit(store: Store, group: Group) -> Exception | None:
    future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    store.commit(group, future.set_result)
    return await future


async def read(store: Store, *positions: int) -> list[bytes | None]:
    future: asyncio.Future[Sequence[bytes | None]] = asyncio.get_running_loop().create_future()
    store.read(positions, future.set_result)
    return list(await future)


async def opened(make: Callable[[], Store]) -> Loaded:
    """What a store holds, loaded and closed again."""
    store = make()
    try:
        return await store.open()
    finally:
        await store.close()


def group(block: int, *entries: bytes, **rows: Any) -> Group:
    """A group with some entries; ``rows`` are its fields."""
    made = Group(block)
    made.entries = list(entries)
    made.entry_bytes = sum(map(len, entries))
    for name, value in rows.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def session(number: int, client_id: str = "c", will: bytes | None = None) -> SessionRow:
    return SessionRow(number, client_id, 60, None if will else 12.5, will, 3)


def subscription(number: int, topic_filter: str, began: int = 0) -> SubscriptionRow:
    return SubscriptionRow(number, topic_filter, 1, False, True, 7, began)


def contents(loaded: Loaded) -> dict[str, Any]:
    """What was loaded, in an order and as values that compare."""
    return {
        "sessions": sorted(cells(row) for row in loaded.sessions),
        "subscriptions": sorted(cells(row) for row in loaded.subscriptions),
        "progress": sorted(cells(row) for row in loaded.progress),
        "inbound": sorted(loaded.inbound),
        "outbound": sorted(cells(row) for row in loaded.outbound),
        "retained": sorted(loaded.retained),
        "facts": sorted(loaded.facts.items()),
        "blocks": loaded.blocks,
    }


def cells(row: SessionRow | SubscriptionRow | ProgressRow | OutboundRow) -> tuple[Any, ...]:
    if isinstance(row, SessionRow):
        return (
            row.number,
            row.client_id,
            row.expiry_seconds,
            -1.0 if row.detached_at_wall is None else row.detached_at_wall,
            row.will or b"",
            row.will_delay_seconds,
        )
    if isinstance(row, SubscriptionRow):
        return (
            row.number,
            row.topic_filter,
            row.qos_max,
            row.no_local,
            row.retain_as_published,
            row.identifier,
            row.began,
        )
    if isinstance(row, ProgressRow):
        return (row.number, row.cursor, row.sent, tuple(row.done))
    return (row.number, row.packet_id, row.position, row.released)


def copy_files(source: Path, target: Path) -> Path:
    """The files of a store as they are at this moment, as after a crash."""
    target.mkdir()
    # The log first: what is checkpointed meanwhile is then there twice and not missing.
    for name in ("rookery.db-wal", "rookery.db"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    return target
