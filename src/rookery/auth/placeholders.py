"""Texts with places for what is known of a client: ``${username}``, or ``%u`` in short."""

import re
from collections.abc import Callable
from typing import Final

from rookery.ports import Attempt

NAMES: Final = (
    "username",
    "password",
    "clientid",
    "peerhost",
    "listener",
    "cert_common_name",
    "cert_subject",
)
SHORT: Final = {"%u": "username", "%c": "clientid"}

_PLACE: Final = re.compile(r"\$\{([^}]*)\}")
_PLACE_OR_SHORT: Final = re.compile(r"\$\{([^}]*)\}|%[uc]")


class NoValue(Exception):
    """A text needs what the client did not say; the text tells what."""


def unknown_names(text: str) -> list[str]:
    """The names in ``${}`` of a text that stand for nothing."""
    return [name for name in _PLACE.findall(text) if name not in NAMES]


def filled(
    text: str,
    attempt: Attempt,
    escape: Callable[[str], str] = str,
    *,
    short: bool = False,
    absent: str | None = None,
) -> str:
    """Put what is known of a client into a text, in one pass: what a client says is never read again.

    ``short`` takes ``%u`` and ``%c`` too. What the client did not say is ``absent``, and where that is
    ``None`` too it raises ``NoValue``.
    """

    def value(place: re.Match[str]) -> str:
        name = SHORT.get(place[0]) or place[1]
        if name not in NAMES:
            raise NoValue(f"nothing is called {name!r}")
        found = value_of(name, attempt)
        if found is None:
            found = absent
        if found is None:
            raise NoValue(f"the client gave no {name}")
        return escape(found)

    return (_PLACE_OR_SHORT if short else _PLACE).sub(value, text)


def value_of(name: str, attempt: Attempt) -> str | None:
    """What a placeholder stands for, ``None`` where that is not known. Raises ``NoValue``."""
    if name == "username":
        return attempt.username
    if name == "password":
        if attempt.password is not None and not is_text(attempt.password):
            raise NoValue("the password is no text in UTF-8")
        return None if attempt.password is None else attempt.password.decode()
    if name == "clientid":
        return attempt.client_id
    if name == "peerhost":
        return attempt.address
    if name == "listener":
        return attempt.listener
    certificate = attempt.certificate
    if certificate is None:
        return None
    return certificate.common_name if name == "cert_common_name" else certificate.subject


def is_text(password: bytes) -> bool:
    """Whether a password can be told in a text."""
    try:
        password.decode()
    except UnicodeDecodeError:
        return False
    return True
