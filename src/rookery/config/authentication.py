"""The settings of who is let in."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, SecretStr, Strict

from rookery.auth.passwords import BCRYPT_PASSWORD_BYTES_MAX, PasswordFormatError, parse_password
from rookery.config.sections import MqttText, Problem, Section


class User(Section):
    """A name and password that let a client in."""

    username: MqttText
    """The name the client gives in CONNECT."""
    password: Annotated[SecretStr, Field(min_length=1, max_length=65535)]
    """The password, or better its hash: `$2b$...` with algorithm `bcrypt`, `sha256$SALT$HEX` with
    `sha256`. A password that is no hash is hashed while loading (`plain` keeps it as it is)."""
    algorithm: Literal["bcrypt", "sha256", "plain"] = "bcrypt"
    """How the password is hashed. Only `bcrypt` resists guessing by someone who has read the hash."""
    enabled: bool = True
    """Whether this user is let in."""

    @property
    def hashed(self) -> bool:
        """Whether the configuration holds the hash and not the password itself."""
        text = self.password.get_secret_value()
        return parse_password(text, self.algorithm, self.username) is not None and (
            self.algorithm != "plain"
        )

    def _problems(self) -> Iterable[Problem]:
        try:
            hashed = self.hashed
        except PasswordFormatError as error:
            yield ("password",), f"is no whole hash: {error}"
            return
        length = len(self.password.get_secret_value().encode())
        if self.algorithm == "bcrypt" and not hashed and length > BCRYPT_PASSWORD_BYTES_MAX:
            yield ("password",), f"is too long: bcrypt takes {BCRYPT_PASSWORD_BYTES_MAX} bytes"


class Auth(Section):
    """Who is let in."""

    enabled: bool | None = None
    """Whether every client must give the name and password of a user. Left at null, that is so as soon
    as a user is listed."""
    users: Annotated[tuple[User, ...], Strict(False)] = ()
    """The users that are let in."""

    @property
    def anonymous_allowed(self) -> bool:
        """Whether a client gets in without a name and password."""
        return not self.users if self.enabled is None else not self.enabled

    def _problems(self) -> Iterable[Problem]:
        names = [user.username for user in self.users]
        for index, name in enumerate(names):
            first = names.index(name)
            if first != index:
                text = f"is the name of users.{first} already; every user needs a name of their own"
                yield ("users", index, "username"), text
