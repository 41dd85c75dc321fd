from pathlib import Path

from rookery.auth.access import file as access_file
from rookery.auth.access.audit import AuditLine, last_number, read_audit
from rookery.auth.access.file import AccessFile


def note(file: AccessFile, wall: float, target: str) -> None:
    with file.change("op", wall) as change:
        change.audit("test", target, "detail")


def targets(file: AccessFile, **asked) -> list[str]:
    with file.reading() as connection:
        return [line.target for line in read_audit(connection, **asked)]


def test_without_a_database_nothing_was_done(tmp_path: Path):
    file = AccessFile(tmp_path)
    with file.reading() as connection:
        assert (read_audit(connection), last_number(connection)) == ([], 0)


def test_acts_in_their_order(tmp_path: Path):
    file = AccessFile(tmp_path)
    for wall, target in ((5.0, "a"), (6.0, "b"), (7.0, "c")):
        note(file, wall, target)
    assert targets(file) == ["a", "b", "c"]
    assert targets(file, since_wall=6.0) == ["b", "c"]
    assert targets(file, after=2) == ["c"]
    assert targets(file, count_max=2) == ["b", "c"], "the last ones"
    with file.reading() as connection:
        assert last_number(connection) == 3
        assert read_audit(connection)[0] == AuditLine(1, 5.0, "op", "test", "a", "detail")


def test_the_oldest_go(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(access_file, "AUDIT_ROWS_MAX", 3)
    file = AccessFile(tmp_path)
    for number in range(10):
        note(file, float(number), str(number))
    assert targets(file) == ["7", "8", "9"]
