"""What the last end left half done; ``tests/power`` shows what becomes of it without."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from rookery.store import settle as module
from rookery.store.settle import settle


def half_done(directory: Path) -> Path:
    """A database as a process leaves it that is killed in the middle of a change, before it had a log."""
    living = directory / "living.db"
    connection = sqlite3.connect(living, isolation_level=None)
    try:
        connection.execute("CREATE TABLE t (data BLOB)")
        connection.execute("INSERT INTO t VALUES ('before')")
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = 'after'")
        connection.executemany("INSERT INTO t VALUES (?)", [(b"x" * 4096,)] * 50)
        killed = directory / "killed.db"
        shutil.copyfile(living, killed)
        shutil.copyfile(f"{living}-journal", f"{killed}-journal")
        return killed
    finally:
        connection.close()


def rows(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT * FROM t").fetchall()
    finally:
        connection.close()


def test_what_was_cut_short_is_taken_back(tmp_path: Path):
    path = half_done(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        rows(path)
    settle(path)
    assert rows(path) == [("before",)]
    assert not Path(f"{path}-journal").exists()


def test_a_file_that_is_damaged_as_well_is_left_to_who_reads_it_next(tmp_path: Path):
    path = half_done(tmp_path)
    Path(f"{path}-journal").write_bytes(b"")
    path.write_bytes(b"what is this? " * 1000)
    settle(path)
    assert path.read_bytes()[:4] == b"what"


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path):
    path = tmp_path / "rookery.db"
    path.mkdir()
    Path(f"{path}-journal").write_bytes(b"")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        settle(path)


def test_the_log_is_written_again_as_it_is_and_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "PIECE_BYTES", 1000)
    log = tmp_path / "rookery.db-wal"
    content = os.urandom(12_345)
    log.write_bytes(content)
    written: list[int] = []
    synced: list[str] = []
    write, sync = os.pwrite, os.fsync

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        written.append(at)
        return write(descriptor, data[:700], at)  # A write may be shorter than it was asked to be.

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(os, "fsync", fsync)
    settle(tmp_path / "rookery.db")
    assert log.read_bytes() == content
    assert written == list(range(0, 12_345, 700))
    assert synced == [str(log)]


def test_without_log_and_journal_nothing_is_done(tmp_path: Path):
    settle(tmp_path / "rookery.db")
    assert list(tmp_path.iterdir()) == []
