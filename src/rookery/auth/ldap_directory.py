"""A directory as the LDAP source asks it: blocking, over few connections that are kept.

A connection is bound anew for each step, first as the service that may search, then as the user whose
password is to be checked; whether it can be is the answer. What a client said is escaped wherever it goes:
by RFC 4515 into a filter, by RFC 4514 into a distinguished name. A directory takes "Ann" and " ann " for
"ann", so the user goes by the name that stands in the entry. Referrals are not followed, or another
server would be told passwords.
"""

import re
import ssl
import warnings
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

with warnings.catch_warnings():
    # ldap3 asks pyasn1 for names that it has newer ones for.
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3

from ldap3.core.exceptions import LDAPException, LDAPResponseTimeoutError
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn, parse_dn

from rookery.auth.placeholders import filled
from rookery.ports import Attempt

SUCCESS: Final = 0
SIZE_LIMIT_EXCEEDED: Final = 4
NO_SUCH_OBJECT: Final = 32
INVALID_DN_SYNTAX: Final = 34
INVALID_CREDENTIALS: Final = 49
NOT_THIS_USER: Final = frozenset({19, 48, INVALID_CREDENTIALS, 50, 53})
"""The server is well and does not let this user in: its password, its account, its policy."""

BROKEN: Final = (LDAPException, OSError, ValueError, LookupError, TypeError)
"""What ldap3 raises when a server closes, hangs, or answers with what is no LDAP."""


class DirectoryFault(Exception):
    """The directory gave no answer of use; the text says why, without what was asked."""


@dataclass(frozen=True)
class DirectorySettings:
    """Where the directory is and how users are found in it. Texts have placeholders."""

    host: str
    port: int
    security: Literal["none", "ldaps", "starttls"] = "none"
    timeout_seconds: int = 5
    user_dn: str | None = None
    """The user's own name; ``None`` searches for it."""
    bind_dn: str | None = None
    bind_password: str | None = field(default=None, repr=False)
    base: str = ""
    filter: str = ""
    username_attribute: str = "uid"
    groups_attribute: str | None = None


@dataclass(frozen=True)
class Person:
    """Somebody whose password was right."""

    dn: str
    name: str
    groups: tuple[str, ...] = ()
    """Their distinguished names."""


@dataclass(frozen=True)
class Stranger:
    """The directory knows nobody of that name."""

    reason: str


@dataclass(frozen=True)
class Wrong:
    """Somebody the directory knows, and does not let in."""

    reason: str


Found = Person | Stranger | Wrong


