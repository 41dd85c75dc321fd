"""Stored passwords: which notation is which algorithm's, and what a text is when nobody says.

Most notations tell their algorithm themselves; ``rookery.auth.hashes`` has them. Two do not: 64 hexadecimal
digits are the SHA-256 of user name and password where the algorithm is said to be ``sha256``, and any text is
the password itself where it is said to be ``plain``.

Only argon2id, scrypt, bcrypt and pbkdf2 with many rounds resist guessing by someone who has read the file;
they are slow on purpose, so ``costly`` tells the caller to compare off the loop.
"""

from collections.abc import Callable
from typing import Final

from rookery.auth.hashes import (
    Argon2id,
    Bcrypt,
    PasswordFormatError,
    Pbkdf2,
    Plain,
    Scrypt,
    Sha256,
    Sha512,
    StoredPassword,
)

ARGON2ID: Final = "argon2id"
SHA256: Final = "sha256"
PLAIN: Final = "plain"

_MAKERS: Final[dict[str, Callable[[bytes], str]]] = {
    ARGON2ID: Argon2id.make,
    "bcrypt": Bcrypt.make,
    "scrypt": Scrypt.make,
    "pbkdf2-sha256": lambda password: Pbkdf2.make(password, "sha256"),
    "pbkdf2-sha512": lambda password: Pbkdf2.make(password, "sha512"),
    SHA256: Sha256.make,
    "sha512": Sha512.make,
}
HASHES: Final = tuple(_MAKERS)
"""The algorithms that make a hash, the best first."""
ALGORITHMS: Final = (*HASHES, PLAIN)
GUESSABLE: Final = frozenset({SHA256, "sha512", PLAIN})
"""What is quickly guessed by someone who has read the file."""

_READERS: Final[tuple[Callable[[str], StoredPassword | None], ...]] = (
    Argon2id.read,
    Bcrypt.read,
    Scrypt.read,
    Pbkdf2.read,
    Sha256.read,
    Sha512.read,
)


def hash_password(password: str, algorithm: str = ARGON2ID) -> str:
    """Write a password down with a fresh salt; takes as long as a comparison does.

    Raises ``PasswordFormatError`` where the algorithm cannot take the password.
    """
    make = _MAKERS.get(algorithm)
    if make is None:
        raise PasswordFormatError(
            f"there is no hash named {algorithm!r}; there are {_listed(HASHES)}"
        )
    return make(password.encode())


def parse_hash(text: str) -> StoredPassword | None:
    """Read a hash whose text tells its algorithm; ``None`` where it is none.

    Raises ``PasswordFormatError`` for what is evidently meant as a hash but is damaged or costs too much.
    """
    for read in _READERS:
        found = read(text)
        if found is not None:
            return found
    return None


def parse_password(text: str, algorithm: str | None, username: str) -> StoredPassword | None:
    """Read a stored password; ``None`` where the text is no hash of that algorithm.

    Without an algorithm it is the one the text tells. Raises ``PasswordFormatError`` for an unknown
    algorithm, for the hash of another one, and for a hash that is damaged or costs too much.
    """
    if algorithm == PLAIN:
        return Plain(text)
    if algorithm is not None and algorithm not in _MAKERS:
        raise PasswordFormatError(f"{algorithm!r} is none of {_listed(ALGORITHMS)}")
    if algorithm == SHA256:
        bare = Sha256.read_bare(text, username)
        if bare is not None:
            return bare
    found = parse_hash(text)
    if found is not None and algorithm not in (None, found.algorithm):
        raise PasswordFormatError(f"this is a hash of {found.algorithm} and not of {algorithm}")
    return found


def read_password(
    text: str, algorithm: str | None, username: str
) -> tuple[StoredPassword, str | None]:
    """Read a configured password, and a warning for the operator where it lies there in the clear.

    A text that is no hash is taken for the password itself and hashed now. Raises ``PasswordFormatError``.
    """
    stored = parse_password(text, algorithm, username)
    if stored is None:
        made = algorithm or ARGON2ID
        hashed = parse_hash(hash_password(text, made))
        assert hashed is not None  # hash_password writes what parse_hash reads.
        return hashed, (
            f"the password of user {username!r} stands in plain text where a hash belongs;"
            f" it was hashed with {made} while loading"
        )
    if algorithm == PLAIN:
        return stored, f"the password of user {username!r} stands in plain text"
    return stored, None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
