from collections.abc import Iterator
from pathlib import Path

import pytest

from rookery.auth.password_file import PasswordFile, read_password_file
from rookery.auth.passwords import hash_password
from rookery.auth.users import UsersSource
from rookery.auth.verifier import Verifier
from rookery.auth.watch import FileFault
from rookery.ports import Accepted
from tests.support.passwords import FakeClock, attempt

HASH = hash_password("secret", "sha512")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "passwords"


@pytest.fixture
def source() -> Iterator[UsersSource]:
    verifier = Verifier(FakeClock())
    yield UsersSource("password_file", verifier)
    verifier.close()


def test_the_lines_are_users_once_they_are_in_force(path: Path, source: UsersSource):
    path.write_text(f"# of the house\n\nann:{HASH}\n  bob:{hash_password('x', 'sha256')}  \n")
    file = PasswordFile(path, source)
    apply = file.read()
    assert source.count == 0
    apply()
    assert source.count == 2
    found = source.authenticate(attempt("ann", b"secret"))
    assert isinstance(found, Accepted)
    assert (found.principal.name, found.principal.source) == ("ann", "password_file")


def test_its_version_is_that_of_the_file(path: Path, source: UsersSource):
    file = PasswordFile(path, source)
    assert file.version() is None
    path.write_text("")
    assert file.version() is not None
    assert file.name == str(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ann", ":1: a line is name:hash"),
        (f"\n:{HASH}", ":2: a line is name:hash"),
        ("ann:secret", ":1: the password of ann is no hash that is known"),
        ("ann:", ":1: the password of ann is no hash that is known"),
        ("ann:$7$101$x", ":1: the password of ann: this begins like mosquitto's"),
        (f"ann:{HASH}\nbob:{HASH}\nann:{HASH}", ":3: ann is there already, in line 1"),
    ],
)
def test_an_error_is_told_with_its_place(path: Path, text: str, complaint: str):
    path.write_text(text)
    with pytest.raises(FileFault) as told:
        read_password_file(path)
    assert str(told.value).startswith(f"{path}{complaint}")
    assert "secret" not in str(told.value)


def test_what_cannot_be_read(path: Path):
    with pytest.raises(FileFault, match="cannot be read: No such file"):
        read_password_file(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileFault, match="is not UTF-8"):
        read_password_file(path)
