import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.auth.hashes import PasswordFormatError, StoredPassword
from rookery.auth.passwords import (
    ALGORITHMS,
    GUESSABLE,
    HASHES,
    hash_password,
    parse_hash,
    parse_password,
    read_password,
)

HEX = hashlib.sha256(b"annsecret").hexdigest()
CHEAP = ("sha256", "sha512")


def parsed(text: str, algorithm: str | None, username: str = "ann") -> StoredPassword:
    stored = parse_password(text, algorithm, username)
    assert stored is not None
    return stored


@pytest.mark.parametrize("algorithm", HASHES)
def test_a_hash_tells_its_algorithm(algorithm: str):
    text = hash_password("secret", algorithm)
    for told in (None, algorithm):
        stored = parsed(text, told)
        assert stored.algorithm == algorithm
        assert stored.matches(b"secret")
    found = parse_hash(text)
    assert found is not None and found.text == text


def test_new_hashes_are_argon2id():
    assert hash_password("x").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert HASHES[0] == "argon2id"


def test_what_a_reader_of_the_file_guesses_is_told():
    assert set(ALGORITHMS) > GUESSABLE == {"sha256", "sha512", "plain"}


def test_bare_digits_are_salted_with_the_user_name():
    stored = parsed(HEX, "sha256")
    assert stored.matches(b"secret")
    assert not parsed(HEX, "sha256", username="bob").matches(b"secret")
    assert parsed(HEX.upper(), "sha256").matches(b"secret")
    assert parse_password(HEX, None, "ann") is None, "digits alone may be a password as well"


def test_plain_is_compared_as_it_stands():
    stored = parsed("p\u00e4ss$2b$", "plain")
    assert stored.matches("p\u00e4ss$2b$".encode())
    assert not stored.matches(b"pass$2b$")


@given(st.text(max_size=18), st.text(max_size=18))
def test_sha256_matches_exactly_equal_passwords(password: str, other: str):
    stored = parsed(hash_password(password, "sha256"), "sha256")
    assert stored.matches(password.encode())
    assert stored.matches(other.encode()) == (password == other)


@pytest.mark.parametrize(
    ("text", "algorithm", "complaint"),
    [
        ("$2b$10$tooshort", "bcrypt", "not a whole one"),
        ("$2b$10$tooshort", None, "not a whole one"),
        ("x", "md5", "'md5' is none of argon2id, bcrypt, scrypt, pbkdf2-sha256, pbkdf2-sha512"),
        ("sha256$salt$" + HEX, "bcrypt", "a hash of sha256 and not of bcrypt"),
    ],
)
def test_a_text_that_is_no_password_and_no_whole_hash(
    text: str, algorithm: str | None, complaint: str
):
    with pytest.raises(PasswordFormatError, match=complaint):
        read_password(text, algorithm, "ann")


def test_only_hashes_can_be_made():
    with pytest.raises(PasswordFormatError, match="no hash named 'plain'; there are argon2id"):
        hash_password("x", "plain")


@pytest.mark.parametrize("algorithm", [None, *ALGORITHMS])
def test_a_password_in_the_clear_works_and_is_warned_about(algorithm: str | None):
    stored, warning = read_password("secret", algorithm, "ann")
    assert stored.algorithm == (algorithm or "argon2id")
    assert stored.matches(b"secret")
    assert not stored.matches(b"secrets")
    assert warning is not None
    assert "'ann' stands in plain text" in warning
    assert "secret" not in warning


@pytest.mark.parametrize("algorithm", CHEAP)
def test_a_hash_is_read_without_a_warning(algorithm: str):
    text = hash_password("secret", algorithm)
    stored, warning = read_password(text, algorithm, "ann")
    assert warning is None
    assert stored.matches(b"secret")
