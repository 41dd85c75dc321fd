"""Against what other programs wrote: argon2, htpasswd, passlib and mosquitto_passwd."""

import hashlib

import pytest
from argon2 import PasswordHasher

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

PASSWORD = "s\u00e9cret".encode()
SALT, DIGEST = "c2FsdHNhbHRzYWx0", "XgvcyMDz/xKDvmhrzJQpaVNuVB/bEjDffouBPyF3ZvA"

FOREIGN = {
    # printf 'sécret' | argon2 saltsalt -id -e -t 2 -k 4096 -p 2
    "argon2": (
        Argon2id,
        "$argon2id$v=19$m=4096,t=2,p=2$c2FsdHNhbHQ$XgvcyMDz/xKDvmhrzJQpaVNuVB/bEjDffouBPyF3ZvA",
    ),
    # htpasswd -nbB -C 5 ann sécret
    "htpasswd": (Bcrypt, "$2y$05$YSinlLQVTiP7umbokD8wTulI/kT2bAoEa.U6PUnzmR7cozcQiC4jO"),
    # passlib's scrypt with rounds 8, block_size 8 and parallelism 2
    "passlib scrypt": (
        Scrypt,
        "$scrypt$ln=8,r=8,p=2$EeJcC+EcI0ToHYNQKsX43w$V2pWBYKBoOd6l2wYrdr59TgywH5Ufvsxk2CZVNNJhxM",
    ),
    # passlib's pbkdf2_sha256 and pbkdf2_sha512 with rounds 1000
    "passlib pbkdf2-sha256": (
        Pbkdf2,
        "$pbkdf2-sha256$1000$ntNa692bs7ZWilGKUao1Bg$ipJ5jacwbUaZJK1MwIizI..Qgux98Xn8flVYWZDVvE0",
    ),
    "passlib pbkdf2-sha512": (
        Pbkdf2,
        (
            "$pbkdf2-sha512$1000$Zez9XwthbO09Z.w95xzDmA$"
            "hvcqKfOkFVzhPm1.CujCtwdQowxX7u.krIrvca/TmZ.hbRDEUcQq5U3pSa/0MN7QC2dk85BTPrnKf3ccGFoeJg"
        ),
    ),
    # mosquitto_passwd -c -b -H sha512 pw ann sécret
    "mosquitto sha512": (
        Sha512,
        (
            "$6$rwFvOoaWRCnwgTxl$"
            "JB4NlEzZT0tNd8eyHsQxW03yFCZVGaQ5qEe3DqfEfVR0CYMK+mdCjNFKGwDAoANqgWn3WMI8TBWP6Zwe1/9C3g=="
        ),
    ),
    # mosquitto_passwd -c -b pw ann sécret
    "mosquitto pbkdf2": (
        Pbkdf2,
        (
            "$7$101$EX4j+uKRGy7i6Bdi$"
            "Xdbg63c1PoPziIoMhD7QGiLHmkNDNGcZEeQUpK8gmJte65A2a8PmiHPVj+++eKTezb5X4iGPm62KdO+eTP0f7g=="
        ),
    ),
}
CHEAP_ONES = [
    Plain("secret"),
    Sha256("", b"salt", hashlib.sha256(b"saltsecret").digest()),
    Sha512("", b"salt", hashlib.sha512(b"secretsalt").digest()),
    Pbkdf2("", "sha512", 101, b"salt", hashlib.pbkdf2_hmac("sha512", b"secret", b"salt", 101)),
]


def read(kind: type, text: str) -> StoredPassword:
    found = kind.read(text)
    assert isinstance(found, StoredPassword)
    return found


@pytest.mark.parametrize("kind_text", FOREIGN.values(), ids=FOREIGN)
def test_what_others_wrote(kind_text):
    stored = read(*kind_text)
    assert stored.matches(PASSWORD)
    assert not stored.matches(PASSWORD + b"s")
    assert not stored.matches(b"secret")
    assert stored.text == kind_text[1]


def test_argon2_cffi_s_own_writing():
    text = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("secret")
    assert read(Argon2id, text).matches(b"secret")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Argon2id, ()),
        (Bcrypt, (4,)),
        (Scrypt, ()),
        (Pbkdf2, ("sha256",)),
        (Pbkdf2, ("sha512",)),
        (Sha256, ()),
        (Sha512, ()),
    ],
)
def test_what_is_made_is_read_and_matches(kind, arguments):
    text = kind.make(PASSWORD, *arguments)
    assert text != kind.make(PASSWORD, *arguments), "the salt is the same"
    stored = read(kind, text)
    assert stored.matches(PASSWORD)
    assert not stored.matches(b"other")


def test_others_read_what_is_made():
    assert PasswordHasher().verify(Argon2id.make(b"secret"), b"secret")


