import pytest

from rookery.auth.acl_file import AclFileFault, parse_acl, read_acl_file
from rookery.auth.rules import RuleSet
from rookery.ports import Principal

ANN = Principal("ann", "c1")
NOBODY = Principal(None, "c2")

FILE = """\
# who may what
topic read public/#

user ann
topic readwrite of ann
topic write up/ann
topic readwrite both/#
topic deny both/secret
user a name with spaces
topic x
user ann
topic read later/#

pattern write own/%u/%c
pattern deny own/bob/#
"""


def decided(principal, action, topic):
    rules = RuleSet(parse_acl(FILE.split("\n"), "acl"))
    if action == "w":
        found = rules.publish(principal, topic, 0, False)
    else:
        found = rules.subscribe(principal, topic, 0)
    return None if found is None else (found.allow, found.origin)


@pytest.mark.parametrize(
    ("principal", "action", "topic", "expected"),
    [
        (NOBODY, "r", "public/x", (True, "acl:2")),
        (NOBODY, "w", "public/x", None),
        (ANN, "r", "public/x", None),
        (ANN, "w", "of ann", (True, "acl:5")),
        (ANN, "r", "of ann", (True, "acl:5")),
        (ANN, "w", "up/ann", (True, "acl:6")),
        (ANN, "r", "up/ann", None),
        (ANN, "r", "both/x", (True, "acl:7")),
        (ANN, "r", "both/secret", (False, "acl:8")),
        (ANN, "w", "both/secret", (False, "acl:8")),
        (Principal("a name with spaces"), "w", "x", (True, "acl:10")),
        (ANN, "r", "later/x", (True, "acl:12")),
        (ANN, "w", "own/ann/c1", (True, "acl:14")),
        (ANN, "w", "own/bob/c1", (False, "acl:15")),
        (NOBODY, "w", "own/x/c2", None),
        (Principal("#", "c"), "w", "own/x/c", None),
    ],
)
def test_who_may_what(principal, action, topic, expected):
    assert decided(principal, action, topic) == expected


def test_every_fault_is_told_with_its_line():
    lines = [
        "topic",
        "user",
        "topic frobnicate a/b",
        "colour red",
        "topic a/#/b",
        "pattern ${username}",
    ]
    with pytest.raises(AclFileFault) as fault:
        parse_acl(lines, "acl")
    assert [line.partition(": ")[0] for line in str(fault.value).splitlines()] == [
        f"acl:{number}" for number in range(1, 7)
    ]
    assert "not 'frobnicate'" in str(fault.value)
    assert "user, topic, pattern or #" in str(fault.value)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "acl"
    with pytest.raises(AclFileFault, match="acl: cannot be read: No such file"):
        read_acl_file(path)
    path.write_bytes(b"user a\ntopic \xff\n")
    with pytest.raises(AclFileFault, match="acl:2: is not UTF-8"):
        read_acl_file(path)
    path.write_bytes("\ufeffuser a\r\ntopic \u00e4\r\n".encode())
    assert [rule.topic_filter for rule in read_acl_file(path)] == ["ä"]


def test_an_endless_file(tmp_path, monkeypatch):
    monkeypatch.setattr("rookery.auth.acl_file.FILE_BYTES_MAX", 10)
    path = tmp_path / "acl"
    path.write_text("#" * 11)
    with pytest.raises(AclFileFault, match="larger than 10 bytes"):
        read_acl_file(path)
