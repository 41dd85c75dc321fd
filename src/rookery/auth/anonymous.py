"""Clients that prove nothing: from where they are let in.

The name such a client may give was not verified, so rules must not rely on it: its principal has none.
"""

from typing import Final

from rookery.ports import Accepted, Attempt, Principal

DENY: Final = "deny"
LOOPBACK: Final = "loopback"
ALLOW: Final = "allow"
AUTO: Final = "auto"
"""From this machine as long as nothing knows any client, else from nowhere."""

_LOOPBACKS: Final = ("127.", "::ffff:127.")


def is_loopback(address: str) -> bool:
    """Whether a client's address is on this machine: 127.0.0.0/8, ``::1``, or a unix socket (no address)."""
    return not address or address == "::1" or address.startswith(_LOOPBACKS)


def why_not(policy: str, address: str) -> str | None:
    """``None`` where a client from this address comes in without any proof, else the reason."""
    if policy == ALLOW:
        return None
    if policy == LOOPBACK:
        if is_loopback(address):
            return None
        return "anonymous clients are let in from this machine only (anonymous: loopback)"
    return "anonymous clients are not let in (anonymous: deny)"


def admitted(attempt: Attempt) -> Accepted:
    """The client as an anonymous one."""
    return Accepted(
        Principal(
            name=None,
            client_id=attempt.client_id,
            address=attempt.address,
            listener=attempt.listener,
        )
    )
