"""Enhanced authentication by an authenticator of the test's own: two steps, a challenge between."""

import hashlib

import pytest

from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Challenge, Principal, Refused
from tests.support import wire
from tests.support.wire import AUTH, CONNACK, V5
from tests.support.wire_client import Client, tcp

METHOD = "TWO-STEPS"
CONTINUE, RE_AUTHENTICATE = 0x18, 0x19


def proof(user, nonce):
    return user + b":" + hashlib.sha256(user + nonce).hexdigest().encode()


class Steps:
    """First the user's name, then the proof that the nonce was understood."""

    def __init__(self, attempt, nonce):
        self._attempt, self._nonce = attempt, nonce
        self._user = None

    async def step(self, data):
        if self._user is None:
            if not data:
                return Refused(ReasonCode.NOT_AUTHORIZED, "no user")
            self._user = data
            return Challenge(self._nonce)
        if data != proof(self._user, self._nonce):
            return Refused(ReasonCode.NOT_AUTHORIZED, "wrong proof")
        return Accepted(Principal(self._user.decode(), self._attempt.client_id), b"welcome")


class TwoSteps:
    """The ``Authenticator``; every exchange has a nonce of its own."""

    methods = frozenset({METHOD})
    generation = 0

    def __init__(self):
        self.attempts = []

    def still_admits(self, principal):
        return None

    async def start(self):
        pass

    async def stop(self):
        pass

    def authenticate(self, attempt):
        return Refused(ReasonCode.NOT_AUTHORIZED, "only enhanced authentication")

    def begin(self, method, attempt):
        assert method == METHOD
        self.attempts.append(attempt)
        return Steps(attempt, b"nonce %d" % len(self.attempts))


@pytest.fixture
def authenticator(monkeypatch):
    made = TwoSteps()
    monkeypatch.setattr("rookery.app.node.make_authenticator", lambda *_: made)
    return made


@pytest.fixture
def open_link(authenticator, broker_with):
    rules = [
        {"permission": "allow", "action": "publish", "topic_filter": "of/ann", "username": "ann"},
        {"permission": "allow", "action": "publish", "topic_filter": "of/bob", "username": "bob"},
    ]
    broker = broker_with(**{"authorization.rules": rules, "authorization.default": "deny"})
    clients = []

    def open_link():
        clients.append(Client(tcp((broker.host, broker.port)), V5))
        return clients[-1]

    yield open_link
    for client in clients:
        client.close()


def auth(reason, data, method=METHOD):
    properties = {"auth_method": method, "auth_data": data}
    return wire.packet(0xF0, bytes([reason]), wire.property_field(V5, properties))


def connect(user, method=METHOD, **options):
    properties = {"auth_method": method, **({"auth_data": user} if user else {})}
    return wire.connect(V5, "c", properties=properties, **options)


def let_in(client, user=b"ann"):
    client.send(connect(user))
    nonce = client.expect(AUTH, reason=CONTINUE).get("auth_data")
    client.send(auth(CONTINUE, proof(user, nonce)))
    return client.expect(CONNACK, reason=0)


def may_publish(client, topic):
    return client.publish(topic, b"x", qos=1).reason < 0x80


def test_in_by_a_challenge(open_link, authenticator):
    client = open_link()
    client.send(connect(b"ann"))
    challenge = client.expect(AUTH, reason=CONTINUE)
    assert challenge.get("auth_method") == METHOD
    assert challenge.get("auth_data") == b"nonce 1"
    client.send(auth(CONTINUE, proof(b"ann", b"nonce 1")))
    connack = client.expect(CONNACK, reason=0)
    assert (connack.get("auth_method"), connack.get("auth_data")) == (METHOD, b"welcome")
    assert may_publish(client, "of/ann") and not may_publish(client, "of/bob")
    (attempt,) = authenticator.attempts
    assert (attempt.client_id, attempt.address, attempt.listener) == ("c", "127.0.0.1", "tcp")


@pytest.mark.parametrize("sent", [b"ann:wrong", b""])
def test_a_wrong_proof(open_link, sent):
    client = open_link()
    client.send(connect(b"ann"))
    client.expect(AUTH, reason=CONTINUE)
    client.send(auth(CONTINUE, sent))
    client.expect_refused(0x87)


def test_refused_at_the_first_step(open_link):
    client = open_link()
    client.send(connect(b""))
    client.expect_refused(0x87)


def test_a_method_nobody_knows(open_link):
    client = open_link()
    client.send(connect(b"ann", "SCRAM-SHA-1"))
    client.expect_refused(0x8C)


def test_a_method_that_changes(open_link):
    client = open_link()
    client.send(connect(b"ann"))
    client.expect(AUTH, reason=CONTINUE)
    client.send(auth(CONTINUE, proof(b"ann", b"nonce 1"), "OTHER"))
    client.expect_refused(0x8C, 0x82)


@pytest.mark.parametrize(
    "packet",
    [wire.publish(V5, "of/ann"), wire.subscribe(V5, [("a", 0)], packet_id=1), connect(b"ann")],
    ids=["publish", "subscribe", "connect"],
)
def test_nothing_but_auth_before_the_end_of_the_exchange(open_link, packet):
    client = open_link()
    client.send(connect(b"ann"))
    client.expect(AUTH, reason=CONTINUE)
    client.send(packet)
    client.expect_refused(0x82)


class TestReAuthentication:
    def test_a_new_proof_and_another_user(self, open_link):
        client = open_link()
        let_in(client)
        client.send(auth(RE_AUTHENTICATE, b"bob"))
        challenge = client.expect(AUTH, reason=CONTINUE)
        assert challenge.get("auth_data") == b"nonce 2"
        # The link goes on as before until the exchange is done.
        assert may_publish(client, "of/ann") and not may_publish(client, "of/bob")
        client.send(auth(CONTINUE, proof(b"bob", b"nonce 2")))
        done = client.expect(AUTH, reason=0)
        assert (done.get("auth_method"), done.get("auth_data")) == (METHOD, b"welcome")
        assert may_publish(client, "of/bob") and not may_publish(client, "of/ann")

    def test_a_wrong_proof_ends_the_link(self, open_link):
        client = open_link()
        let_in(client)
        client.send(auth(RE_AUTHENTICATE, b"bob"))
        client.expect(AUTH, reason=CONTINUE)
        client.send(auth(CONTINUE, b"bob:wrong"))
        client.expect_closed(0x87)

    def test_twice_at_once(self, open_link):
        client = open_link()
        let_in(client)
        client.send(auth(RE_AUTHENTICATE, b"bob"))
        client.expect(AUTH, reason=CONTINUE)
        client.send(auth(RE_AUTHENTICATE, b"bob"))
        client.expect_closed(0x82)

    def test_a_step_without_an_exchange(self, open_link):
        client = open_link()
        let_in(client)
        client.send(auth(CONTINUE, b"bob"))
        client.expect_closed(0x82)

    def test_packets_sent_along_are_served_in_order(self, open_link):
        client = open_link()
        let_in(client)
        client.send(
            auth(RE_AUTHENTICATE, b"ann"),
            wire.publish(V5, "of/ann", qos=1, packet_id=9),
            wire.PINGREQ_PACKET,
        )
        client.expect(AUTH, reason=CONTINUE)
        client.expect(wire.PUBACK, packet_id=9)
        client.expect(wire.PINGRESP)
