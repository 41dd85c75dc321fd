"""A new database from what is left of a damaged one.

The new file is written under another name, and the names are changed when it is complete. So a stop at
any moment leaves the damaged file where it was, or the new one ready to be put in its place.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rookery.records import BLOCK_SHIFT, block_of
from rookery.store import rows
from rookery.store.blocks import decode_block, decode_piece
from rookery.store.database import (
    FILE,
    NEW_SUFFIX,
    SIDE_SUFFIXES,
    connect_to_read,
    connect_to_write,
    read_version,
    remove_whole,
    rename_whole,
    sync_directory,
)
from rookery.store.schema import KEYS, TABLES
from rookery.store.upgrade import next_block_since_2, split_row

BROKEN: Final = ".broken-"
REPLACED: Final = ".replaced-"
OUTDATED: Final = ".outdated-"
"""With a date behind it, the name of what was set aside: for its damage, for a backup, or since a cell's log
tells another story."""
KEYED_BY_TEXT: Final = ("retained", "facts")
PROBES_MAX: Final = 200_000
"""How many keys in a damaged part of a table are looked up one by one."""
SINCE: Final = {"kept": 2, "facts": 3}
"""The version of the file from which on it has a table; the others were always there."""
BLOCK_LIMIT: Final = 1 << 40
"""No block has such a number; a damaged row may name one."""

DECODERS: Final[dict[str, Callable[[rows.Row], object]]] = {
    "sessions": rows.session_of,
    "subscriptions": rows.subscription_of,
    "progress": rows.progress_of,
    "inbound": rows.inbound_of,
    "outbound": rows.outbound_of,
    "retained": rows.retained_of,
    "facts": rows.fact_of,
    "kept": rows.kept_of,
}
"""What makes values of the rows of each table; they raise ``TypeError`` or ``ValueError``."""
_POSITIONS: Final = {
    "progress": (1, 2),
    "outbound": (2,),
    "retained": (1,),
    "subscriptions": (6,),
    "kept": (0,),
}
"""The columns that hold a position."""


_IN_WORDS: Final = {"log": "blocks", "kept": "single messages"}


@dataclass
class Salvage:
    """What became of a damaged database."""

    broken: Path
    """Where the damaged file lies now."""
    saved: dict[str, int] = field(default_factory=dict)
    """Rows by table."""
    damaged: list[str] = field(default_factory=list)
    """What could not be read, or not whole, in words."""

    def saved_text(self) -> str:
        """What was saved, for the operator."""
        return (
            ", ".join(
                f"{count} {_IN_WORDS.get(table, table)}" for table, count in self.saved.items()
            )
            or "nothing"
        )

    def lost_text(self) -> str:
        """What was lost."""
        return "; ".join(self.damaged) or "nothing that is known of"


def check(path: Path) -> list[str]:
    """What is wrong with the structure of a database, in words; raises ``StoreFault`` for a newer one.

    Raises ``sqlite3.OperationalError`` where the file cannot be read at all.
    """
    connection = connect_to_read(path)
    try:
        if read_version(connection, path) == 0:
            return []
        told = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
        return [] if told == ["ok"] else told
    finally:
        connection.close()


def finish_rename(directory: Path) -> None:
    """Complete or take back a change of names that was cut short."""
    path = directory / FILE
    new = Path(f"{path}{NEW_SUFFIX}")
    if path.exists():
        remove_whole(new)
        return
    aside = [
        each
        for word in (BROKEN, REPLACED, OUTDATED)
        for each in directory.glob(f"{FILE}{word}*")
        if not each.name.endswith(SIDE_SUFFIXES)
    ]
    last = max(
        aside, key=lambda each: (each.stat().st_ctime_ns, each.name.partition("-")[2]), default=None
    )
    for suffix in SIDE_SUFFIXES:
        stray = Path(f"{path}{suffix}")
        # SQLite would take the log of the one file for that of the other.
        if stray.exists() and last is not None:
            stray.rename(f"{last}{suffix}")
    sync_directory(directory)
    if new.exists():
        new.rename(path)
        sync_directory(directory)


def rebuild(directory: Path, wall: float) -> Salvage:
    """Put what can be read of the database into a new one, and the old one aside.

    Raises ``sqlite3.Error`` and ``OSError`` when the new one cannot be written.
    """
    path = directory / FILE
    new = Path(f"{path}{NEW_SUFFIX}")
    remove_whole(new)
    salvage = Salvage(free_name(path, BROKEN, wall))
    target = connect_to_write(new, "FULL")
    try:
        target.execute("BEGIN")
        _copy_all(path, target, salvage)
        target.execute("COMMIT")
    finally:
        target.close()
    rename_whole(path, salvage.broken)
    new.rename(path)
    sync_directory(directory)
    return salvage


def free_name(path: Path, word: str, wall: float) -> Path:
    """A dated name for a database that is set aside, which no other has."""
    date = datetime.fromtimestamp(wall, UTC).strftime("%Y%m%d-%H%M%S")
    name = Path(f"{path}{word}{date}")
    count = 1
    while name.exists():
        count += 1
        name = Path(f"{path}{word}{date}-{count}")
    return name


def _copy_all(path: Path, target: sqlite3.Connection, salvage: Salvage) -> None:
    try:
        source = connect_to_read(path)
    except sqlite3.DatabaseError as error:
        salvage.damaged.append(f"the whole file ({error})")
        return
    try:
        # With this SQLite also reads a file that is shorter than its header says.
        source.execute("PRAGMA writable_schema = ON")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (version,) = source.execute("PRAGMA user_version").fetchone()
        for table in TABLES:
            if version < SINCE.get(table, 1):
                continue
            salvage.saved[table] = _copy(source, target, table, salvage, version)
    except sqlite3.DatabaseError as error:
        if target.in_transaction and not salvage.saved:
            salvage.damaged.append(f"the whole file ({error})")
            return
        raise
    finally:
        source.close()
    salvage.saved.pop("meta", None)
    _drop_orphans(target, salvage)
    _raise_numbers(target, path)


def _copy(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    table: str,
    salvage: Salvage,
    version: int,
) -> int:
    columns = TABLES[table]
    insert = (
        f"INSERT OR REPLACE INTO {table} ({', '.join(columns)})"
        f" VALUES ({', '.join('?' * len(columns))})"
    )
    count = 0
    for row in _readable(source, table, salvage):
        if not _sound(table, row, salvage):
            continue
        made = _of_this_version(table, row, version)
        target.executemany(insert, made)
        count += len(made)
    return count


def _of_this_version(table: str, row: rows.Row, version: int) -> list[rows.Row]:
    """What became of a sound row."""
    if version < 2 and table == "log":
        block, data = row
        assert isinstance(block, int) and isinstance(data, bytes)
        return list(split_row(block, data))
    if version < 2 and table == "meta":
        number, next_block, *rest = row
        assert isinstance(next_block, int)
        return [(number, next_block_since_2(next_block), *rest)]
    return [row]


def _sound(table: str, row: rows.Row, salvage: Salvage) -> bool:
    """Whether a row has a meaning; damaged entries of a block are told but kept, for the others' sake."""
    name = f"{'block' if table == 'log' else table} {row[0]!r}"
    try:
        if table == "meta":
            return all(isinstance(cell, int | float) for cell in row)
        if table != "log":
            DECODERS[table](row)
            if any(_far(row[column]) for column in _POSITIONS.get(table, ())):
                raise ValueError("it names a position that cannot be")
            if table == "kept" and decode_piece(rows.kept_of(row)[1]) is None:
                salvage.damaged.append(f"{name}: its message")
            return True
    except (TypeError, ValueError) as error:
        salvage.damaged.append(f"{name}: {error}")
        return False
    if not isinstance(row[0], int) or not isinstance(row[1], bytes) or row[0] >= BLOCK_LIMIT:
        salvage.damaged.append(f"{name} is no block")
        return False
    entries = decode_block(row[1])
    if not entries:
        salvage.damaged.append(f"{name}: all entries")
        return False
    if None in entries:
        salvage.damaged.append(f"{name}: {entries.count(None)} of {len(entries)} entries")
    return True


