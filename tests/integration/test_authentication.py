"""Users with passwords, let in and kept out for real; and what the node says when it knows nobody."""

import hashlib

import bcrypt
import pytest

from tests.support import wire
from tests.support.wire import CONNACK, V3_1, V3_1_1, V5
from tests.support.wire_client import Client, tcp

SHA256 = "sha256$salt$" + hashlib.sha256(b"saltsecret").hexdigest()
USERS = [
    {"username": "bcrypt", "password": "secret"},
    {"username": "bcrypt-hash", "password": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()},
    {"username": "sha256", "password": "secret", "algorithm": "sha256"},
    {"username": "sha256-hash", "password": SHA256, "algorithm": "sha256"},
    {"username": "plain", "password": "secret", "algorithm": "plain"},
    {"username": "disabled", "password": "secret", "algorithm": "plain", "enabled": False},
]
REFUSED = {V3_1: (4, 5), V3_1_1: (4, 5), V5: (0x86, 0x87)}
VERSIONS = pytest.mark.parametrize("version", [V3_1, V3_1_1, V5])


@pytest.fixture(scope="module")
def guarded(module_broker_with):
    return module_broker_with(**{"broker.auth.users": USERS})


def attempt(broker, version, username, password):
    """Send a CONNECT on a connection of its own; the client is closed by the caller."""
    client = Client(tcp((broker.host, broker.port)), version)
    client.send(wire.connect(version, "someone", user_name=username, password=password))
    return client


@VERSIONS
@pytest.mark.parametrize("username", [each["username"] for each in USERS if "enabled" not in each])
def test_the_right_password_and_a_wrong_one(guarded, version, username):
    for _ in range(2):  # The second time what the first one learnt may be remembered.
        with attempt(guarded, version, username, b"secret") as client:
            client.expect(CONNACK, reason=0)
        with attempt(guarded, version, username, b"Secret") as client:
            client.expect_refused(*REFUSED[version])


@VERSIONS
@pytest.mark.parametrize(
    ("username", "password"),
    [("disabled", b"secret"), ("nobody", b"secret"), ("plain", b""), ("plain", None), (None, None)],
)
def test_nobody_else_is_let_in(guarded, version, username, password):
    with attempt(guarded, version, username, password) as client:
        client.expect_refused(*REFUSED[version])


def test_costly_hashes_do_not_hold_up_others(guarded):
    """Twenty wrong bcrypt passwords take a second; a client that is in already is served."""
    with attempt(guarded, V5, "plain", b"secret") as client:
        client.expect(CONNACK, reason=0)
        crowd = [attempt(guarded, V5, "bcrypt", b"wrong %d" % number) for number in range(20)]
        for _ in range(50):
            client.expect_silence()
        for each in crowd:
            with each:
                each.expect_refused(*REFUSED[V5])


def test_two_hashes_of_bcrypt_are_the_same_to_the_client(guarded):
    """An unknown user costs as long as a known one: both are refused in the same words."""
    answers = []
    for username in ("bcrypt", "nobody"):
        with attempt(guarded, V5, username, b"wrong") as client:
            answers.append(client.expect(CONNACK))
    assert answers[0].reason == answers[1].reason
    assert answers[0].properties == answers[1].properties
