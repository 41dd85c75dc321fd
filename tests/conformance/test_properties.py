"""What a 5.0 message carries (3.3.2.3): forwarded unaltered, counted down, or refused."""

import pytest

from tests.support import wire
from tests.support.wire import PUBLISH, V3_1_1, V5


@pytest.mark.clause(
    "5.0:MQTT-3.3.2-4",
    "5.0:MQTT-3.3.2-15",
    "5.0:MQTT-3.3.2-16",
    "5.0:MQTT-3.3.2-20",
)
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(
    "properties",
    [
        {"payload_format": 0},
        {"payload_format": 1},
        {"content_type": "text/plain; caf\u00e9"},
        {"content_type": ""},
        {"response_topic": "answers/here"},
        {"correlation_data": bytes(range(256))},
        {"correlation_data": b""},
    ],
    ids=["bytes", "UTF-8", "type", "empty type", "response topic", "correlation", "no correlation"],
)
def test_forwarded_unaltered(connect, name, qos, properties):
    client = connect()
    client.subscribe((name, qos))
    client.publish(name, b"x", qos=qos, properties=properties)
    assert dict(client.receive_message(name, b"x").properties) == properties


@pytest.mark.clause("5.0:MQTT-3.3.2-17", "5.0:MQTT-3.3.2-18", "5.0:MQTT-3.1.3-10")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_user_properties_keep_their_order(connect, name, qos):
    user = [("b", "1"), ("a", "2"), ("b", "3"), ("", ""), ("a", "2")]
    client = connect()
    client.subscribe((name, qos))
    client.publish(name, b"x", qos=qos, properties={"user": user})
    assert client.receive_message(name, b"x").get_all("user") == user


@pytest.mark.clause("5.0:MQTT-3.3.2-17", "5.0:MQTT-3.3.2-18")
def test_every_subscriber_gets_the_same(connect, name):
    user = [("k", "v"), ("a", "b")]
    clients = [connect() for _ in range(3)]
    for qos, client in enumerate(clients):
        client.subscribe((name, qos))
    connect().publish(name, b"x", qos=2, properties={"user": user, "content_type": "c"})
    for client in clients:
        found = client.receive_message(name, b"x")
        assert found.get_all("user") == user
        assert found.get("content_type") == "c"


def test_request_and_response(connect, name):
    asking, answering = connect(), connect()
    asking.subscribe((f"{name}/answer", 1))
    answering.subscribe((f"{name}/question", 1))
    asking.publish(
        f"{name}/question",
        b"?",
        qos=1,
        properties={"response_topic": f"{name}/answer", "correlation_data": b"\x07"},
    )
    question = answering.receive_message(payload=b"?")
    answering.publish(
        question.get("response_topic"),
        b"!",
        qos=1,
        properties={"correlation_data": question.get("correlation_data")},
    )
    assert asking.receive_message(f"{name}/answer", b"!").get("correlation_data") == b"\x07"


@pytest.mark.clause("5.0:MQTT-3.3.2-14")
@pytest.mark.parametrize("topic", ["a/#", "+/a", "#"])
def test_wildcard_in_the_response_topic(connect, name, topic):
    client = connect()
    client.send(wire.publish(V5, name, properties={"response_topic": topic}))
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-3.3.4-6", "5.0:MQTT-4.13.1-1")
def test_subscription_identifier_from_a_client(connect, name):
    client = connect()
    client.send(wire.publish(V5, name, properties={"subscription_id": 1}))
    client.expect_closed(0x82)


@pytest.mark.clause("5.0:MQTT-3.3.2-6")
def test_message_expiry_of_a_message_that_does_not_wait(connect, name):
    client = connect()
    client.subscribe((name, 1))
    client.publish(name, b"x", qos=1, properties={"message_expiry": 100})
    assert client.receive_message(name, b"x").get("message_expiry") in range(90, 101)


@pytest.mark.clause("5.0:MQTT-3.3.2-6", "5.0:MQTT-3.3.2-5")
def test_message_expiry_of_messages_that_wait(connect, name, a_while):
    first = connect(name, persistent=True)
    first.subscribe((name, 2))
    first.disconnect()
    publisher = connect()
    for qos in (1, 2):
        publisher.publish(name, b"short", qos=qos, properties={"message_expiry": 1})
        publisher.publish(name, b"long", qos=qos, properties={"message_expiry": 100})
    # A client that says nothing is sent away after one and a half seconds.
    a_while()
    again = connect(name, persistent=True)
    for qos in (1, 2):
        found = again.receive_message(name, b"long")
        assert found.qos == qos
        assert found.get("message_expiry") in range(80, 100)
    again.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.3.2-5")
def test_a_message_that_waits_for_the_window_expires_there(connect, name, a_while):
    client = connect(properties={"receive_maximum": 1})
    client.subscribe((name, 1))
    publisher = connect()
    publisher.publish(name, b"one", qos=1)
    publisher.publish(name, b"short", qos=1, properties={"message_expiry": 1})
    publisher.publish(name, b"three", qos=1)
    message = client.expect(PUBLISH, payload=b"one")
    a_while()
    client.complete(message)
    client.receive_message(name, b"three")


def test_old_and_new_clients_talk_to_each_other(connect, name):
    old, new = connect(version=V3_1_1), connect()
    for client in (old, new):
        client.subscribe((name, 2))
    new.publish(name, b"new", qos=2, properties={"content_type": "c", "user": [("a", "b")]})
    assert old.receive_message(name, b"new").properties == []
    assert new.receive_message(name, b"new").get("content_type") == "c"
    old.publish(name, b"old", qos=2)
    old.receive_message(name, b"old")
    assert new.receive_message(name, b"old").properties == []


def test_payload_that_is_not_the_utf_8_it_claims_to_be(connect, name):
    """The broker may check and says so; it never delivers such a message as UTF-8."""
    client = connect()
    client.subscribe((name, 1))
    client.publish(name, b"\xff", qos=1, properties={"payload_format": 1})
    client.publish(name, b"marker", qos=1)
    client.receive_message(name, b"marker")
