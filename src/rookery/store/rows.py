"""Between the values of ``rookery.records`` and the rows of the database."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from rookery.records import (
    BLOCK_SHIFT,
    Group,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
)
from rookery.store.blocks import encode_block
from rookery.store.schema import TABLES

_APART: Final = 2
"""In the column ``released``: 0 and 1 say whether it is, and this that it is not and is sent apart."""

Cell = str | bytes | int | float | None
Row = Sequence[object]

_BLOCKS: Final = (
    "WITH RECURSIVE trimmed(block) AS ("
    f"SELECT min(position) >> {BLOCK_SHIFT} FROM kept UNION ALL"
    f" SELECT (SELECT min(position) FROM kept WHERE position >= (block + 1) << {BLOCK_SHIFT})"
    f" >> {BLOCK_SHIFT} FROM trimmed WHERE block IS NOT NULL)"
    " SELECT block FROM log UNION SELECT block FROM trimmed WHERE block IS NOT NULL ORDER BY 1"
)
"""From block to block in the table ``kept``, which has many rows for each."""

_encode: Final = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def commit_cells(
    group: Group, next_block: int, next_number: int, alive_at: float | None
) -> list[Cell]:
    """The values of ``schema.PARTS`` for one group. ``alive_at`` is ``None`` to leave meta as it is."""
    sessions, sessions_gone = _parted(
        (number, None if row is None else _session_cells(row))
        for number, row in group.sessions.items()
    )
    subscriptions, subscriptions_gone = _parted(
        (key, None if row is None else _subscription_cells(row))
        for key, row in group.subscriptions.items()
    )
    inbound, inbound_gone = _parted(
        (key, key if taken else None) for key, taken in group.inbound.items()
    )
    outbound, outbound_gone = _parted(
        (key, None if row is None else _outbound_cells(row)) for key, row in group.outbound.items()
    )
    retained, retained_gone = _parted(
        (topic, None if position is None else (topic, position))
        for topic, position in group.retained.items()
    )
    facts, facts_gone = _parted(
        (key, None if fact is None else (key, fact.hex())) for key, fact in group.facts.items()
    )
    progress = [(row.number, row.cursor, row.sent, row.done) for row in group.progress.values()]
    data, places = _blocks(group)
    return [
        data,
        _encode(places) if places else None,
        sessions,
        sessions_gone,
        subscriptions,
        subscriptions_gone,
        _encode(progress) if progress else None,
        None,
        inbound,
        inbound_gone,
        outbound,
        outbound_gone,
        retained,
        retained_gone,
        facts,
        facts_gone,
        _encode(group.finished_blocks) if group.finished_blocks else None,
        _encode(list(group.trimmed)) if group.trimmed else None,
        _encode(list(chain.from_iterable(group.trimmed.values()))) if group.trimmed else None,
        next_block,
        next_number,
        alive_at,
    ]


def _blocks(group: Group) -> tuple[bytes | None, list[tuple[int, int, int]]]:
    """All its blocks in one value; of each the number, and where in the value it lies, counted from 1."""
    if not group.entries:
        return None, []
    parts: list[bytes] = []
    places: list[tuple[int, int, int]] = []
    begin = 1
    for block in range(group.block, group.next_block()):
        part = encode_block(group.block_entries(block))
        parts.append(part)
        places.append((block, begin, len(part)))
        begin += len(part)
    return b"".join(parts), places


def _parted(rows: Iterable[tuple[object, object]]) -> tuple[str | None, str | None]:
    """The rows that are there, and the keys of those that are gone; no text where there are none."""
    there: list[object] = []
    gone: list[object] = []
    for key, row in rows:
        if row is None:
            gone.append(key)
        else:
            there.append(row)
    return (_encode(there) if there else None, _encode(gone) if gone else None)


def _session_cells(row: SessionRow) -> tuple[object, ...]:
    return (
        row.number,
        row.client_id,
        row.expiry_seconds,
        # As a float in any case: a column of a STRICT table takes it to the letter.
        None if row.detached_at_wall is None else float(row.detached_at_wall),
        None if row.will is None else row.will.hex(),
        row.will_delay_seconds,
    )


def _outbound_cells(row: OutboundRow) -> tuple[object, ...]:
    return (row.number, row.packet_id, row.position, _APART if row.apart else row.released)


def _subscription_cells(row: SubscriptionRow) -> tuple[object, ...]:
    return (
        row.number,
        row.topic_filter,
        row.qos_max,
        row.no_local,
        row.retain_as_published,
        row.identifier,
        row.began,
    )


def session_of(row: Row) -> SessionRow:
    """Raises ``TypeError`` or ``ValueError`` where the row is damaged, as the functions below do."""
    number, client_id, expiry_seconds, detached_at, will_hex, will_delay_seconds = row
    return SessionRow(
        _integer(number),
        _text(client_id),
        _integer(expiry_seconds),
        None if detached_at is None else _real(detached_at),
        None if will_hex is None else bytes.fromhex(_text(will_hex)),
        _integer(will_delay_seconds),
    )


def subscription_of(row: Row) -> SubscriptionRow:
    """One subscription."""
    number, topic_filter, qos_max, no_local, retain_as_published, identifier, began = row
    return SubscriptionRow(
        _integer(number),
        _text(topic_filter),
        _integer(qos_max),
        _integer(no_local) != 0,
        _integer(retain_as_published) != 0,
        _integer(identifier),
        _integer(began),
    )


def progress_of(row: Row) -> ProgressRow:
    """How far one session has come."""
    number, cursor, sent, done = row
    text = _text(done)
    positions = [] if text == "[]" else [_integer(position) for position in json.loads(text)]
    return ProgressRow(_integer(number), _integer(cursor), _integer(sent), positions)


def inbound_of(row: Row) -> tuple[int, int]:
    """Session and packet identifier."""
    number, packet_id = row
    return _integer(number), _integer(packet_id)


def outbound_of(row: Row) -> OutboundRow:
    """One QoS 2 delivery under way."""
    number, packet_id, position, released = row
    state = _integer(released)
    return OutboundRow(
        _integer(number),
        _integer(packet_id),
        _integer(position),
        state not in (0, _APART),
        state == _APART,
    )


def retained_of(row: Row) -> tuple[str, int]:
    """Topic name and position."""
    topic, position = row
    return _text(topic), _integer(position)


def fact_of(row: Row) -> tuple[str, bytes]:
    """Key and value."""
    key, value_hex = row
    return _text(key), bytes.fromhex(_text(value_hex))


def kept_of(row: Row) -> tuple[int, bytes]:
    """Position and piece of an entry that is stored alone."""
    position, piece = row
    if not isinstance(piece, bytes):
        raise TypeError(f"{piece!r} is no entry")
    return _integer(position), piece


def select(table: str) -> str:
    """The statement that reads all rows of a table, as the functions above take them."""
    return f"SELECT {', '.join(TABLES[table])} FROM {table}"


def load(connection: sqlite3.Connection) -> Loaded:
    """Read everything but the entries. Raises ``sqlite3.Error`` and what the functions above raise."""
    loaded = Loaded()
    loaded.sessions = [session_of(row) for row in connection.execute(select("sessions"))]
    loaded.subscriptions = [
        subscription_of(row) for row in connection.execute(select("subscriptions"))
    ]
    loaded.progress = [progress_of(row) for row in connection.execute(select("progress"))]
    loaded.inbound = [inbound_of(row) for row in connection.execute(select("inbound"))]
    loaded.outbound = [outbound_of(row) for row in connection.execute(select("outbound"))]
    loaded.retained = [retained_of(row) for row in connection.execute(select("retained"))]
    loaded.facts = dict(fact_of(row) for row in connection.execute(select("facts")))
    loaded.blocks = [block for (block,) in connection.execute(_BLOCKS)]
    row = connection.execute(select("meta")).fetchone()
    if row is None:
        raise ValueError("the table meta is empty")
    loaded.next_block, loaded.next_number = _integer(row[1]), _integer(row[2])
    loaded.alive_at_wall = _real(row[3])
    loaded.next_block = max(loaded.next_block, max(loaded.blocks, default=0) + 1)
    for session in loaded.sessions:
        loaded.next_number = max(loaded.next_number, session.number + 1)
    return loaded


def _integer(cell: object) -> int:
    if not isinstance(cell, int):
        raise TypeError(f"{cell!r} is no integer")
    return cell


def _real(cell: object) -> float:
    if not isinstance(cell, float):
        raise TypeError(f"{cell!r} is no number")
    return cell


def _text(cell: object) -> str:
    if not isinstance(cell, str):
        raise TypeError(f"{cell!r} is no text")
    return cell
