import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from rookery.store.attached import attach, detach


def database(path: Path, value: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        connection.commit()
    return path


def test_there_and_back(tmp_path: Path):
    backup = tmp_path / "backup"
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        attach(connection, [database(tmp_path / "one.db", "1"), tmp_path / "absent.db"])
    target = tmp_path / "target"
    target.mkdir()
    ((written, place),) = detach(backup, target)
    assert (written, place) == (target / "one.db.new", target / "one.db")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    with closing(sqlite3.connect(written)) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [("1",)]
    assert detach(backup, target) == [], "it is out of the copy"


def test_a_name_does_not_lead_out_of_the_directory(tmp_path: Path):
    backup, target = tmp_path / "backup", tmp_path / "target"
    target.mkdir()
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        attach(connection, [])
        connection.execute("INSERT INTO attached VALUES (?, ?)", ("../../etc/x.db", b"x"))
    ((written, place),) = detach(backup, target)
    assert written.parent == place.parent == target
