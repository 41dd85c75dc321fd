"""What the last end of a process, or of the power, left half done: settled before anything is read.

A process that was killed between a write and its sync leaves what the next one reads as done, but what is
only in the system's memory: built upon, it would still be gone with the power. A sync that failed leaves worse:
the system has forgotten which pages it could not write, and says of the next sync that all is well.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

from rookery.store.database import JOURNAL_SUFFIX, LOG_SUFFIX, damaged

PIECE_BYTES: Final = 1_048_576


def settle(path: Path) -> None:
    """Bring a database file and its log to the disk as they are read. Nobody else may write there.

    Raises ``sqlite3.Error`` and ``OSError``.
    """
    if Path(f"{path}{JOURNAL_SUFFIX}").exists():
        _roll_back(path)
    log = Path(f"{path}{LOG_SUFFIX}")
    if log.exists():
        _write_again(log)


def _roll_back(path: Path) -> None:
    """Take back what was cut short before the file had a log: a connection that only reads cannot."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        if not damaged(error):
            raise  # What is damaged is found, and told, by who reads it next.
    finally:
        connection.close()


def _write_again(path: Path) -> None:
    """Write each byte in its place once more, and sync: only what is written anew is tried anew."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        at = 0
        while piece := os.pread(descriptor, PIECE_BYTES, at):
            at += os.pwrite(descriptor, piece, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
