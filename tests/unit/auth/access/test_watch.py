import sqlite3
from pathlib import Path

import pytest

from rookery.auth.access.file import AccessFault, AccessFile
from rookery.auth.access.watch import AccessWatch


def counting(connection: sqlite3.Connection | None) -> int | None:
    if connection is None:
        return None
    (count,) = connection.execute("SELECT count(*) FROM bans").fetchone()
    assert isinstance(count, int)
    return count


def ban(file: AccessFile, pattern: str) -> None:
    with file.change("ann", 5.0) as change:
        change.connection.execute(
            "INSERT INTO bans VALUES ('client_id', ?, 'deny', '', 'ann', 5.0, NULL)", (pattern,)
        )


def test_every_reader_gets_its_part_and_applies_later(tmp_path: Path):
    file = AccessFile(tmp_path)
    watch = AccessWatch(file)
    ones: list[int | None] = []
    others: list[int | None] = []
    watch.subscribe(counting, ones.append)
    watch.subscribe(counting, others.append)
    watch.read()()
    ban(file, "a")
    apply = watch.read()
    assert (ones, others) == ([None], [None])
    apply()
    assert (ones, others) == ([None, 1], [None, 1])


def test_its_version_is_that_of_the_file(tmp_path: Path):
    file = AccessFile(tmp_path)
    watch = AccessWatch(file)
    assert watch.version() is None
    ban(file, "a")
    assert watch.version() == file.version() is not None
    assert watch.name == str(file.path)


def test_without_a_file_the_readers_get_none():
    watch = AccessWatch(None)
    got: list[int | None] = []
    watch.subscribe(counting, got.append)
    watch.read()()
    assert got == [None]
    assert watch.version() is None
    assert watch.name == "no access database"


def test_one_reader_that_fails_keeps_all_from_applying(tmp_path: Path):
    def fail(connection: sqlite3.Connection | None) -> None:
        raise AccessFault("a row makes no sense")

    watch = AccessWatch(AccessFile(tmp_path))
    got: list[int | None] = []
    watch.subscribe(counting, got.append)
    watch.subscribe(fail, lambda _: None)
    with pytest.raises(AccessFault, match="makes no sense"):
        watch.read()
    assert got == []
