"""The database file: where it lies, who may use it, how it is opened, and what its errors mean."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from rookery.store.faults import GroupFault, StoreFault
from rookery.store.schema import APPLICATION_ID, COMMIT_SETUP, MIGRATIONS, VERSION
from rookery.store.upgrade import CONVERSIONS

FILE: Final = "rookery.db"
LOCK_FILE: Final = "rookery.lock"
NEW_SUFFIX: Final = ".new"
LOG_SUFFIX: Final = "-wal"
JOURNAL_SUFFIX: Final = "-journal"
SIDE_SUFFIXES: Final = (LOG_SUFFIX, "-shm", JOURNAL_SUFFIX)
"""What SQLite keeps beside a database file; without them the file is not whole."""

SQLITE_VERSION_MIN: Final = (3, 38, 0)
SYNCHRONOUS: Final = {"fsync": "FULL", "os": "NORMAL"}
"""By durability: with a write-ahead log NORMAL writes at every commit but waits for no disk."""

BUSY_SECONDS: Final = 5.0
"""How long to wait for another program that has the database open to look at it."""
CHECKPOINT_PAGES: Final = 2_000
WAL_BYTES_KEPT: Final = 67_108_864
CACHE_KIB: Final = 4_096
"""Pages that the writing connection remembers. Commits fill whatever it may have and keep it, and read
next to nothing back, so that a larger one costs memory and saves no time."""

DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM)
_REFUSED: Final = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG)


def check_features() -> None:
    """Raise ``StoreFault`` where the SQLite of this Python is too old for the store."""
    found = sqlite3.sqlite_version_info
    if found < SQLITE_VERSION_MIN:
        needed = ".".join(map(str, SQLITE_VERSION_MIN))
        raise StoreFault(
            f"the store needs SQLite {needed} or newer, and this Python has {sqlite3.sqlite_version}: "
            "use a newer Python, or set store.durability to memory"
        )
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("SELECT value->>0 FROM json_each('[[1]]')").fetchall()
    except sqlite3.OperationalError as error:
        raise StoreFault(
            f"the SQLite of this Python has no JSON functions ({error}): use another Python, or set "
            "store.durability to memory"
        ) from error
    finally:
        connection.close()


def make_directory(directory: Path) -> None:
    """Make the store's directory, for its owner only, where it is not there yet."""
    place = directory.absolute()
    missing = [each for each in (place, *place.parents) if not each.exists()]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Without its own name on the disk a directory is lost with all that is synced in it.
        for made in reversed(missing):
            sync_directory(made.parent)
    except OSError as error:
        raise StoreFault(f"{directory} cannot be made: {error.strerror}") from error
    if not missing:
        try:
            # Whoever made it may have ended before that.
            sync_directory(place.parent)
        except PermissionError:
            pass  # Then somebody else made it, and long ago.


class DirectoryLock:
    """The right to write in a store's directory; ends with ``release`` and with the process."""

    def __init__(self, directory: Path) -> None:
        """Raises ``StoreFault`` when another process has the right, or there is no writing there."""
        self._descriptor = -1
        path = directory / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFault(f"{path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreFault(
                f"{directory} is in use by another node (process {owner}): stop that one, or give this "
                "one a directory of its own in store.directory"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreFault(f"{path} cannot be locked: {error.strerror}") from error
        self._descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # On a full disk the lock holds all the same, only without a name.

    def release(self) -> None:
        """Let others in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing. Raises ``sqlite3.Error``."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def connect_to_write(path: Path, synchronous: str) -> sqlite3.Connection:
    """A connection for commits; makes the tables of a new file and migrates an old one.

    Raises ``sqlite3.Error``, and ``StoreFault`` for a file of a newer program.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        path.chmod(0o600)
        version = read_version(connection, path)
        if version == 0:
            connection.execute("PRAGMA page_size = 4096")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        _migrate(connection, version)
        connection.executescript(COMMIT_SETUP)
    except BaseException:
        connection.close()
        raise
    return connection


def read_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the tables, 0 for a file without any.

    Raises ``StoreFault`` for one of a newer program, and ``sqlite3.DatabaseError`` for what is no store.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0:
        return 0
    if application != APPLICATION_ID or not isinstance(version, int) or version < 1:
        raise sqlite3.DatabaseError("it is no database of a Rookery node")
    if version > VERSION:
        raise StoreFault(
            f"{path} was written by a newer Rookery (version {version} of the tables; this one knows "
            f"{VERSION}): use that one again, or another store.directory; nothing was changed"
        )
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for step in range(version, VERSION):
        # One transaction for each version: whatever happens, the file is at one of them.
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[step]};"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {step + 1};"
        )
        if step in CONVERSIONS:
            CONVERSIONS[step](connection)
        connection.execute("COMMIT")


def sync_directory(directory: Path) -> None:
    """Make the names in a directory as durable as the files are."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_whole(path: Path, target: Path) -> None:
    """Rename a database file and then what belongs to it.

    One after the other on the disk as well: a loss of power must not leave the file without its log, nor
    the log beside the file that comes in its place.
    """
    for suffix in ("", *SIDE_SUFFIXES):
        try:
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
        except FileNotFoundError:
            continue
        sync_directory(path.parent)


def remove_whole(path: Path) -> None:
    """Remove a database file and what belongs to it."""
    for suffix in ("", *SIDE_SUFFIXES):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def damaged(error: sqlite3.Error) -> bool:
    """Whether an error tells of the file's contents, and not of the disk or of other programs."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Raised by us, or while Python made a value of a cell.
        return isinstance(error, sqlite3.DatabaseError)
    return code & 0xFF in DAMAGED


def fault_of(path: Path, error: sqlite3.Error | OSError | OverflowError) -> StoreFault:
    """An error in words for the operator."""
    name = getattr(error, "sqlite_errorname", None)
    detail = f"{error} ({name})" if name else str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL:
        return StoreFault(f"{path} cannot grow: {detail}; make room on the disk")
    if code in _REFUSED or isinstance(error, OverflowError):
        return GroupFault(f"{path} cannot be used: {detail}")
    if code in DAMAGED:
        return StoreFault(
            f"{path} is damaged: {detail}; start the node again, which saves what it can"
        )
    return StoreFault(f"{path} cannot be used: {detail}")


def page_bytes(connection: sqlite3.Connection) -> tuple[int, int]:
    """The bytes of the pages in use, and of free ones, which are filled before the file grows."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size, free * size


def file_bytes(path: Path) -> int:
    """What the database takes on disk, with what belongs to it."""
    total = 0
    for suffix in ("", *SIDE_SUFFIXES):
        try:
            total += Path(f"{path}{suffix}").stat().st_size
        except FileNotFoundError:
            continue
    return total
