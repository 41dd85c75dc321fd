import dataclasses
from pathlib import Path

import pytest

from rookery.auth.access.file import AccessFile
from rookery.auth.access.users import UserRow, put_user, remove_user, user_of, users_of

ANN = UserRow("ann", "$6$x", "sha512", True, False, "meter-*", ("ops", "\u00e4"), 5.0)
BOB = UserRow("bob", "$7$x", "pbkdf2-sha512", False, True, None, (), 5.0)


@pytest.fixture
def file(tmp_path: Path) -> AccessFile:
    return AccessFile(tmp_path)


def put(file: AccessFile, *users: UserRow) -> None:
    with file.change("op", 5.0) as change:
        for user in users:
            put_user(change, user)


def all_of(file: AccessFile) -> list[UserRow]:
    with file.reading() as connection:
        return users_of(connection)


def test_users_come_back_as_they_were(file: AccessFile):
    assert all_of(file) == []
    put(file, BOB, ANN)
    assert all_of(file) == [ANN, BOB]
    with file.reading() as connection:
        assert user_of(connection, "bob") == BOB
        assert user_of(connection, "eve") is None
    assert user_of(None, "bob") is None


def test_one_of_the_same_name_is_replaced(file: AccessFile):
    put(file, ANN)
    changed = dataclasses.replace(ANN, enabled=False, changed_at=9.0)
    with file.change("op", 9.0) as change:
        put_user(change, changed)
    assert all_of(file) == [changed]


def test_removing_tells_whether_there_was_one(file: AccessFile):
    put(file, ANN)
    with file.change("op", 5.0) as change:
        assert [remove_user(change, name) for name in ("ann", "ann", "eve")] == [True, False, False]
    assert all_of(file) == []


def test_a_row_shows_no_password():
    assert "$6$x" not in repr(ANN)
