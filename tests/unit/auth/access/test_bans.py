from pathlib import Path

from rookery.auth.access.audit import read_audit
from rookery.auth.access.bans import add_bans, lines, read_bans, remove_ban, tidy_bans
from rookery.auth.access.file import AccessFile
from rookery.auth.banned import NODE
from rookery.ports import Ban

STANDING = Ban("client_id", "a*", "disconnect", "why", "op", 5.0, None)
ENDING = Ban("address", "192.0.2.7", "deny", "", NODE, 6.0, 66.0)


def kept(file: AccessFile) -> list[Ban]:
    with file.reading() as connection:
        return read_bans(connection)


def add(file: AccessFile, *bans: Ban) -> None:
    with file.change("op", 7.0) as change:
        add_bans(change, bans)


def test_what_is_kept_is_read_again(tmp_path: Path):
    file = AccessFile(tmp_path)
    assert kept(file) == []
    add(file, ENDING, STANDING)
    assert kept(file) == [STANDING, ENDING]


def test_one_of_the_same_pattern_takes_its_place(tmp_path: Path):
    file = AccessFile(tmp_path)
    other = Ban("client_id", "a*", "log", "", "op", 9.0, None)
    add(file, STANDING)
    add(file, other)
    assert kept(file) == [other]


def test_every_change_is_in_the_audit(tmp_path: Path):
    file = AccessFile(tmp_path)
    add(file, STANDING, ENDING)
    with file.change("ann", 8.0) as change:
        assert remove_ban(change, "client_id", "a*")
        assert not remove_ban(change, "client_id", "a*")
    assert kept(file) == [ENDING]
    with file.reading() as connection:
        acts = [(each.by, each.action, each.target, each.detail) for each in read_audit(connection)]
    assert acts == [
        ("op", "ban add", "client_id a*", "disconnect for good: why"),
        ("op", "ban add", "address 192.0.2.7", "deny for 60 s"),
        ("ann", "ban remove", "client_id a*", ""),
    ]


def test_what_is_over_goes_and_the_oldest_of_the_node_s_own(tmp_path: Path):
    file = AccessFile(tmp_path)
    own = [Ban("client_id", str(number), "deny", "", NODE, float(number)) for number in range(5)]
    add(file, STANDING, ENDING, *own)
    with file.change(NODE, 66.0) as change:
        tidy_bans(change, 66.0, 2)
    assert [ban.pattern for ban in kept(file)] == ["3", "4", "a*"]


def test_what_a_newer_version_may_have_put_there_is_passed_over(tmp_path: Path):
    file = AccessFile(tmp_path)
    add(file, STANDING)
    with file.change("op", 8.0) as change:
        change.connection.execute(
            "INSERT INTO bans VALUES ('country', 'x', 'deny', '', 'op', 1.0, NULL)"
        )
    assert kept(file) == [STANDING]


def test_as_lines():
    assert list(lines([ENDING])) == [
        {
            "kind": "address",
            "pattern": "192.0.2.7",
            "action": "deny",
            "reason": "",
            "by": "node",
            "at": 6.0,
            "until": 66.0,
        }
    ]
