"""The thread that reads log entries, beside the commits.

Entries of blocks of the usual size come in one statement for many positions; a large block, which
SQLite would read whole for each of them, is opened and read at the places wanted.
"""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from rookery.records import BLOCK_SHIFT, ENTRIES_PER_BLOCK_MAX, block_of, index_of
from rookery.store.blocks import (
    COUNT_SQL,
    DIGITS,
    PIECE_SQL,
    count_of,
    decode_block,
    decode_piece,
    directory_range,
    piece_range,
)
from rookery.store.database import connect_to_read, damaged, fault_of

POSITIONS_PER_STATEMENT: Final = 64
LARGE_BLOCK_BYTES: Final = 131_072
RETRY_SECONDS: Final = 0.5
"""How long to wait after an error of the disk: what cannot be read now is not gone."""

_INDEX: Final = f"(p.value & {ENTRIES_PER_BLOCK_MAX - 1})"
_PIECES: Final = (
    "SELECT json_group_array(json_array(p.key,"
    " CASE WHEN k.data IS NOT NULL THEN hex(k.data)"
    f" WHEN length(l.data) > {LARGE_BLOCK_BYTES} THEN NULL"
    f" WHEN {_INDEX} >= {COUNT_SQL} THEN ''"
    f" ELSE hex({PIECE_SQL.format(index=_INDEX)}) END))"
    f" FROM json_each(?) AS p LEFT JOIN log AS l ON l.block = p.value >> {BLOCK_SHIFT}"
    " LEFT JOIN kept AS k ON k.position = p.value"
)
_BLOCKS: Final = "SELECT block, data FROM log WHERE block IN (SELECT value FROM json_each(?))"

_KEPT: Final = (
    "SELECT k.position, k.data FROM json_each(?) AS b JOIN kept AS k"
    f" ON k.position >= b.value << {BLOCK_SHIFT} AND k.position < (b.value + 1) << {BLOCK_SHIFT}"
    " ORDER BY k.position"
)

T = TypeVar("T")
Entries = Sequence[bytes | None]


class Reader:
    """Reads what was committed."""

    def __init__(self, path: Path) -> None:
        self.problem: str | None = None
        """Why the last read failed; it is tried again."""
        self.entries_damaged: int = 0
        """Entries that were found damaged while reading."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Read from now on."""
        self._thread = threading.Thread(target=self._run, name="store-reader", daemon=True)
        self._thread.start()

    def read(
        self,
        loop: asyncio.AbstractEventLoop,
        positions: Sequence[int],
        done: Callable[[Entries], None],
    ) -> None:
        """Read entries; ``done`` is called on the loop, unless the reader is stopped before."""
        wanted = list(positions)

        def read() -> None:
            found = self._tried(lambda connection: self._entries(connection, wanted))
            if found is not None:
                loop.call_soon_threadsafe(done, found)

        self._queue.put(read)

    def read_blocks(
        self, loop: asyncio.AbstractEventLoop, blocks: Sequence[int]
    ) -> asyncio.Future[list[list[bytes | None]]]:
        """Read whole blocks, in the order asked for; one that is not there has no entries."""
        future: asyncio.Future[list[list[bytes | None]]] = loop.create_future()
        wanted = list(blocks)

        def read() -> None:
            found = self._tried(lambda connection: self._whole(connection, wanted))
            loop.call_soon_threadsafe(_settle, future, found)

        self._queue.put(read)
        return future

    def stop(self) -> None:
        """End, after what was asked for unless the disk fails. Waits; off the loop."""
        self._stopping.set()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._disconnect()

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            job()

    def _tried(self, read: Callable[[sqlite3.Connection], T]) -> T | None:
        """Read until it works; ``None`` when the reader is stopped before that."""
        while True:
            try:
                if self._connection is None:
                    self._connection = connect_to_read(self._path)
                found = read(self._connection)
            except (sqlite3.Error, OSError) as error:
                self.problem = str(fault_of(self._path, error))
                self._disconnect()
                if self._stopping.wait(RETRY_SECONDS):
                    return None
            else:
                self.problem = None
                return found

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _entries(self, connection: sqlite3.Connection, positions: list[int]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for begin in range(0, len(positions), POSITIONS_PER_STATEMENT):
            wanted = positions[begin : begin + POSITIONS_PER_STATEMENT]
            found += self._some(connection, wanted)
        return found

    def _some(self, connection: sqlite3.Connection, positions: list[int]) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(positions)
        large: dict[int, list[int]] = {}
        try:
            (text,) = connection.execute(_PIECES, (json.dumps(positions),)).fetchone()
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            return self._one_by_one(connection, positions)
        for place, piece in json.loads(text):
            if piece is None:
                large.setdefault(block_of(positions[place]), []).append(place)
            elif piece:
                found[place] = self._decoded(bytes.fromhex(piece))
        for block, places in large.items():
            self._open_large(connection, block, places, positions, found)
        return found

    def _one_by_one(
        self, connection: sqlite3.Connection, positions: list[int]
    ) -> list[bytes | None]:
        """Spare those that lie in no damaged page."""
        if len(positions) == 1:
            self.entries_damaged += 1
            return [None]
        return [entry for position in positions for entry in self._some(connection, [position])]

    def _open_large(
        self,
        connection: sqlite3.Connection,
        block: int,
        places: list[int],
        positions: list[int],
        found: list[bytes | None],
    ) -> None:
        try:
            with connection.blobopen("log", "data", block, readonly=True) as blob:
                count = count_of(blob.read(DIGITS))
                for place in places:
                    index = index_of(positions[place])
                    if 0 <= count <= index:
                        continue
                    begin, length = piece_range(_part(blob, *directory_range(index)))
                    found[place] = self._decoded(_part(blob, begin, length))
        except sqlite3.DatabaseError as error:
            if damaged(error):
                self.entries_damaged += len(places)
            elif getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_ERROR:
                raise
            else:  # It has just been removed, or trimmed, and its entries lie elsewhere now.
                wanted = [positions[place] for place in places]
                for place, entry in zip(places, self._some(connection, wanted), strict=True):
                    found[place] = entry

    def _decoded(self, piece: bytes) -> bytes | None:
        entry = decode_piece(piece)
        if entry is None:
            self.entries_damaged += 1
        return entry

    def _whole(self, connection: sqlite3.Connection, blocks: list[int]) -> list[list[bytes | None]]:
        found: dict[int, list[bytes | None]] = {}
        try:
            for block, data in connection.execute(_BLOCKS, (json.dumps(blocks),)):
                found[block] = decode_block(data)
            for position, piece in connection.execute(_KEPT, (json.dumps(blocks),)):
                entries = found.setdefault(block_of(position), [])
                entries += [b""] * (index_of(position) - len(entries))
                entries.append(decode_piece(piece))
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            if len(blocks) == 1:
                self.entries_damaged += 1
                return [[]]
            return [entries for block in blocks for entries in self._whole(connection, [block])]
        for entries in found.values():
            self.entries_damaged += entries.count(None)
        return [found.get(block, []) for block in blocks]


def _part(blob: sqlite3.Blob, begin: int, length: int) -> bytes:
    if begin + length > len(blob):
        return b""
    blob.seek(begin)
    return blob.read(length)


def _settle(
    future: "asyncio.Future[list[list[bytes | None]]]", found: list[list[bytes | None]] | None
) -> None:
    if future.done():
        return
    if found is None:
        future.cancel()
    else:
        future.set_result(found)