def _far(position: object) -> bool:
    return not isinstance(position, int) or not 0 <= block_of(position) < BLOCK_LIMIT


def _readable(
    source: sqlite3.Connection, table: str, salvage: Salvage
) -> Iterator[Sequence[object]]:
    """The rows of a table from both ends to the damaged part, and single ones from within it."""
    keys = ", ".join(TABLES[table][: KEYS[table]])
    last: rows.Row | None = None
    try:
        for row in source.execute(f"{rows.select(table)} ORDER BY {keys}"):
            yield row
            last = row
        return
    except sqlite3.DatabaseError as error:
        salvage.damaged.append(f"a part of the table {table} ({error})")
    first: rows.Row | None = None
    backward = ", ".join(f"{key} DESC" for key in TABLES[table][: KEYS[table]])
    size = KEYS[table]
    try:
        for row in source.execute(f"{rows.select(table)} ORDER BY {backward}"):
            if last is not None and row[:size] == last[:size]:
                return
            yield row
            first = row
    except sqlite3.DatabaseError:
        pass  # Told already.
    if size == 1 and table not in KEYED_BY_TEXT and first is not None:
        yield from _probed(source, table, last, first)


def _probed(
    source: sqlite3.Connection, table: str, last: rows.Row | None, first: rows.Row
) -> Iterator[Sequence[object]]:
    begin = last[0] if last is not None else 0
    end = first[0]
    if not isinstance(begin, int) or not isinstance(end, int):
        return
    statement = f"{rows.select(table)} WHERE {TABLES[table][0]} = ?"
    for key in range(begin + 1, min(end, begin + 1 + PROBES_MAX)):
        try:
            yield from source.execute(statement, (key,)).fetchall()
        except sqlite3.DatabaseError:
            continue


