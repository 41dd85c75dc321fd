"""The users of the access database: what ``rookery user`` writes and the node reads."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rookery.auth.access.file import Change


@dataclass(frozen=True)
class UserRow:
    """One user as the database has it."""

    name: str
    password: str = field(repr=False)
    """The hash, in a notation that tells its algorithm."""
    algorithm: str
    enabled: bool = True
    superuser: bool = False
    client_id: str | None = None
    groups: tuple[str, ...] = ()
    changed_at: float = 0.0


def users_of(connection: sqlite3.Connection | None) -> list[UserRow]:
    """All users, by their names."""
    if connection is None:
        return []
    return list(
        _rows(
            connection.execute(
                "SELECT name, password, algorithm, enabled, superuser, client_id, groups, changed_at"
                " FROM users ORDER BY name"
            )
        )
    )


def user_of(connection: sqlite3.Connection | None, name: str) -> UserRow | None:
    """One user; ``None`` where there is none of the name."""
    if connection is None:
        return None
    found = connection.execute(
        "SELECT name, password, algorithm, enabled, superuser, client_id, groups, changed_at"
        " FROM users WHERE name = ?",
        (name,),
    )
    return next(_rows(found), None)


def put_user(change: Change, user: UserRow) -> None:
    """Write a user, in place of the one of the same name."""
    change.connection.execute(
        "INSERT OR REPLACE INTO users"
        " (name, password, algorithm, enabled, superuser, client_id, groups, changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            user.name,
            user.password,
            user.algorithm,
            user.enabled,
            user.superuser,
            user.client_id,
            json.dumps(user.groups, ensure_ascii=False),
            change.wall,
        ),
    )


def remove_user(change: Change, name: str) -> bool:
    """Remove a user; whether there was one."""
    return change.connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount > 0


def _rows(found: Iterable[tuple[object, ...]]) -> Iterator[UserRow]:
    for name, password, algorithm, enabled, superuser, client_id, groups, changed_at in found:
        assert isinstance(changed_at, float)  # The table is STRICT.
        yield UserRow(
            str(name),
            str(password),
            str(algorithm),
            bool(enabled),
            bool(superuser),
            None if client_id is None else str(client_id),
            tuple(map(str, json.loads(str(groups)))),
            changed_at,
        )
