"""The settings of who is let in."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, Strict

from rookery.auth.hashes import BCRYPT_PASSWORD_BYTES_MAX, PasswordFormatError
from rookery.auth.passwords import GUESSABLE, parse_password
from rookery.config.authentication_sources import Certificate, Http, Jwt, Ldap, Scram
from rookery.config.sections import FilePath, MqttText, Problem, Section, comma_list

Source = Literal["users", "password_file", "jwt", "http", "certificate", "scram", "ldap"]
Order = Annotated[tuple[Source, ...], BeforeValidator(comma_list), Strict(False)]
Anonymous = Literal["deny", "loopback", "allow"]
Algorithm = Literal[
    "argon2id", "bcrypt", "scrypt", "pbkdf2-sha256", "pbkdf2-sha512", "sha256", "sha512", "plain"
]

WITHOUT_SETTINGS = ("users",)
"""Sources that are there without a section of their own."""


class User(Section):
    """A name and password that let a client in."""

    username: MqttText
    """The name the client gives in CONNECT."""
    password: Annotated[SecretStr, Field(min_length=1, max_length=65535)]
    """The password's hash, as `rookery user hash` prints it. A password that is no hash is hashed while
    loading (`plain` keeps it as it is), and warned about."""
    algorithm: Algorithm | None = None
    """How the password is hashed; at null what the hash itself tells, and `argon2id` for what is none.
    `sha256`, `sha512` and `plain` are soon guessed by someone who has read them."""
    enabled: bool = True
    """Whether this user is let in."""
    superuser: bool = False
    """Whether no rule of `authorization` applies to this user."""
    client_id: MqttText | None = None
    """The only client id this user may come with; with `*` at its end, any that begins so. Null is any."""
    groups: Annotated[tuple[MqttText, ...], BeforeValidator(comma_list), Strict(False)] = ()
    """The groups this user is in, for rules that speak of one."""

    @property
    def hashed(self) -> bool:
        """Whether the configuration holds the hash and not the password itself."""
        text = self.password.get_secret_value()
        return parse_password(text, self.algorithm, self.username) is not None and (
            self.algorithm != "plain"
        )

    @property
    def guessable(self) -> bool:
        """Whether the hash is one that is soon guessed."""
        stored = parse_password(self.password.get_secret_value(), self.algorithm, self.username)
        return stored is not None and stored.algorithm in GUESSABLE

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
    """The users that the configuration itself lists."""

    enabled: bool | None = None
    """`false` lets everyone in from anywhere, whatever name and password they give; `true` lets in no
    anonymous client. At null `authentication.anonymous` decides."""
    users: Annotated[tuple[User, ...], Strict(False)] = ()
    """Users beside those that `rookery user` keeps in the store; of two of the same name the one here
    counts."""

    def _problems(self) -> Iterable[Problem]:
        names = [user.username for user in self.users]
        for index, name in enumerate(names):
            first = names.index(name)
            if first != index:
                text = f"is the name of users.{first} already; every user needs a name of their own"
                yield ("users", index, "username"), text


class Authentication(Section):
    """Who is let in: the sources that know clients, and what holds for clients that none knows."""

    order: Order = ("users",)
    """The sources that are asked, in this order; the first that knows a client decides. `users` are those
    of `rookery user` and of `broker.auth.users`; every other one has a setting of its name here."""
    anonymous: Anonymous | None = None
    """From where clients without a name and password are let in: nowhere, from this machine only (127.0.0.0/8,
    ::1, unix sockets), or from anywhere. Null is `loopback` as long as there is no user and no other
    source, then `deny`."""
    remember_seconds: Annotated[float, Field(ge=0, le=86400)] = 60.0
    """How long a password that was right is not hashed again; 0 hashes every time."""
    password_file: FilePath | None = None
    """A file with `name:hash` a line, as `mosquitto_passwd` writes it; read again when it changes. A relative
    path starts at the configuration file, if there is one."""
    hash_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """How many passwords are compared at once."""
    waiting_max: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """How many comparisons may wait; a client beyond them is told that the server is busy. Those that wait
    should be done within `limits.connect_deadline_seconds`."""

    jwt: Jwt | None = None
    """Clients that bring a signed token (JWT); needs the extra `jwt`."""
    http: Http | None = None
    """Clients that a web service lets in; needs the extra `http`."""
    certificate: Certificate | None = None
    """Clients that are known by their TLS certificate."""
    scram: Scram | None = None
    """Clients of MQTT 5.0 that prove by SCRAM that they know their password."""
    ldap: Ldap | None = None
    """Clients that an LDAP directory knows; needs the extra `ldap`."""

    def missing(self, order: Iterable[str]) -> Iterator[tuple[int, str]]:
        """Of these sources, the places and names of those that have no settings here."""
        for place, name in enumerate(order):
            if name not in WITHOUT_SETTINGS and getattr(self, name, None) is None:
                yield place, name

    def _problems(self) -> Iterable[Problem]:
        for place, name in self.missing(self.order):
            yield ("order", place), f"is {name}, but authentication.{name} is not set"
