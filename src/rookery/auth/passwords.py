"""Stored passwords: how they are written down and how a given password is held against one.

The text of a stored password is one of

- ``$2b$10$`` and 53 more characters (also ``$2a$``, ``$2y$``): bcrypt, as ``htpasswd -B`` writes it.
  bcrypt reads 72 bytes of a password, so a longer one is refused instead of cut.
- ``sha256$SALT$HEX``: HEX is the SHA-256 of SALT followed by the password, both in UTF-8. SALT is
  any text without ``$``.
- 64 hexadecimal digits alone, where the algorithm is said to be ``sha256``: the same, and the salt
  is the user name.
- the password itself, where the algorithm is said to be ``plain``.

Only bcrypt resists guessing by someone who has read the file; it is slow on purpose, so ``costly``
tells the caller to compare off the loop.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

import bcrypt
from mypy_extensions import mypyc_attr

BCRYPT: Final = "bcrypt"
SHA256: Final = "sha256"
PLAIN: Final = "plain"
ALGORITHMS: Final = (BCRYPT, SHA256, PLAIN)

BCRYPT_COST_DEFAULT: Final = 10
"""About 60 ms of one core."""
BCRYPT_COST_MAX: Final = 15
"""About 2 s of one core. A hash made to take longer would let one client stop all others."""
BCRYPT_PASSWORD_BYTES_MAX: Final = 72

_BCRYPT_TEXT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_SHA256_TEXT: Final = re.compile(r"sha256\$([^$]*)\$([0-9a-fA-F]{64})")
_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


class PasswordFormatError(ValueError):
    """A stored password is written in no form that its algorithm has."""


@mypyc_attr(allow_interpreted_subclasses=True)
@dataclass(frozen=True)
class StoredPassword:
    """One stored password, ready to be compared."""

    algorithm: str
    digest: bytes = field(repr=False)
    """The whole bcrypt text, the raw SHA-256, or the plain password."""
    salt: bytes = field(default=b"", repr=False)
    """Only for SHA-256."""

    @property
    def costly(self) -> bool:
        """Whether ``matches`` takes long enough to stall a loop."""
        return self.algorithm == BCRYPT

    @property
    def cost(self) -> int:
        """The bcrypt cost: each step doubles the work; 0 for what is cheap."""
        return int(self.digest[4:6]) if self.costly else 0

    def matches(self, password: bytes) -> bool:
        """Whether this is the password, in a time that does not depend on where they differ."""
        if self.algorithm == BCRYPT:
            equal = bcrypt.checkpw(password[:BCRYPT_PASSWORD_BYTES_MAX], self.digest)
            # The work is done even where the answer is known, so the time does not tell of it.
            return equal and len(password) <= BCRYPT_PASSWORD_BYTES_MAX
        if self.algorithm == SHA256:
            return hmac.compare_digest(hashlib.sha256(self.salt + password).digest(), self.digest)
        return hmac.compare_digest(password, self.digest)


def hash_password(password: str, algorithm: str = BCRYPT, cost: int = BCRYPT_COST_DEFAULT) -> str:
    """Write a password down as ``bcrypt`` or ``sha256`` text with a fresh salt.

    Raises ``PasswordFormatError`` where the algorithm cannot take the password. With bcrypt this
    takes as long as a comparison does.
    """
    raw = password.encode()
    if algorithm == BCRYPT:
        if len(raw) > BCRYPT_PASSWORD_BYTES_MAX:
            raise PasswordFormatError(
                f"bcrypt takes passwords of at most {BCRYPT_PASSWORD_BYTES_MAX} bytes,"
                f" this one has {len(raw)}"
            )
        return bcrypt.hashpw(raw, bcrypt.gensalt(cost)).decode()
    if algorithm == SHA256:
        salt = secrets.token_hex(16)
        return f"sha256${salt}${hashlib.sha256(salt.encode() + raw).hexdigest()}"
    raise PasswordFormatError(f"there is no hash named {algorithm!r}")


def parse_password(text: str, algorithm: str, username: str) -> StoredPassword | None:
    """Read a stored password; ``None`` where the text is no hash of that algorithm.

    Raises ``PasswordFormatError`` for an unknown algorithm, and for a hash that is evidently meant
    as one but is damaged or costs too much.
    """
    if algorithm == PLAIN:
        return StoredPassword(PLAIN, text.encode())
    if algorithm == SHA256:
        return _parse_sha256(text, username)
    if algorithm == BCRYPT:
        return _parse_bcrypt(text)
    raise PasswordFormatError(f"{algorithm!r} is none of {', '.join(ALGORITHMS)}")


def _parse_bcrypt(text: str) -> StoredPassword | None:
    found = _BCRYPT_TEXT.fullmatch(text)
    if found is None:
        if re.match(r"\$2[abxy]?\$", text):
            raise PasswordFormatError("this begins like a bcrypt hash but is not a whole one")
        return None
    cost = int(found[1])
    if not 4 <= cost <= BCRYPT_COST_MAX:
        raise PasswordFormatError(f"a bcrypt cost of {cost} is not within 4 to {BCRYPT_COST_MAX}")
    return StoredPassword(BCRYPT, text.encode())


def _parse_sha256(text: str, username: str) -> StoredPassword | None:
    if found := _SHA256_TEXT.fullmatch(text):
        return StoredPassword(SHA256, bytes.fromhex(found[2]), found[1].encode())
    if _SHA256_HEX.fullmatch(text):
        return StoredPassword(SHA256, bytes.fromhex(text), username.encode())
    if text.startswith("sha256$"):
        raise PasswordFormatError("this begins like sha256$SALT$HEX but is not a whole one")
    return None


def read_password(
    text: str, algorithm: str, username: str, cost: int = BCRYPT_COST_DEFAULT
) -> tuple[StoredPassword, str | None]:
    """Read a configured password, and a warning for the operator where it lies there in the clear.

    A text that is no hash of its algorithm is taken for the password itself and hashed now. Raises
    ``PasswordFormatError``.
    """
    stored = parse_password(text, algorithm, username)
    if stored is None:
        hashed = parse_password(hash_password(text, algorithm, cost), algorithm, username)
        assert hashed is not None  # hash_password writes what parse_password reads.
        return hashed, (
            f"the password of user {username!r} stands in plain text where a {algorithm} hash"
            " belongs; it was hashed while loading"
        )
    if algorithm == PLAIN:
        return stored, f"the password of user {username!r} stands in plain text"
    return stored, None