def _drop_orphans(target: sqlite3.Connection, salvage: Salvage) -> None:
    """Take out what refers to rows that were not saved."""
    found = target.execute(
        f"DELETE FROM retained WHERE position >> {BLOCK_SHIFT} NOT IN (SELECT block FROM log)"
        " AND position NOT IN (SELECT position FROM kept)"
    ).rowcount
    if found:
        salvage.damaged.append(f"{found} retained messages that lay in lost blocks")
        salvage.saved["retained"] -= found
    for table in ("subscriptions", "progress", "inbound", "outbound"):
        found = target.execute(
            f"DELETE FROM {table} WHERE number NOT IN (SELECT number FROM sessions)"
        ).rowcount
        if found:
            salvage.damaged.append(f"{found} {table} of lost sessions")
            salvage.saved[table] -= found


def _raise_numbers(target: sqlite3.Connection, path: Path) -> None:
    """Put the next numbers above everything that the rows name: meta itself may be lost."""
    positions = " UNION ALL ".join(
        f"SELECT {TABLES[table][column]} >> {BLOCK_SHIFT} FROM {table}"
        for table, columns in _POSITIONS.items()
        for column in columns
    )
    target.execute(
        "UPDATE meta SET next_block = max(next_block, 1 + (SELECT coalesce(max(block), 0) FROM"
        f" (SELECT block FROM log UNION ALL {positions} AS block))),"
        " next_number = max(next_number, 1 + (SELECT coalesce(max(number), 0) FROM sessions))"
    )
    modified = path.stat().st_mtime
    target.execute("UPDATE meta SET alive_at = ? WHERE alive_at = 0", (modified,))
