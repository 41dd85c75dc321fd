"""Other databases of a node within the one file of its backup, each as it was at one moment."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from rookery.store.database import NEW_SUFFIX, connect_to_read

_EXISTS: Final = "SELECT count(*) FROM sqlite_schema WHERE name = 'attached'"


def attach(backup: sqlite3.Connection, paths: Iterable[Path]) -> None:
    """Put those databases that are there into a backup, by the names of their files."""
    backup.execute("CREATE TABLE attached (name TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT")
    for path in paths:
        if path.exists():
            with closing(connect_to_read(path)) as source:
                data = source.serialize()
            backup.execute("INSERT INTO attached VALUES (?, ?)", (path.name, data))


def detach(copy: Path, directory: Path) -> list[tuple[Path, Path]]:
    """Take them out of the copy of a backup again, beside where they belong.

    Returns for each the file that was written and its place. A backup of an earlier version has none.
    """
    found: list[tuple[Path, Path]] = []
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        if connection.execute(_EXISTS).fetchone() == (0,):
            return found
        for name, data in connection.execute("SELECT name, data FROM attached"):
            # A backup may come from anywhere: it writes nothing outside its directory.
            place = directory / Path(str(name)).name
            written = Path(f"{place}{NEW_SUFFIX}")
            _write(written, data)
            found.append((written, place))
        connection.execute("DROP TABLE attached")
    return found


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