@pytest.mark.parametrize("kind_text", FOREIGN.values(), ids=FOREIGN)
def test_no_kind_takes_the_text_of_another(kind_text):
    kinds = {Argon2id, Bcrypt, Scrypt, Pbkdf2, Sha256, Sha512} - {kind_text[0]}
    assert [kind for kind in kinds if kind.read(kind_text[1]) is not None] == []


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        (Argon2id, "$argon2id$v=19$m=4096,t=2,p=2$c2FsdHNhbHQ", "not a whole one"),
        (Argon2id, f"$argon2i$v=19$m=4096,t=2,p=2${SALT}${DIGEST}", "not a whole one"),
        (Argon2id, f"$argon2id$v=19$m=4096,t=2,p=2$c2Fs${DIGEST}", "not a whole one"),
        (Argon2id, f"$argon2id$v=19$m=4096,t=0,p=2${SALT}${DIGEST}", "no parameters of argon2id"),
        (Argon2id, f"$argon2id$v=19$m=7,t=1,p=1${SALT}${DIGEST}", "no parameters of argon2id"),
        (Argon2id, f"$argon2id$v=19$m=4194304,t=1,p=1${SALT}${DIGEST}", "4096 MiB .* 256 MiB"),
        (Argon2id, f"$argon2id$v=19$m=65536,t=1000,p=1${SALT}${DIGEST}", "50 s .* 3 s"),
        (Bcrypt, "$2b$10$tooshort", "not a whole one"),
        (Bcrypt, "$2x$10$" + "a" * 53, "not a whole one"),
        (Bcrypt, "$2b$31$" + "a" * 53, "cost of 31 would take"),
        (Bcrypt, "$2b$03$" + "a" * 53, "cost of 3 is below 4"),
        (Scrypt, "$scrypt$ln=8,r=8$salt$hash", "not a whole one"),
        (Scrypt, f"$scrypt$ln=20,r=8,p=1${SALT}${DIGEST}", "1024 MiB .* 256 MiB"),
        (Scrypt, f"$scrypt$ln=14,r=8,p=1000${SALT}${DIGEST}", "41 s .* 3 s"),
        (Scrypt, f"$scrypt$ln=99,r=8,p=1${SALT}${DIGEST}", "no parameters of scrypt"),
        (Pbkdf2, f"$pbkdf2-sha256$1000000000${SALT}${DIGEST}", "1000000000 rounds .* 3 s"),
        (Pbkdf2, f"$pbkdf2-sha256$0${SALT}${DIGEST}", "at least one round"),
        (Pbkdf2, f"$pbkdf2-md5$1000${SALT}${DIGEST}", "not a whole one"),
        (Pbkdf2, "$7$101$salt", "mosquitto's .* not a whole one"),
        (Pbkdf2, "$7$101$a$hash", "no base64"),
        (Sha512, "$6$salt$" + "a" * 86, "mosquitto's .* not a whole one"),
        (Sha256, "sha256$salt$1234", "not a whole one"),
    ],
)
def test_what_is_damaged_or_asks_for_too_much_is_refused(kind, text, complaint):
    with pytest.raises(PasswordFormatError, match=complaint):
        kind.read(text)


@pytest.mark.parametrize("text", ["", "secret", "$", "$1$salt$hash", "sha256", "$5$a$b"])
def test_other_texts_are_nothing(text):
    for kind in (Argon2id, Bcrypt, Scrypt, Pbkdf2, Sha256, Sha512):
        assert kind.read(text) is None


def test_bcrypt_refuses_what_it_would_cut():
    longest = b"x" * 72
    stored = read(Bcrypt, Bcrypt.make(longest, 4))
    assert stored.matches(longest)
    assert not stored.matches(longest + b"y")
    with pytest.raises(PasswordFormatError, match="at most 72 bytes, this one has 73"):
        Bcrypt.make(longest + b"y")


@pytest.mark.parametrize("stored", CHEAP_ONES, ids=lambda stored: stored.algorithm)
def test_cheap_ones_are_compared_on_the_loop(stored: StoredPassword):
    assert not stored.costly
    assert stored.matches(b"secret")


@pytest.mark.parametrize("kind_text", FOREIGN.values(), ids=FOREIGN)
def test_a_decoy_costs_the_same_and_is_nobody_s(kind_text):
    stored = read(*kind_text)
    decoy = stored.decoy()
    assert (decoy.algorithm, decoy.work_ms) == (stored.algorithm, stored.work_ms)
    assert not decoy.matches(PASSWORD)
    if isinstance(stored, Argon2id):
        assert decoy.text.split("$")[:4] == stored.text.split("$")[:4]


@pytest.mark.parametrize("stored", CHEAP_ONES, ids=lambda stored: stored.algorithm)
def test_a_cheap_decoy(stored: StoredPassword):
    assert not stored.decoy().matches(b"secret")


def test_costs_stand_in_their_order():
    work = [read(*FOREIGN[name]).work_ms for name in ("mosquitto pbkdf2", "htpasswd", "argon2")]
    assert work == sorted(work)
    assert read(Bcrypt, "$2b$10$" + "a" * 53).costly


def test_a_stored_password_shows_nothing_of_itself():
    for kind, text in FOREIGN.values():
        stored = read(kind, text)
        assert repr(stored) == f"StoredPassword(algorithm={stored.algorithm!r})"
