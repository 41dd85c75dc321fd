"""Receive Maximum and Maximum Packet Size (3.1.2.11, 3.3.4, 4.9): both directions."""

import pytest

from tests.support import wire
from tests.support.wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V5, acknowledge
from tests.support.wire_client import Closed

# What the broker sends


@pytest.mark.clause("5.0:MQTT-3.3.4-9", "5.0:MQTT-4.9.0-1", "5.0:MQTT-4.9.0-2")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("maximum", [1, 3])
def test_no_more_messages_than_the_client_takes(connect, name, qos, maximum):
    client = connect(properties={"receive_maximum": maximum})
    client.subscribe((name, 2))
    publisher = connect()
    for number in range(maximum + 2):
        publisher.publish(name, bytes([number]), qos=qos)
    waiting = [client.expect(PUBLISH, payload=bytes([number])) for number in range(maximum)]
    client.expect_silence()
    client.complete(waiting[0])
    following = client.expect(PUBLISH, payload=bytes([maximum]))
    client.expect_silence()
    for message in [*waiting[1:], following]:
        client.complete(message)
    client.receive_message(name, bytes([maximum + 1]))


@pytest.mark.clause("5.0:MQTT-3.3.4-9", "5.0:MQTT-4.9.0-2")
def test_a_received_qos_2_message_counts_until_it_is_complete(connect, name):
    client = connect(properties={"receive_maximum": 1})
    client.subscribe((name, 2))
    publisher = connect()
    publisher.publish(name, b"one", qos=2)
    publisher.publish(name, b"two", qos=2)
    message = client.expect(PUBLISH, payload=b"one")
    client.send(acknowledge(V5, PUBREC, message.packet_id))
    client.expect(PUBREL)
    client.expect_silence()
    client.send(acknowledge(V5, PUBCOMP, message.packet_id))
    client.expect(PUBLISH, payload=b"two")


@pytest.mark.clause("5.0:MQTT-3.3.4-9")
def test_a_refused_qos_2_message_counts_no_more(connect, name):
    client = connect(properties={"receive_maximum": 1})
    client.subscribe((name, 2))
    publisher = connect()
    publisher.publish(name, b"one", qos=2)
    publisher.publish(name, b"two", qos=2)
    message = client.expect(PUBLISH, payload=b"one")
    client.send(acknowledge(V5, PUBREC, message.packet_id, 0x80))
    client.expect(PUBLISH, payload=b"two")


@pytest.mark.clause("5.0:MQTT-3.3.4-10", "5.0:MQTT-4.9.0-3")
def test_other_packets_pass_a_full_window(connect, name):
    client = connect(properties={"receive_maximum": 1})
    client.subscribe((name, 2))
    publisher = connect()
    publisher.publish(name, b"one", qos=1)
    publisher.publish(name, b"two", qos=1)
    message = client.expect(PUBLISH, payload=b"one")
    client.subscribe((f"{name}/other", 1))
    client.publish(f"{name}/nobody", b"x", qos=1)
    client.publish(f"{name}/nobody", b"x", qos=2)
    client.unsubscribe(f"{name}/other")
    client.expect_silence()
    publisher.publish(name, b"zero")
    client.complete(message)
    assert {client.receive_message(name).payload for _ in range(2)} == {b"zero", b"two"}


@pytest.mark.clause("5.0:MQTT-3.3.4-9")
def test_the_window_of_a_new_connection_holds_for_what_is_sent_again(connect, name):
    first = connect(name, persistent=True)
    first.subscribe((name, 1))
    publisher = connect()
    for number in range(4):
        publisher.publish(name, bytes([number]), qos=1)
        first.expect(PUBLISH)
    first.close()
    again = connect(name, persistent=True, properties={"receive_maximum": 2})
    found = [again.expect(PUBLISH, dup=True) for _ in range(2)]
    again.expect_silence()
    for message in found:
        again.complete(message)
    for number in (2, 3):
        again.receive_message(name, bytes([number]))


