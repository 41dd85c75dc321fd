"""Enhanced authentication (3.15, 4.12), which this broker offers no method of, and AUTH out of place."""

import pytest

from tests.support import wire
from tests.support.wire import CONNACK, V5


def auth(reason, properties=None):
    return wire.packet(0xF0, bytes([reason]), wire.property_field(V5, properties))


@pytest.mark.clause(
    "5.0:MQTT-4.12.0-1", "5.0:MQTT-4.12.0-4", "5.0:MQTT-3.2.2-7", "5.0:MQTT-4.13.2-1"
)
def test_method_that_is_not_supported(open_link, name):
    client = open_link()
    client.send(wire.connect(V5, name, properties={"auth_method": "no-such-method"}))
    client.expect_refused(0x8C, 0x87)


@pytest.mark.clause("5.0:MQTT-4.12.0-6")
def test_no_method_in_connack_without_one_in_connect(connect):
    client = connect()
    assert client.connack.get("auth_method") is None
    assert client.connack.get("auth_data") is None


@pytest.mark.clause("5.0:MQTT-4.12.0-7", "5.0:MQTT-4.12.1-2", "5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize("reason", [0x18, 0x19])
def test_auth_without_a_method_in_connect(connect, reason):
    client = connect()
    client.send(auth(reason, {"auth_method": "any"}))
    client.expect_closed(0x82)


@pytest.mark.parametrize("reason", [0x00, 0x01, 0x80])
def test_auth_with_a_reason_that_no_client_sends(connect, reason):
    client = connect()
    client.send(auth(reason, {"auth_method": "any"}))
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-3.1.0-1", "5.0:MQTT-3.14.0-1")
def test_auth_before_connect(open_link):
    client = open_link()
    client.send(auth(0x18, {"auth_method": "any"}))
    client.expect_end()


USERS = {"broker.auth.users": [{"username": "ann", "password": "secret", "algorithm": "plain"}]}


@pytest.mark.clause(
    "5.0:MQTT-3.1.4-2",
    "5.0:MQTT-3.2.2-6",
    "5.0:MQTT-3.2.2-7",
    "3.1.1:MQTT-3.2.2-4",
    "3.1.1:MQTT-3.2.2-5",
)
@pytest.mark.parametrize(
    ("user_name", "password"),
    [(None, None), ("ann", None), ("ann", b"wrong"), ("bob", b"secret")],
    ids=["nobody", "no password", "wrong password", "unknown"],
)
def test_bad_credentials(open_link, broker_with, version, name, user_name, password):
    client = open_link(version, broker_with(**USERS))
    client.send(wire.connect(version, name, user_name=user_name, password=password))
    client.expect_refused(*((0x86, 0x87) if version == V5 else (4, 5)))


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-19", "3.1.1:MQTT-3.1.2-21", "5.0:MQTT-3.1.2-17", "5.0:MQTT-3.1.2-19"
)
def test_good_credentials(open_link, broker_with, version, name):
    client = open_link(version, broker_with(**USERS))
    client.send(wire.connect(version, name, user_name="ann", password=b"secret"))
    client.expect(CONNACK, reason=0)


@pytest.mark.clause("3.1.1:MQTT-3.1.4-5", "5.0:MQTT-3.1.4-6", "5.0:MQTT-3.14.0-1")
def test_nothing_is_done_for_a_client_that_is_not_let_in(open_link, broker_with, version, name):
    broker = broker_with(**USERS)
    watcher = open_link(version, broker)
    watcher.connect(name, user_name="ann", password=b"secret")
    watcher.subscribe("#")
    client = open_link(version, broker)
    client.send(
        wire.connect(version, f"{name}x", user_name="ann", password=b"wrong"),
        wire.publish(version, name, b"smuggled"),
        wire.disconnect(version),
    )
    client.expect_refused(*((0x86, 0x87) if version == V5 else (4, 5)))
    watcher.publish(name, b"marker")
    while (found := watcher.expect(wire.PUBLISH)).topic != name:
        assert found.topic.startswith("$")
    assert found.payload == b"marker"
