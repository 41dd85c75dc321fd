"""Stores under test, and the values put into them."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rookery.ports import CellLog, Store
from rookery.records import Group, Loaded, OutboundRow, ProgressRow, SessionRow, SubscriptionRow
from rookery.store.memory import MemoryStore
from rookery.store.replicated import ReplicatedStore
from rookery.store.sqlite import SqliteStore
from tests.support.cell_log import MemoryLog

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


def replicated_store(
    directory: Path,
    log: CellLog,
    epoch: int = 1,
    fenced: Callable[[str], None] = lambda reason: None,
    clock: SteppedClock | None = None,
    **options: Any,
) -> ReplicatedStore:
    bytes_max = options.pop("bytes_max", BYTES_MAX)
    cell = options.pop("cell", "n1")
    times = {"patience_seconds": 0.3, "open_patience_seconds": 3.0, "image_patience_seconds": 0.3}
    return ReplicatedStore(
        directory,
        log,
        bytes_max,
        clock or SteppedClock(),
        cell,
        epoch,
        fenced,
        **{**times, **options},
    )


class Reopener:
    """Makes stores on the same data: ``memory``, ``fsync``, ``os`` or ``replicated``.

    The last comes in variants, as to what becomes of the image between two openings: with ``-wiped`` it is gone,
    with ``-torn`` damaged, and with ``-older`` it is what it was after the first commit.
    """

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind, _, self.variant = kind.partition("-")
        self.directory = directory
        self.clock = SteppedClock()
        self._memory = MemoryStore()
        self._log = MemoryLog()

    def store(self) -> Store:
        if self.kind == "memory":
            return self._memory
        if self.kind == "replicated":
            self._harm()
            store = replicated_store(self.directory, self._log, clock=self.clock)
            if self.variant == "older":
                self._keep_the_first(store)
            return store
        return sqlite_store(self.directory, self.kind, clock=self.clock)

    def _harm(self) -> None:
        path = self.directory / "rookery.db"
        older = self.directory.with_name("older")
        if self.variant == "wiped":
            shutil.rmtree(self.directory, ignore_errors=True)
        elif self.variant == "torn" and path.exists():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + bytes(512))
        elif self.variant == "older" and older.exists():
            shutil.rmtree(self.directory)
            older.rename(self.directory)

    def _keep_the_first(self, store: Store) -> None:
        older = self.directory.with_name("older")
        commit_it = store.commit

        def commit(group: Group, done: Callable[[Exception | None], None]) -> None:
            def kept(error: Exception | None) -> None:
                if error is None and not older.exists():
                    copy_files(self.directory, older)
                done(error)

            commit_it(group, kept)

        store.commit = commit  # type: ignore[method-assign]


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
