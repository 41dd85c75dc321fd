"""The database: its tables, how it got from version to version, and the one statement of a commit.

A commit must be few calls: between two of them another thread may hold the interpreter lock for
milliseconds. So it is a single INSERT into a view, whose trigger spreads it over the tables; all rows of
one kind come as one JSON text. A single statement is a transaction by itself.
"""

from typing import Final

from rookery.records import BLOCK_SHIFT, ENTRIES_PER_BLOCK_MAX
from rookery.store.blocks import COUNT_SQL, PIECE_SQL

APPLICATION_ID: Final = 0x526F6F6B
"""Marks the file as ours: "Rook"."""

MIGRATIONS: Final = (
    """
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        next_block INTEGER NOT NULL,
        next_number INTEGER NOT NULL,
        alive_at REAL NOT NULL
    ) STRICT;
    INSERT INTO meta VALUES (1, 1, 1, 0);
    CREATE TABLE log (block INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
    CREATE TABLE sessions (
        number INTEGER PRIMARY KEY,
        client_id TEXT NOT NULL,
        expiry_seconds INTEGER NOT NULL,
        detached_at REAL,
        will_hex TEXT,
        will_delay_seconds INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE subscriptions (
        number INTEGER NOT NULL,
        topic_filter TEXT NOT NULL,
        qos_max INTEGER NOT NULL,
        no_local INTEGER NOT NULL,
        retain_as_published INTEGER NOT NULL,
        identifier INTEGER NOT NULL,
        began INTEGER NOT NULL,
        PRIMARY KEY (number, topic_filter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE progress (
        number INTEGER PRIMARY KEY,
        cursor INTEGER NOT NULL,
        sent INTEGER NOT NULL,
        done TEXT NOT NULL
    ) STRICT;
    CREATE TABLE inbound (
        number INTEGER NOT NULL,
        packet_id INTEGER NOT NULL,
        PRIMARY KEY (number, packet_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outbound (
        number INTEGER NOT NULL,
        packet_id INTEGER NOT NULL,
        position INTEGER NOT NULL,
        released INTEGER NOT NULL,
        PRIMARY KEY (number, packet_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE retained (topic TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
    # Smaller blocks, and what is left of one that was trimmed. ``upgrade`` puts the old ones into the new.
    """
    ALTER TABLE log RENAME TO log_of_version_1;
    CREATE TABLE log (block INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
    CREATE TABLE kept (position INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
    UPDATE meta SET next_block = next_block << 14 WHERE next_block > 1;
    """,
    "CREATE TABLE facts (key TEXT PRIMARY KEY, value_hex TEXT NOT NULL) STRICT, WITHOUT ROWID;",
)
"""The statements that lead from each version to the next; a new file begins at version 0."""

VERSION: Final = len(MIGRATIONS)

TABLES: Final = {
    "meta": ("id", "next_block", "next_number", "alive_at"),
    "sessions": (
        "number",
        "client_id",
        "expiry_seconds",
        "detached_at",
        "will_hex",
        "will_delay_seconds",
    ),
    "subscriptions": (
        "number",
        "topic_filter",
        "qos_max",
        "no_local",
        "retain_as_published",
        "identifier",
        "began",
    ),
    "progress": ("number", "cursor", "sent", "done"),
    "inbound": ("number", "packet_id"),
    "outbound": ("number", "packet_id", "position", "released"),
    "retained": ("topic", "position"),
    "facts": ("key", "value_hex"),
    "log": ("block", "data"),
    "kept": ("position", "data"),
}
"""The columns of each table. ``kept`` has the entries that are left of blocks that were trimmed."""

MARK: Final = "store/mark"
"""The key of the fact that says which state of which replicated log a database is the image of.

Only the image of a log sees it. A store that commits without a log removes it, for it is none any more.
"""

KEYS: Final = {
    "meta": 1,
    "sessions": 1,
    "subscriptions": 2,
    "progress": 1,
    "inbound": 2,
    "outbound": 2,
    "retained": 1,
    "facts": 1,
    "log": 1,
    "kept": 1,
}
"""How many columns, from the first, are the key of each table."""

OF_SESSIONS: Final = ("sessions", "subscriptions", "progress", "inbound", "outbound")
"""The tables whose rows belong to a session, by its ``number``."""

PARTS: Final = (
    "data",
    "blocks",
    *(table for name in (*OF_SESSIONS, "retained", "facts") for table in (name, f"{name}_gone")),
    "blocks_gone",
    "trimmed",
    "trimmed_kept",
    "next_block",
    "next_number",
    "alive_at",
)
"""What a commit consists of: its blocks in one value and where in it each lies, JSON texts with the new and the
removed rows of each kind, and single values."""


def _upsert(table: str) -> str:
    columns = TABLES[table]
    cells = [f"value->>{index}" for index in range(len(columns))]
    if table == "progress":
        cells[3] = "value->3"  # A list stays JSON.
    keys = ", ".join(columns[: KEYS[table]])
    values = [f"{column} = excluded.{column}" for column in columns[KEYS[table] :]]
    action = f"UPDATE SET {', '.join(values)}" if values else "NOTHING"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(cells)}"
        f" FROM json_each(new.{table}) WHERE true ON CONFLICT ({keys}) DO {action};"
    )


def _remove(table: str) -> str:
    keys = TABLES[table][: KEYS[table]]
    if len(keys) == 1:
        found = f"SELECT value FROM json_each(new.{table}_gone)"
    else:
        found = f"SELECT value->>0, value->>1 FROM json_each(new.{table}_gone)"
    return f"DELETE FROM {table} WHERE ({', '.join(keys)}) IN ({found});"


def _remove_of_session(table: str) -> str:
    return f"DELETE FROM {table} WHERE number IN (SELECT value FROM json_each(new.sessions_gone));"


def _kept_of(blocks: str) -> str:
    return (
        f"SELECT k.position FROM json_each(new.{blocks}) AS b JOIN kept AS k"
        f" ON k.position >= b.value << {BLOCK_SHIFT} AND k.position < (b.value + 1) << {BLOCK_SHIFT}"
    )


_INDEX: Final = f"(p.value & {ENTRIES_PER_BLOCK_MAX - 1})"

COMMIT_SETUP: Final = "\n".join(
    [
        "CREATE TEMP VIEW group_commit AS SELECT",
        ", ".join(f"NULL AS {part}" for part in PARTS) + " WHERE 0;",
        "CREATE TEMP TRIGGER group_commit_spread INSTEAD OF INSERT ON group_commit BEGIN",
        "INSERT INTO log (block, data) SELECT value->>0, substr(new.data, value->>1, value->>2)",
        "FROM json_each(new.blocks);",
        *(_upsert(table) for table in (*OF_SESSIONS, "retained", "facts")),
        *(
            _remove(table)
            for table in ("subscriptions", "inbound", "outbound", "retained", "facts")
        ),
        # Last, so that nothing stays of a session that is gone.
        *(_remove_of_session(table) for table in OF_SESSIONS),
        "INSERT INTO kept (position, data)",
        f"SELECT p.value, {PIECE_SQL.format(index=_INDEX)} FROM json_each(new.trimmed_kept) AS p",
        f"JOIN log AS l ON l.block = p.value >> {BLOCK_SHIFT} WHERE {_INDEX} < {COUNT_SQL};",
        f"DELETE FROM kept WHERE position IN ({_kept_of('trimmed')})",
        "AND position NOT IN (SELECT value FROM json_each(new.trimmed_kept));",
        f"DELETE FROM kept WHERE position IN ({_kept_of('blocks_gone')});",
        *(
            f"DELETE FROM log WHERE block IN (SELECT value FROM json_each(new.{blocks}));"
            for blocks in ("trimmed", "blocks_gone")
        ),
        "UPDATE meta SET next_block = max(next_block, new.next_block),",
        "next_number = max(next_number, new.next_number), alive_at = new.alive_at",
        "WHERE new.alive_at IS NOT NULL;",
        "END;",
    ]
)
"""Makes the view and trigger of a connection that writes."""

COMMIT: Final = (
    f"INSERT INTO group_commit ({', '.join(PARTS)}) VALUES ({', '.join('?' * len(PARTS))})"
)
"""Takes the values of ``PARTS``."""
