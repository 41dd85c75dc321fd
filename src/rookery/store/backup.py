"""A copy of a database as one file, and a database from such a copy."""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rookery.store.attached import attach, detach
from rookery.store.database import (
    FILE,
    NEW_SUFFIX,
    DirectoryLock,
    connect_to_read,
    fault_of,
    make_directory,
    read_version,
    rename_whole,
    sync_directory,
)
from rookery.store.faults import StoreFault
from rookery.store.inspect import opened
from rookery.store.rebuild import REPLACED, finish_rename, free_name

PAGES_PER_STEP: Final = 4_096
"""Between steps a node that runs gets its turn."""


def create(directory: Path, target: Path, others: Iterable[str] = ()) -> int:
    """Copy the database to a file, whether a node runs or not; the bytes of it.

    The copy is that of one moment. ``others`` are the names of databases beside it that come along, where they
    are there. Raises ``StoreFault``.
    """
    if target.exists():
        raise StoreFault(f"{target} exists already: give another name")
    partial = Path(f"{target}.partial")
    try:
        # Before anything is written: the messages in it are nobody else's business.
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with opened(directory) as source:
            copy = sqlite3.connect(partial, isolation_level=None)
            try:
                # Held from begin to end, or every commit of the node would begin the copy anew.
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM meta").fetchone()
                source.backup(copy, pages=PAGES_PER_STEP)
                copy.execute("PRAGMA journal_mode = DELETE").fetchone()
                attach(copy, [directory / name for name in others])
            finally:
                copy.close()
        _sync(partial)
        partial.rename(target)
        sync_directory(target.absolute().parent)
        return target.stat().st_size
    except (sqlite3.Error, OSError) as error:
        raise fault_of(target, error) from error
    finally:
        partial.unlink(missing_ok=True)


def restore(source: Path, directory: Path, *, force: bool, wall: float) -> Path | None:
    """Make a backup the database of a directory; where the one that was there lies now, if one was.

    Raises ``StoreFault``: when the file is no whole backup, when a node uses the directory, and, unless
    ``force``, when there is a database already.
    """
    _check_backup(source)
    make_directory(directory)
    lock = DirectoryLock(directory)
    try:
        finish_rename(directory)
        path = directory / FILE
        if path.exists() and not force:
            raise StoreFault(
                f"{directory} holds a store already: --force sets it aside and puts the backup there"
            )
        new = Path(f"{path}{NEW_SUFFIX}")
        _copy(source, new)
        attached = detach(new, directory)
        _sync(new)
        aside = None
        if path.exists():
            aside = free_name(path, REPLACED, wall)
            rename_whole(path, aside)
        for written, place in attached:
            if place.exists():
                rename_whole(place, free_name(place, REPLACED, wall))
            written.rename(place)
        new.rename(path)
        sync_directory(directory)
        return aside
    except (sqlite3.Error, OSError) as error:
        raise fault_of(directory / FILE, error) from error
    finally:
        lock.release()


def _check_backup(source: Path) -> None:
    if not source.is_file():
        raise StoreFault(f"{source} is not there")
    try:
        connection = connect_to_read(source)
        try:
            version = read_version(connection, source)
            told = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreFault(f"{source} is no backup of a Rookery node: {error}") from error
    if version == 0:
        raise StoreFault(f"{source} is no backup of a Rookery node: it is empty")
    if told != ["ok"]:
        raise StoreFault(f"{source} is damaged: {'; '.join(told)}")


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    reading = connect_to_read(source)
    writing = sqlite3.connect(target, isolation_level=None)
    try:
        reading.backup(writing)
    finally:
        writing.close()
        reading.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
