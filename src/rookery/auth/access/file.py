"""The access database: a SQLite file beside the store, read by the node and written by the commands.

It is a file of its own because its writers are others: ``rookery user`` and its like write it whether the
node runs or not, each in one transaction together with its line of the audit. A running node looks a few
times a second whether the file has changed. Nothing here may be called on the loop.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from rookery.auth.watch import FileFault

FILE: Final = "access.db"
APPLICATION_ID: Final = 0x524B4143
VERSION: Final = 1
AUDIT_ROWS_MAX: Final = 100_000
"""Lines of the audit that are kept; the oldest go."""
BUSY_SECONDS: Final = 5.0
CHANGE_COUNTER_AT: Final = 24
"""Where a SQLite file without a write-ahead log counts its changes."""

_TABLES: Final = """
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    password TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    superuser INTEGER NOT NULL,
    client_id TEXT,
    groups TEXT NOT NULL,
    changed_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE rules (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT NOT NULL,
    added_at REAL NOT NULL
) STRICT;
CREATE TABLE bans (
    kind TEXT NOT NULL,
    pattern TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    at REAL NOT NULL,
    until REAL,
    PRIMARY KEY (kind, pattern)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
"""


class AccessFault(FileFault):
    """The access database cannot be used; the text says which file, why, and what to do."""


class Change:
    """One transaction of a writer. What it does and its line of the audit are there together or not at all."""

    def __init__(self, connection: sqlite3.Connection, by: str, wall: float) -> None:
        self.connection = connection
        self.wall = wall
        self._by = by

    def audit(self, action: str, target: str, detail: str = "") -> None:
        """Note what was done to whom. ``detail`` must hold no secret."""
        self.connection.execute(
            "INSERT INTO audit (at, by, action, target, detail) VALUES (?, ?, ?, ?, ?)",
            (self.wall, self._by, action, target, detail),
        )
        # By the numbers, which rise one by one: the database looks at no more than the rows that go.
        self.connection.execute(
            "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?",
            (AUDIT_ROWS_MAX,),
        )


class AccessFile:
    """The access database of one store directory. It need not be there: then it is empty."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE

    @contextmanager
    def change(self, by: str, wall: float) -> Iterator[Change]:
        """One transaction, durable at its end; makes the file where there is none. ``by`` is for the audit.

        Raises ``AccessFault``.
        """
        with self._told(), closing(self._writable()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                # With the first change in one: a node that looks meanwhile sees nothing half made.
                _make_tables(connection)
                self._check(connection)
                yield Change(connection, by, wall)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection that sees one moment of the file; ``None`` where there is none. Raises ``AccessFault``."""
        if self.version() is None:
            yield None
            return
        with self._told(), closing(self._readable()) as connection:
            connection.execute("BEGIN")
            yield connection

    def version(self) -> tuple[int, bytes] | None:
        """What differs after every change: cheap to ask, a few times a second. ``None`` without a file.

        An empty one, whose first change is not done, is none. Ask before reading, so that a change meanwhile
        is seen the next time.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(CHANGE_COUNTER_AT)
                counter = file.read(4)
                return (os.fstat(file.fileno()).st_ino, counter) if counter else None
        except OSError:
            return None

    def _readable(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
        )
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _writable(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Before anything is written: the hashes in it are nobody else's business.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise AccessFault(f"{self.path} is no access database of a Rookery node")
        if version > VERSION:
            raise AccessFault(
                f"{self.path} was written by a newer Rookery (version {version} of the tables; this "
                f"one knows {VERSION}): use that one; nothing was changed"
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise AccessFault(f"{self.path} cannot be used: {error}") from error


def _make_tables(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
