import sqlite3
import stat
from pathlib import Path

import pytest

from rookery.auth.access.file import AccessFault, AccessFile


@pytest.fixture
def file(tmp_path: Path) -> AccessFile:
    return AccessFile(tmp_path / "store")


def ban(file: AccessFile, pattern: str) -> None:
    with file.change("ann", 5.0) as change:
        change.connection.execute(
            "INSERT INTO bans VALUES ('client_id', ?, 'deny', '', 'ann', 5.0, NULL)", (pattern,)
        )
        change.audit("ban add", pattern)


def patterns(file: AccessFile) -> list[str]:
    with file.reading() as connection:
        if connection is None:
            return []
        return [row[0] for row in connection.execute("SELECT pattern FROM bans ORDER BY pattern")]


def test_without_a_file_there_is_nothing(file: AccessFile):
    assert patterns(file) == []
    assert file.version() is None
    assert not file.path.parent.exists()


def test_a_change_and_its_audit_are_there_together(file: AccessFile):
    ban(file, "a")
    assert patterns(file) == ["a"]
    with file.reading() as connection:
        assert connection is not None
        rows = connection.execute("SELECT at, by, action, target, detail FROM audit").fetchall()
    assert rows == [(5.0, "ann", "ban add", "a", "")]


def test_a_change_that_fails_leaves_nothing(file: AccessFile):
    ban(file, "a")

    def fail():
        with file.change("ann", 5.0) as change:
            change.connection.execute("DELETE FROM bans")
            change.audit("ban remove", "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert patterns(file) == ["a"]


def test_the_file_is_its_owners_alone(file: AccessFile):
    ban(file, "a")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_every_change_shows_in_the_version(file: AccessFile):
    seen = [file.version()]
    for pattern in "abc":
        ban(file, pattern)
        seen.append(file.version())
    assert len(set(seen)) == 4


def test_another_file_is_left_alone(file: AccessFile):
    file.path.parent.mkdir()
    file.path.write_text("not a database, but some text that is long enough for one" * 50)
    before = file.path.read_bytes()
    with pytest.raises(AccessFault, match=r"access\.db cannot be used"):
        ban(file, "a")
    with pytest.raises(AccessFault, match=r"access\.db cannot be used"):
        patterns(file)
    assert file.path.read_bytes() == before


def test_a_newer_file_is_refused(file: AccessFile):
    ban(file, "a")
    connection = sqlite3.connect(file.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(AccessFault, match="newer Rookery"):
        ban(file, "b")


def test_another_database_is_refused(file: AccessFile):
    file.path.parent.mkdir()
    connection = sqlite3.connect(file.path)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(AccessFault, match="no access database"):
        ban(file, "b")


def test_until_the_first_change_is_done_there_is_nothing(file: AccessFile):
    with file.change("ann", 5.0) as change:
        assert file.path.exists()
        assert file.version() is None
        with file.reading() as connection:
            assert connection is None
        change.audit("user add", "a")
    before = file.version()
    assert before is not None
    ban(file, "a")
    assert file.version() != before