@pytest.mark.clause("5.0:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_packet_too_large_for_the_client_is_dropped(connect, name, qos):
    client = connect(properties={"maximum_packet_size": 64})
    client.subscribe((name, 2))
    publisher = connect()
    publisher.publish(name, bytes(100), qos=qos)
    publisher.publish(name, b"small", qos=qos)
    assert client.receive_message(name, b"small").size <= 64
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-25")
def test_the_limit_counts_the_whole_packet(connect, name):
    """One byte more than fits, then exactly what fits."""
    client = connect(properties={"maximum_packet_size": 100})
    client.subscribe((name, 0))
    publisher = connect()
    fits = 100 - len(wire.publish(V5, name))
    publisher.publish(name, bytes(fits + 1), qos=1)
    publisher.publish(name, bytes(fits), qos=1)
    assert client.receive_message(name, bytes(fits)).size == 100
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.1.2-25")
def test_a_dropped_packet_takes_no_place_in_the_window(connect, name):
    client = connect(properties={"maximum_packet_size": 64, "receive_maximum": 1})
    client.subscribe((name, 1))
    publisher = connect()
    for payload in (bytes(100), bytes(101), b"small"):
        publisher.publish(name, payload, qos=1)
    client.receive_message(name, b"small")


@pytest.mark.clause("5.0:MQTT-3.1.2-24")
@pytest.mark.parametrize("qos", [0, 1])
def test_retained_and_waiting_messages_too_large_are_dropped(connect, name, qos):
    small = {"maximum_packet_size": 64}
    first = connect(name, persistent=True)
    first.subscribe((f"{name}/a", 1))
    first.disconnect()
    publisher = connect()
    publisher.publish(f"{name}/a", bytes(100), qos=1)
    publisher.publish(f"{name}/b", bytes(100), qos=qos, retain=True)
    publisher.publish(f"{name}/marker", qos=1)
    again = connect(name, persistent=True, properties=small)
    again.subscribe((f"{name}/b", 1))
    again.expect_silence()


@pytest.mark.clause(
    "5.0:MQTT-3.4.2-2",
    "5.0:MQTT-3.4.2-3",
    "5.0:MQTT-3.5.2-2",
    "5.0:MQTT-3.5.2-3",
    "5.0:MQTT-3.6.2-2",
    "5.0:MQTT-3.6.2-3",
    "5.0:MQTT-3.7.2-2",
    "5.0:MQTT-3.7.2-3",
    "5.0:MQTT-3.9.2-1",
    "5.0:MQTT-3.9.2-2",
    "5.0:MQTT-3.11.2-1",
    "5.0:MQTT-3.11.2-2",
    "5.0:MQTT-3.14.2-3",
    "5.0:MQTT-3.14.2-4",
)
def test_reasons_in_words_never_make_a_packet_too_large(connect, broker_with):
    """Every acknowledgement with an error, for a client that takes little more than the CONNACK."""
    deny = {"permission": "deny", "action": "all", "topic_filter": "n/#"}
    broker = broker_with(**{"authorization.rules": [deny], "authorization.default": "allow"})
    takes = 24
    client = connect(at=broker, properties={"maximum_packet_size": takes})
    assert client.connack.size <= takes
    assert client.publish("n/a", qos=1).size <= takes
    assert client.publish("n/a", qos=2).size <= takes
    assert client.subscribe("n/a").size <= takes
    assert client.unsubscribe("n/a").size <= takes
    client.send(acknowledge(V5, PUBREL, 99), acknowledge(V5, PUBREC, 98))
    assert client.expect(PUBCOMP, reason=0x92).size <= takes
    assert client.expect(PUBREL, reason=0x92).size <= takes
    client.send(wire.packet(0xC1))
    assert client.expect(wire.DISCONNECT, reason=0x81).size <= takes


@pytest.mark.clause("5.0:MQTT-3.1.2-24")
@pytest.mark.parametrize("takes", [1, 4, 10])
def test_a_client_that_takes_less_than_the_connack(open_link, name, takes):
    """It gets a CONNACK that fits or, as it cannot be told anything, the end of the connection."""
    client = open_link()
    client.send(wire.connect(V5, name, properties={"maximum_packet_size": takes}))
    try:
        found = client.receive()
    except Closed:
        return
    assert found.size <= takes


@pytest.mark.clause("5.0:MQTT-3.1.2-29")
def test_no_reasons_in_words_for_a_client_that_wants_none(connect, broker_with):
    deny = {"permission": "deny", "action": "all", "topic_filter": "n/#"}
    broker = broker_with(**{"authorization.rules": [deny], "authorization.default": "allow"})
    client = connect(at=broker, properties={"request_problem_information": 0})
    client.send(acknowledge(V5, PUBREL, 99), acknowledge(V5, PUBREC, 98))
    for found in (
        client.expect(PUBCOMP),
        client.expect(PUBREL),
        client.publish("n/a", qos=1),
        client.publish("n/a", qos=2),
        client.subscribe("n/a"),
        client.unsubscribe("n/a"),
    ):
        assert found.properties == []


# What the broker takes


@pytest.mark.clause("5.0:MQTT-3.3.4-7", "5.0:MQTT-4.13.1-1", "5.0:MQTT-3.14.2-1")
def test_more_messages_than_the_broker_takes(connect, broker_with):
    broker = broker_with(**{"limits.receive_maximum": 3})
    client = connect(at=broker)
    assert client.connack.get("receive_maximum") == 3
    for packet_id in (1, 2, 3):
        client.send(wire.publish(V5, "t", qos=2, packet_id=packet_id))
        client.expect(PUBREC, packet_id=packet_id)
    client.send(wire.publish(V5, "t", qos=2, packet_id=4))
    client.expect_closed(0x93)


def test_the_window_of_the_broker_opens_again(connect, broker_with):
    broker = broker_with(**{"limits.receive_maximum": 1})
    client = connect(at=broker)
    for _ in range(3):
        client.publish("t", qos=2)
        client.publish("t", qos=1)
    client.publish("t")


def test_qos_0_needs_no_place_in_the_window(connect, broker_with):
    broker = broker_with(**{"limits.receive_maximum": 1})
    client = connect(at=broker)
    client.send(wire.publish(V5, "t", qos=2, packet_id=1))
    client.expect(PUBREC)
    client.publish("t")
    client.send(wire.publish(V5, "t", qos=2, packet_id=1, dup=True))
    client.expect(PUBREC)
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.2.2-15", "5.0:MQTT-4.13.1-1", "5.0:MQTT-3.14.2-1")
def test_packet_larger_than_the_broker_takes(connect, version):
    client = connect(version=version)
    if version == V5:
        assert client.connack.get("maximum_packet_size") == 1_048_576
    # The header is enough; the rest need not come.
    client.send(b"\x30" + wire.varint(1_048_576))
    client.expect_closed(0x95)


def test_packet_of_the_largest_size(connect, version, name):
    client = connect(version=version)
    client.subscribe((name, 1))
    frame = len(wire.publish(version, name, bytes(100_000), qos=1)) - 100_000
    payload = bytes(1_048_576 - frame)
    client.send(wire.publish(version, name, payload, qos=1))
    client.take(PUBACK)
    client.receive_message(name, payload)
