"""Looking at a database, of a running node or a stopped one, without changing it."""

import base64
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rookery.message import Message
from rookery.mqtt.errors import PeerFault
from rookery.records import (
    BLOCK_SHIFT,
    ENTRIES_PER_BLOCK_MAX,
    SessionRow,
    SubscriptionRow,
    decode_message,
)
from rookery.store import rows
from rookery.store.blocks import COUNT_SQL, PIECE_SQL, decode_block, decode_piece
from rookery.store.database import (
    FILE,
    connect_to_read,
    fault_of,
    file_bytes,
    page_bytes,
    read_version,
)
from rookery.store.faults import StoreFault
from rookery.store.rebuild import DECODERS
from rookery.store.rebuild import check as check_structure

_INDEX: Final = f"(r.position & {ENTRIES_PER_BLOCK_MAX - 1})"
_RETAINED: Final = (
    f"SELECT r.topic, coalesce(k.data, {PIECE_SQL.format(index=_INDEX)})"
    f" FROM retained AS r LEFT JOIN log AS l ON l.block = r.position >> {BLOCK_SHIFT}"
    " LEFT JOIN kept AS k ON k.position = r.position ORDER BY r.topic"
)
_BLOCKS: Final = (
    f"SELECT block, {COUNT_SQL}, {COUNT_SQL} FROM log AS l UNION ALL"
    f" SELECT position >> {BLOCK_SHIFT}, count(*), 1 + max(position & {ENTRIES_PER_BLOCK_MAX - 1})"
    " FROM kept GROUP BY 1 ORDER BY 1 DESC"
)
"""The blocks from the newest on, how many entries each has, and how many places they take."""


@dataclass(frozen=True)
class StoreStats:
    """What a database holds."""

    file_bytes: int
    """On disk, with what belongs to it."""
    live_bytes: int
    """Of the pages in use."""
    blocks: int
    """Whole ones."""
    messages: int
    """In the log: owed to a session or retained."""
    kept: int
    """How many of them are stored one by one, since those around them are gone."""
    sessions: int
    subscriptions: int
    retained: int
    owed: int
    """Messages from the cursors of sessions on, summed up: at most so many are owed."""
    facts: int
    """What else the node remembers, of its peers in a cluster."""
    alive_at_wall: float


