"""What the node keeps of a password for SCRAM, in the form that PostgreSQL writes.

The configuration reads verifiers at every start, so the library is loaded only where one is made.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Final

MECHANISMS: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
ITERATIONS_DEFAULT: Final = 4096
ITERATIONS_MIN: Final = 4096
ITERATIONS_MAX: Final = 10_000_000
SALT_BYTES_MIN: Final = 12

_TEXT: Final = re.compile(r"(SCRAM-SHA-(?:256|512))\$(\d{1,8}):([^$:]+)\$([^$:]+):([^$:]+)")


class VerifierFault(ValueError):
    """A verifier is not written as it should be; the text says what is wrong, without the verifier."""


@dataclass(frozen=True)
class Verifier:
    """What the node keeps of a password."""

    mechanism: str
    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __str__(self) -> str:
        """The text that ``parse_verifier`` reads."""
        salt, stored, server = (
            b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"{self.mechanism}${self.iterations}:{salt}${stored}:{server}"

    def matches(self, password: str) -> bool:
        """Whether this is the password: as costly as the iterations make it, so not on the loop."""
        try:
            found = make_verifier(password, self.mechanism, self.iterations, self.salt)
        except VerifierFault:
            return False
        return hmac.compare_digest(found.stored_key, self.stored_key)


def parse_verifier(text: str) -> Verifier:
    """Read a verifier. Raises ``VerifierFault``."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise VerifierFault("it is not SCRAM-SHA-256$iterations:salt$stored key:server key")
    mechanism, iterations = found[1], int(found[2])
    try:
        salt, stored_key, server_key = (
            b64decode(part, validate=True) for part in found.groups()[2:]
        )
    except ValueError as error:
        raise VerifierFault("its salt and keys are not base64") from error
    if not ITERATIONS_MIN <= iterations <= ITERATIONS_MAX:
        raise VerifierFault(
            f"{iterations} iterations are not within {ITERATIONS_MIN} to {ITERATIONS_MAX}"
        )
    if len(salt) < SALT_BYTES_MIN:
        raise VerifierFault(f"its salt has less than {SALT_BYTES_MIN} bytes")
    size = hashlib.new(MECHANISMS[mechanism]).digest_size
    if len(stored_key) != size or len(server_key) != size:
        raise VerifierFault(f"its keys have not the {size} bytes of {mechanism}")
    return Verifier(mechanism, iterations, salt, stored_key, server_key)


def make_verifier(
    password: str,
    mechanism: str = "SCRAM-SHA-256",
    iterations: int = ITERATIONS_DEFAULT,
    salt: bytes | None = None,
) -> Verifier:
    """Make the verifier of a password, with a fresh salt. Raises ``VerifierFault``."""
    from scramp import ScramException, ScramMechanism

    try:
        made = ScramMechanism(mechanism).make_auth_info(password, iterations, salt)
    except ScramException as error:
        raise VerifierFault(str(error)) from error
    return Verifier(mechanism, made[3], made[0], made[1], made[2])


def prepared(name: str) -> str:
    """A user name as SCRAM compares it. Raises ``VerifierFault`` for one that it does not allow."""
    if name.isascii() and name.isprintable():
        return name
    from scramp import ScramException
    from scramp.utils import saslprep

    try:
        return str(saslprep(name))
    except ScramException as error:
        raise VerifierFault(str(error)) from error
