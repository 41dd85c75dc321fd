import hashlib
import json
from pathlib import Path

import pytest

from rookery.auth.access.imports import format_of, read_users
from rookery.auth.access.users import UserRow
from rookery.auth.passwords import hash_password, parse_hash
from rookery.auth.watch import FileFault

HASH = hash_password("secret", "sha512")
HEX256 = hashlib.sha256(b"saltsecret").hexdigest()
HEX512 = hashlib.sha512(b"secretsalt").hexdigest()
BARE = hashlib.sha256(b"secret").hexdigest()


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def matches(user: UserRow) -> bool:
    stored = parse_hash(user.password)
    assert stored is not None and stored.algorithm == user.algorithm
    return stored.matches(b"secret")


@pytest.mark.parametrize(
    ("name", "told"),
    [("a.csv", "csv"), ("a.JSON", "json"), ("a.jsonl", "json"), ("pw", "mosquitto")],
)
def test_the_name_tells_the_format(name: str, told: str):
    assert format_of(Path(name)) == told


def test_a_mosquitto_password_file(tmp_path: Path):
    path = write(tmp_path, "pw", f"# x\nann:{HASH}\nbob:{HASH}\n")
    users = read_users(path, "mosquitto", "prefix")
    assert [user.name for user in users] == ["ann", "bob"]
    assert all(matches(user) and user.enabled and not user.superuser for user in users)


def test_emqx_s_csv(tmp_path: Path):
    text = f"user_id,password_hash,salt,is_superuser\nann,{HEX256},salt,true\nbob,{HASH},,\n"
    ann, bob = read_users(write(tmp_path, "u.csv", text), "csv", "prefix")
    assert (ann.name, ann.superuser, ann.algorithm) == ("ann", True, "sha256")
    assert (bob.name, bob.superuser, bob.algorithm) == ("bob", False, "sha512")
    assert matches(ann) and matches(bob)


def test_emqx_s_json_as_a_list_and_as_lines(tmp_path: Path):
    records = [
        {"user_id": "ann", "password_hash": HEX256, "salt": "salt", "is_superuser": True},
        {"username": "bob", "password_hash": HASH},
    ]
    for text in (json.dumps(records), "\n".join(map(json.dumps, records)) + "\n\n"):
        ann, bob = read_users(write(tmp_path, "u.json", text), "json", "prefix")
        assert (ann.name, ann.superuser) == ("ann", True)
        assert bob.name == "bob"
        assert matches(ann) and matches(bob)


@pytest.mark.parametrize(
    ("written", "salt", "position"),
    [
        (HEX256, "salt", "prefix"),
        (BARE, "", "disable"),
        (BARE, "", "prefix"),
        (HEX512, "salt", "suffix"),
    ],
)
def test_hexadecimal_hashes(tmp_path: Path, written: str, salt: str, position):
    text = json.dumps({"user_id": "ann", "password_hash": written, "salt": salt})
    (ann,) = read_users(write(tmp_path, "u.json", text), "json", position)
    assert matches(ann)


@pytest.mark.parametrize(
    ("record", "position", "complaint"),
    [
        ({"user_id": "ann"}, "prefix", ":1: a user has user_id"),
        ({"password_hash": HASH}, "prefix", ":1: a user has user_id"),
        ({"user_id": 5, "password_hash": HASH}, "prefix", ":1: a user has user_id"),
        (
            {"user_id": "ann", "password_hash": HASH, "is_superuser": "maybe"},
            "prefix",
            ":1: is_superuser of ann is neither",
        ),
        (
            {"user_id": "ann", "password_hash": HEX256, "salt": "salt"},
            "suffix",
            ":1: the password of ann is no hash that is known; what can be read",
        ),
        (
            {"user_id": "ann", "password_hash": HEX512, "salt": "salt"},
            "prefix",
            ":1: the password of ann is no hash that is known",
        ),
        (
            {"user_id": "ann", "password_hash": HEX256, "salt": "a$b"},
            "prefix",
            ":1: the password of ann is no hash that is known",
        ),
        (
            {"user_id": "ann", "password_hash": "$2b$10$cut"},
            "prefix",
            ":1: the password of ann: this begins like a bcrypt hash",
        ),
        (["ann"], "prefix", ":1: a user is an object"),
    ],
)
def test_an_error_is_told_with_its_place(tmp_path: Path, record, position, complaint):
    path = write(tmp_path, "u.jsonl", json.dumps(record) if record != ["ann"] else '"ann"')
    with pytest.raises(FileFault) as told:
        read_users(path, "json", position)
    assert str(told.value).startswith(f"{path}{complaint}")


def test_a_name_that_is_there_twice(tmp_path: Path):
    path = write(tmp_path, "u.csv", f"user_id,password_hash\nann,{HASH}\nann,{HASH}\n")
    with pytest.raises(FileFault, match=r"u\.csv:3: ann is there already, in 2"):
        read_users(path, "csv", "prefix")


@pytest.mark.parametrize(
    ("raw", "file_format", "complaint"),
    [
        (b"{", "json", ":1 is no JSON"),
        (b"[", "json", " is no JSON"),
        (b"\xff", "csv", " is not UTF-8"),
        (b'user_id,password_hash\n"a"x,y\n', "csv", ":2: "),
        (b"[1]", "json", ":entry 1: a user is an object"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, raw: bytes, file_format, complaint: str):
    path = tmp_path / "file"
    path.write_bytes(raw)
    with pytest.raises(FileFault) as told:
        read_users(path, file_format, "prefix")
    assert str(told.value).startswith(f"{path}{complaint}")


def test_no_file(tmp_path: Path):
    with pytest.raises(FileFault, match="cannot be read"):
        read_users(tmp_path / "none.csv", "csv", "prefix")