class _Tls(ldap3.Tls):
    """TLS by the interpreter's own checks of certificate and host name."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        plain = connection.socket
        try:
            connection.socket = self._context.wrap_socket(
                plain,
                do_handshake_on_connect=do_handshake,
                server_hostname=connection.server.host,
            )
        except (OSError, ValueError):
            plain.close()
            raise


class Directory:
    """The directory. ``check`` may be called by several threads at a time."""

    def __init__(self, settings: DirectorySettings, context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._tls = None if context is None else _Tls(context)
        self._idle: deque[ldap3.Connection] = deque()
        self._closed = False

    def check(self, attempt: Attempt) -> Found:
        """Find the user and check the password. Raises ``DirectoryFault`` and ``NoValue``."""
        try:
            kept = self._idle.pop()
        except IndexError:
            pass
        else:
            # One that was kept may have been closed by the server meanwhile: then a new one decides.
            try:
                return self._checked(kept, attempt)
            except LDAPResponseTimeoutError as error:
                raise DirectoryFault("no answer in time") from error
            except BROKEN:
                pass
        try:
            return self._checked(self._open(), attempt)
        except BROKEN as error:
            raise DirectoryFault(_words(error)) from error

    def close(self) -> None:
        """Close the connections that are kept; one in use is closed by its user."""
        self._closed = True
        while self._idle:
            _close(self._idle.pop())

    def _open(self) -> ldap3.Connection:
        # A server of its own for each: one that was not reached is not tried again for minutes.
        server = ldap3.Server(
            self._settings.host,
            self._settings.port,
            use_ssl=self._settings.security == "ldaps",
            get_info=ldap3.NONE,
            tls=self._tls,
            connect_timeout=self._settings.timeout_seconds,
        )
        connection = ldap3.Connection(
            server,
            receive_timeout=self._settings.timeout_seconds,
            auto_referrals=False,
            check_names=False,
            auto_range=False,
            return_empty_attributes=False,
        )
        try:
            connection.open(read_server_info=False)
            if self._settings.security == "starttls":
                connection.start_tls(read_server_info=False)
        except BROKEN:
            _close(connection)
            raise
        return connection

    def _checked(self, connection: ldap3.Connection, attempt: Attempt) -> Found:
        finished = False
        try:
            found = self._find(connection, attempt)
            finished = True
            return found
        finally:
            if finished and not self._closed:
                self._idle.append(connection)
            else:
                _close(connection)

    def _find(self, connection: ldap3.Connection, attempt: Attempt) -> Found:
        settings = self._settings
        if settings.user_dn is None:
            self._bind_service(connection)
            found = self._search(connection, filled(settings.filter, attempt, escape_filter_chars))
            if not isinstance(found, Person):
                return found
            refused = self._bind(connection, found.dn, attempt.password)
            return found if refused is None else refused
        dn = filled(settings.user_dn, attempt, _escaped)
        refused = self._bind(connection, dn, attempt.password)
        return self._search(connection, "(objectClass=*)", dn) if refused is None else refused

    def _bind(
        self, connection: ldap3.Connection, dn: str, password: bytes | None
    ) -> Stranger | Wrong | None:
        # The password of a bind must not be empty: that is an anonymous one, which always succeeds.
        assert password
        connection.user, connection.password = dn, password
        connection.authentication = ldap3.SIMPLE
        connection.bind(read_server_info=False)
        code, description = connection.result["result"], connection.result["description"]
        connection.password = None
        if code == SUCCESS:
            return None
        if code in (NO_SUCH_OBJECT, INVALID_DN_SYNTAX):
            return Stranger(f"there is no {dn!r}")
        if code in NOT_THIS_USER:
            return Wrong(f"{dn!r} may not bind: {description}")
        raise DirectoryFault(f"a bind ended with {description}")

    def _bind_service(self, connection: ldap3.Connection) -> None:
        settings = self._settings
        if settings.bind_dn is not None:
            password = (settings.bind_password or "").encode()
            if self._bind(connection, settings.bind_dn, password) is not None:
                raise DirectoryFault(f"bind_dn {settings.bind_dn!r} with its password may not bind")
            return
        connection.user, connection.authentication = None, ldap3.ANONYMOUS
        connection.bind(read_server_info=False)
        if connection.result["result"] != SUCCESS:
            raise DirectoryFault("an anonymous bind is refused; set bind_dn and bind_password")

    def _search(self, connection: ldap3.Connection, text: str, user_dn: str | None = None) -> Found:
        """Find one entry below the base, or read that of the user."""
        settings = self._settings
        base = settings.base if user_dn is None else user_dn
        wanted = [settings.username_attribute]
        if settings.groups_attribute is not None:
            wanted.append(settings.groups_attribute)
        connection.search(
            base,
            text,
            search_scope="SUBTREE" if user_dn is None else "BASE",
            attributes=wanted,
            size_limit=2,
            time_limit=settings.timeout_seconds,
        )
        code, description = connection.result["result"], connection.result["description"]
        if code not in (SUCCESS, SIZE_LIMIT_EXCEEDED):
            raise DirectoryFault(f"a search in {base!r} ended with {description}")
        found = [each for each in connection.response or [] if each["type"] == "searchResEntry"]
        if not found:
            return Stranger("the search finds nobody")
        if len(found) > 1:
            return Wrong("the search finds more than one entry")
        dn, attributes = found[0]["dn"], found[0]["attributes"]
        names = _values(attributes, settings.username_attribute)
        if not names:
            return Wrong(f"{dn!r} shows no {settings.username_attribute} to name the user by")
        return Person(dn, names[0], _values(attributes, settings.groups_attribute))


def group_name(dn: str) -> str:
    """The short name of a group: what stands first in its distinguished name."""
    value = parse_dn(dn)[0][1]
    return re.sub(r"\\([0-9A-Fa-f]{2}|.)", _unescaped, value)


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if len(found[1]) == 2 else found[1]


def _escaped(value: str) -> str:
    return escape_rdn(value) if value else ""


def _values(attributes: dict[str, object], wanted: str | None) -> tuple[str, ...]:
    """The values of an attribute, whose name may be written in other letters than it was asked for."""
    for name, value in attributes.items():
        if wanted is not None and name.lower() == wanted.lower():
            listed = value if isinstance(value, list) else [value]
            return tuple(each for each in listed if isinstance(each, str))
    return ()


def _close(connection: ldap3.Connection) -> None:
    opened = connection.socket
    try:
        connection.unbind()
    except BROKEN:
        pass  # It was closed already, or is beyond a farewell.
    if opened is not None:
        opened.close()  # ldap3 leaves one open that it could not connect.


def _words(error: Exception) -> str:
    if isinstance(error, LDAPResponseTimeoutError | TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
