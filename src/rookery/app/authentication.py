"""Who decides who is let in, as the configuration asks for it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from rookery.app.authentication_sources import make_sources
from rookery.auth.access.users import users_of
from rookery.auth.access.watch import AccessWatch
from rookery.auth.anonymous import AUTO
from rookery.auth.chain import Chain, Gate
from rookery.auth.hashes import PasswordFormatError
from rookery.auth.password_file import PasswordFile
from rookery.auth.passwords import parse_password, read_password
from rookery.auth.source import Source
from rookery.auth.users import User, UsersSource
from rookery.auth.verifier import Verifier
from rookery.auth.watch import FileWatch
from rookery.config.authentication import Auth
from rookery.config.authentication import User as ConfiguredUser
from rookery.config.models import Config
from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.app")


def make_authenticator(
    config: Config, clock: Clock, access: AccessWatch, files: FileWatch, base: Path
) -> Chain:
    """Whoever decides who is let in. Relative paths start at ``base``."""
    settings = config.authentication
    verifier = Verifier(
        clock,
        threads=settings.hash_threads,
        waiting_max=settings.waiting_max,
        remember_seconds=settings.remember_seconds,
    )
    users = make_users(config.broker.auth, verifier, access)
    sources: dict[str, Source] = {"users": users}
    if settings.password_file is not None:
        listed = UsersSource("password_file", verifier)
        files.add(PasswordFile(base / settings.password_file, listed))
        sources["password_file"] = listed
    listeners = config.active_listeners
    asked = {name for listener in listeners for name in config.order_of(listener)}
    sources.update(make_sources(settings, asked, clock, base))
    gates = {}
    for listener in listeners:
        assert listener.name is not None  # active_listeners names every one.
        order = [sources[name] for name in config.order_of(listener)]
        gates[listener.name] = Gate(order, config.anonymous_of(listener) or AUTO)
    return Chain(gates, users, verifier)


def make_users(auth: Auth, verifier: Verifier, access: AccessWatch) -> UsersSource:
    """The users of the configuration at once, and those of the access database as they come."""
    listed = [user_of_config(user) for user in auth.users]
    source = UsersSource("users", verifier, listed)
    stored = StoredUsers(listed, source)
    access.subscribe(stored.read, _apply)
    return source


class StoredUsers:
    """Reads the users of the access database and joins them with those of the configuration."""

    def __init__(self, listed: list[User], source: UsersSource) -> None:
        self._listed = listed
        self._names = {user.name for user in listed}
        self._source = source
        self._told: set[str] = set()

    def read(self, connection: sqlite3.Connection | None) -> Callable[[], None]:
        """Off the loop: make the new table; the answer puts it into force."""
        users = list(self._listed)
        for row in users_of(connection):
            if row.name in self._names:
                self._tell(row.name, "the configuration has a user of that name, which counts")
                continue
            try:
                password = parse_password(row.password, row.algorithm, row.name)
            except PasswordFormatError as error:
                self._tell(row.name, str(error))
                continue
            if password is None:
                self._tell(row.name, "its password is no hash that is known")
                continue
            groups = frozenset(row.groups)
            users.append(
                User(row.name, password, row.enabled, row.superuser, row.client_id, groups)
            )
        return self._source.prepare(users)

    def _tell(self, name: str, reason: str) -> None:
        """Once for each user, and not again with every change."""
        if name not in self._told:
            self._told.add(name)
            log.warning("user_passed_over", username=name, reason=reason)


def user_of_config(user: ConfiguredUser) -> User:
    """A user as the configuration lists it; what is no hash is hashed now."""
    text = user.password.get_secret_value()
    password, _ = read_password(text, user.algorithm, user.username)
    return User(
        user.username,
        password,
        user.enabled,
        user.superuser,
        user.client_id,
        frozenset(user.groups),
    )


def _apply(put_into_force: Callable[[], None]) -> None:
    put_into_force()
