"""The file: its place, its one user, its version."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rookery.store import database
from rookery.store.faults import StoreFault
from rookery.store.schema import APPLICATION_ID, VERSION
from tests.support.stores import commit, group, opened, sqlite_store


def test_only_the_owner_gets_in(tmp_path: Path):
    directory = tmp_path / "deep" / "data"
    before = os.umask(0)
    try:
        asyncio.run(opened(lambda: sqlite_store(directory)))
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_names_of_new_directories_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[Path] = []
    monkeypatch.setattr(database, "sync_directory", synced.append)
    directory = tmp_path / "deep" / "data"
    database.make_directory(directory)
    assert synced == [tmp_path, tmp_path / "deep"]
    synced.clear()
    database.make_directory(directory)  # It may have been made by a process that ended before.
    assert synced == [tmp_path / "deep"]


def test_a_directory_whose_parent_may_not_be_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def forbid(directory: Path) -> None:
        raise PermissionError(13, "Permission denied", str(directory))

    monkeypatch.setattr(database, "sync_directory", forbid)
    database.make_directory(tmp_path)
    with pytest.raises(StoreFault, match="cannot be made: Permission denied"):
        database.make_directory(tmp_path / "data")


def test_a_database_is_renamed_with_all_that_belongs_to_it_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, target = tmp_path / "rookery.db", tmp_path / "aside"
    for suffix in ("", "-wal", "-journal"):
        Path(f"{path}{suffix}").write_text(suffix)
    steps: list[list[str]] = []

    def sync(directory: Path) -> None:
        steps.append(sorted(each.name for each in directory.glob("aside*")))

    monkeypatch.setattr(database, "sync_directory", sync)
    database.rename_whole(path, target)
    assert steps == [
        ["aside"],
        ["aside", "aside-wal"],
        ["aside", "aside-journal", "aside-wal"],
    ]
    assert not list(tmp_path.glob("rookery.db*"))


def test_a_second_node_is_told_what_to_do(tmp_path: Path):
    async def both() -> None:
        first = sqlite_store(tmp_path)
        await first.open()
        with pytest.raises(StoreFault, match="is in use by another node") as refused:
            await sqlite_store(tmp_path).open()
        assert str(tmp_path) in str(refused.value)
        assert f"process {os.getpid()}" in str(refused.value)
        assert "store.directory" in str(refused.value)
        assert await commit(first, group(1, b"x")) is None
        await first.close()

    asyncio.run(both())
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).blocks == [1]


def test_the_lock_ends_with_the_process(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from rookery.store.database import DirectoryLock\n"
        "lock = DirectoryLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"held\n"
        with pytest.raises(StoreFault, match=f"process {program.pid}"):
            database.DirectoryLock(tmp_path)
        program.kill()
    lock = database.DirectoryLock(tmp_path)
    lock.release()
    lock.release()


def test_a_newer_version_is_refused_and_nothing_is_touched(tmp_path: Path):
    asyncio.run(opened(lambda: sqlite_store(tmp_path)))
    connection = sqlite3.connect(tmp_path / "rookery.db")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = (tmp_path / "rookery.db").read_bytes()
    with pytest.raises(StoreFault, match="newer Rookery") as refused:
        asyncio.run(opened(lambda: sqlite_store(tmp_path)))
    assert "nothing was changed" in str(refused.value)
    assert (tmp_path / "rookery.db").read_bytes() == before
    assert not list(tmp_path.glob("*.broken-*"))


def test_an_older_version_is_led_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def put() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, b"x"))
        await store.close()

    asyncio.run(put())
    steps = (*database.MIGRATIONS, "CREATE TABLE later (a INTEGER) STRICT;")
    monkeypatch.setattr(database, "MIGRATIONS", steps)
    monkeypatch.setattr(database, "VERSION", len(steps))
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).blocks == [1]
    connection = sqlite3.connect(tmp_path / "rookery.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(steps),)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("SELECT * FROM later").fetchall() == []
    connection.close()


def test_an_old_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    with pytest.raises(StoreFault, match=r"needs SQLite 3\.38\.0 or newer"):
        database.check_features()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFault, match=r"file/data cannot be made: Not a directory"):
        asyncio.run(opened(lambda: sqlite_store(tmp_path / "file" / "data")))
    (tmp_path / "rookery.lock").mkdir()
    with pytest.raises(StoreFault, match=r"rookery\.lock cannot be written"):
        database.DirectoryLock(tmp_path)


def test_errors_say_what_to_do():
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
    assert "make room on the disk" in str(database.fault_of(Path("p"), error))
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    assert "is damaged" in str(database.fault_of(Path("p"), error))
    assert database.damaged(error)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    assert not database.damaged(error)
    assert str(database.fault_of(Path("p"), OSError(5, "gone"))).startswith("p cannot be used")