@contextmanager
def opened(directory: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing. Raises ``StoreFault``, of whatever goes wrong inside too."""
    path = directory / FILE
    if not path.exists():
        raise StoreFault(f"{directory} holds no store: {path.name} is not there")
    try:
        connection = connect_to_read(path)
        try:
            if read_version(connection, path) == 0:
                raise StoreFault(f"{path} is empty")
            yield connection
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise fault_of(path, error) from error


def stats(directory: Path) -> StoreStats:
    """Count what is there."""
    with opened(directory) as connection:
        connection.execute("BEGIN")  # All of one moment.
        counts = {
            table: _one(connection, f"SELECT count(*) FROM {table}")
            for table in ("log", "kept", "sessions", "subscriptions", "retained", "facts")
        }
        messages = _one(connection, f"SELECT coalesce(sum({COUNT_SQL}), 0) FROM log AS l")
        alive = connection.execute("SELECT alive_at FROM meta").fetchone()
        return StoreStats(
            file_bytes=file_bytes(directory / FILE),
            live_bytes=page_bytes(connection)[0],
            blocks=counts["log"],
            messages=messages + counts["kept"],
            kept=counts["kept"],
            sessions=counts["sessions"],
            subscriptions=counts["subscriptions"],
            retained=counts["retained"],
            owed=_owed_at_most(connection),
            facts=counts["facts"],
            alive_at_wall=float(alive[0]) if alive else 0.0,
        )


def _owed_at_most(connection: sqlite3.Connection) -> int:
    """One walk over the blocks from the newest on, beside the cursors in the same order."""
    cursors = connection.execute("SELECT cursor FROM progress ORDER BY cursor DESC")
    blocks = connection.execute(_BLOCKS)
    newer = 0
    total = 0
    block, count, places = next(blocks, (-1, 0, 0))
    for (cursor,) in cursors:
        while block > cursor >> BLOCK_SHIFT:
            newer += count
            block, count, places = next(blocks, (-1, 0, 0))
        total += newer
        if block == cursor >> BLOCK_SHIFT:
            total += min(count, max(0, places - (cursor & (ENTRIES_PER_BLOCK_MAX - 1))))
    return total


def check(directory: Path) -> list[str]:
    """All that is damaged, in words; empty when nothing is."""
    path = directory / FILE
    try:
        found = check_structure(path)
        if found:
            return found
    except sqlite3.Error as error:
        return [str(fault_of(path, error))]
    with opened(directory) as connection:
        for table, decode in DECODERS.items():
            for row in connection.execute(rows.select(table)):
                try:
                    decode(row)
                except (TypeError, ValueError) as error:
                    found.append(f"{table} {row[0]!r}: {error}")
        for block, data in connection.execute(rows.select("log")):
            entries = decode_block(data)
            if not entries:
                found.append(f"block {block}: its directory is damaged")
            elif None in entries:
                found.append(f"block {block}: {entries.count(None)} of {len(entries)} entries")
        for position, piece in connection.execute(rows.select("kept")):
            if isinstance(piece, bytes) and decode_piece(piece) is None:
                found.append(f"message {position}: it is damaged")
        for topic, position in connection.execute(
            f"SELECT topic, position FROM retained WHERE position >> {BLOCK_SHIFT}"
            " NOT IN (SELECT block FROM log) AND position NOT IN (SELECT position FROM kept)"
        ):
            found.append(f"retained {topic!r}: its message ({position}) is not there")
    return found


def export_retained(directory: Path) -> Iterator[dict[str, object]]:
    """The retained messages, by topic name. Times are seconds since 1970."""
    with opened(directory) as connection:
        for topic, piece in connection.execute(_RETAINED):
            entry = None if piece is None else decode_piece(piece)
            yield {"topic": topic, **_message_cells(entry)}


def export_sessions(directory: Path) -> Iterator[dict[str, object]]:
    """The sessions with their subscriptions, by client id."""
    with opened(directory) as connection:
        connection.execute("BEGIN")
        for row in connection.execute(f"{rows.select('sessions')} ORDER BY client_id"):
            session = rows.session_of(row)
            found = connection.execute(
                f"{rows.select('subscriptions')} WHERE number = ? ORDER BY topic_filter",
                (session.number,),
            )
            subscriptions = [_subscription_cells(rows.subscription_of(each)) for each in found]
            yield _session_cells(session, subscriptions)


def _session_cells(session: SessionRow, subscriptions: Sequence[object]) -> dict[str, object]:
    will = None
    if session.will is not None:
        will = {**_message_cells(session.will), "delay_seconds": session.will_delay_seconds}
    return {
        "client_id": session.client_id,
        "expiry_seconds": session.expiry_seconds,
        "detached_at": session.detached_at_wall,
        "will": will,
        "subscriptions": subscriptions,
    }


def _subscription_cells(row: SubscriptionRow) -> dict[str, object]:
    return {
        "topic_filter": row.topic_filter,
        "qos_max": row.qos_max,
        "no_local": row.no_local,
        "retain_as_published": row.retain_as_published,
        "identifier": row.identifier,
    }


def _message_cells(entry: bytes | None) -> dict[str, object]:
    if entry is None:
        return {"damaged": True}
    try:
        message = decode_message(entry, 0.0).message
    except (PeerFault, IndexError):
        return {"damaged": True}
    return {
        "topic": message.topic,
        "qos": message.qos,
        "retain": message.retain,
        "publisher": message.publisher,
        "expires_at": message.expires_at,
        **_payload_cells(message),
    }


def _payload_cells(message: Message) -> dict[str, object]:
    try:
        return {"payload": message.payload.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(message.payload).decode()}


def _one(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])
