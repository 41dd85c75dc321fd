"""Rebuilding on demand, what the node does by itself only for a damaged database."""

import sqlite3
from pathlib import Path

from rookery.store.database import FILE, DirectoryLock, damaged, fault_of
from rookery.store.faults import StoreFault
from rookery.store.rebuild import Salvage, check, finish_rename, rebuild
from rookery.store.settle import settle


def repair(directory: Path, wall: float) -> Salvage:
    """Put all that can be read into a new database.

    Raises ``StoreFault``: when there is none, when a node uses it, when it is of a newer program, and when
    the new one cannot be written.
    """
    path = directory / FILE
    if not directory.is_dir():
        raise StoreFault(f"{directory} holds no store: it is not there")
    lock = DirectoryLock(directory)
    try:
        finish_rename(directory)
        if not path.exists():
            raise StoreFault(f"{directory} holds no store: {FILE} is not there")
        settle(path)
        try:
            check(path)
        except sqlite3.Error as error:
            if not damaged(error):
                raise
        return rebuild(directory, wall)
    except (sqlite3.Error, OSError) as error:
        raise fault_of(path, error) from error
    finally:
        lock.release()
