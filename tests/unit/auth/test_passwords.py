import hashlib

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.auth.passwords import (
    ALGORITHMS,
    BCRYPT_PASSWORD_BYTES_MAX,
    PasswordFormatError,
    StoredPassword,
    hash_password,
    parse_password,
    read_password,
)

CHEAP_COST = 4


def bcrypt_text(password: bytes, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(CHEAP_COST, prefix)).decode()


def parsed(text: str, algorithm: str, username: str = "ann") -> StoredPassword:
    stored = parse_password(text, algorithm, username)
    assert stored is not None
    return stored


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
def test_a_bcrypt_hash_matches_its_password_only(prefix: str) -> None:
    stored = parsed(bcrypt_text(b"secret").replace("$2b$", f"${prefix}$"), "bcrypt")
    assert stored.costly
    assert stored.cost == CHEAP_COST
    assert stored.matches(b"secret")
    assert not stored.matches(b"Secret")
    assert not stored.matches(b"")


def test_bcrypt_refuses_what_it_would_cut() -> None:
    longest = b"x" * BCRYPT_PASSWORD_BYTES_MAX
    stored = parsed(bcrypt_text(longest), "bcrypt")
    assert stored.matches(longest)
    assert not stored.matches(longest + b"y")
    with pytest.raises(PasswordFormatError, match="at most 72 bytes, this one has 73"):
        hash_password("x" * 73)


def test_the_predecessors_sha256_is_salted_with_the_user_name() -> None:
    text = hashlib.sha256(b"annsecret").hexdigest()
    stored = parsed(text, "sha256")
    assert stored.matches(b"secret")
    assert not stored.matches(b"Secret")
    assert not parsed(text, "sha256", username="bob").matches(b"secret")
    assert parsed(text.upper(), "sha256").matches(b"secret")


def test_sha256_with_a_salt_of_its_own() -> None:
    text = "sha256$n\u00e4h$" + hashlib.sha256("n\u00e4hsecret".encode()).hexdigest()
    stored = parsed(text, "sha256")
    assert not stored.costly
    assert stored.cost == 0
    assert stored.matches(b"secret")
    assert not stored.matches(b"secre")


def test_plain_is_compared_as_it_stands() -> None:
    stored = parsed("p\u00e4ss$2b$", "plain")
    assert stored.matches("p\u00e4ss$2b$".encode())
    assert not stored.matches(b"pass$2b$")


@given(st.text(max_size=18), st.text(max_size=18))
def test_sha256_matches_exactly_equal_passwords(password: str, other: str) -> None:
    stored = parsed(hash_password(password, "sha256"), "sha256")
    assert stored.matches(password.encode())
    assert stored.matches(other.encode()) == (password == other)


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_password("x", "sha256") != hash_password("x", "sha256")
    assert hash_password("x", cost=CHEAP_COST) != hash_password("x", cost=CHEAP_COST)


@pytest.mark.parametrize(
    ("text", "algorithm", "complaint"),
    [
        ("$2b$10$tooshort", "bcrypt", "not a whole one"),
        ("$2x$10$" + "a" * 53, "bcrypt", "not a whole one"),
        ("$2b$31$" + "a" * 53, "bcrypt", "cost of 31"),
        ("$2b$03$" + "a" * 53, "bcrypt", "cost of 3"),
        ("sha256$salt$1234", "sha256", "not a whole one"),
        ("x", "md5", "'md5' is none of bcrypt, sha256, plain"),
    ],
)
def test_a_damaged_hash_is_an_error_and_no_password(
    text: str, algorithm: str, complaint: str
) -> None:
    with pytest.raises(PasswordFormatError, match=complaint):
        read_password(text, algorithm, "ann")


def test_only_hashes_can_be_made() -> None:
    with pytest.raises(PasswordFormatError, match="no hash named 'plain'"):
        hash_password("x", "plain")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_password_in_the_clear_works_and_is_warned_about(algorithm: str) -> None:
    stored, warning = read_password("secret", algorithm, "ann", cost=CHEAP_COST)
    assert stored.algorithm == algorithm
    assert stored.matches(b"secret")
    assert not stored.matches(b"secrets")
    assert warning is not None
    assert "'ann' stands in plain text" in warning
    assert "secret" not in warning


@pytest.mark.parametrize("algorithm", ["bcrypt", "sha256"])
def test_a_hash_is_read_without_a_warning(algorithm: str) -> None:
    text = hash_password("secret", algorithm, CHEAP_COST)
    stored, warning = read_password(text, algorithm, "ann")
    assert warning is None
    assert stored.matches(b"secret")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stored_password_shows_nothing_of_itself(algorithm: str) -> None:
    stored, _ = read_password("secret", algorithm, "ann", cost=CHEAP_COST)
    assert repr(stored) == f"StoredPassword(algorithm={algorithm!r})"
