"""The delivery protocols (4.3, 4.4): QoS 0, 1 and 2, the broker as receiver and as sender."""

import pytest

from tests.support import wire
from tests.support.wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V5, acknowledge


@pytest.fixture
def exchange(connect, version, name):
    """A publisher and a subscriber of QoS 2 with a lasting session."""
    subscriber = connect(name, version=version, persistent=True)
    subscriber.subscribe((name, 2))
    return connect(version=version), subscriber


@pytest.fixture
def again(connect, version, name):
    """Come back to the subscriber's session on a new connection."""
    return lambda: connect(name, version=version, persistent=True)


# The broker as receiver


@pytest.mark.clause("3.1.1:MQTT-3.3.4-1", "5.0:MQTT-3.3.4-1")
def test_qos_0_is_not_acknowledged(connect, version, name):
    client = connect(version=version)
    client.publish(name, b"x")
    client.expect_silence()


@pytest.mark.clause(
    "3.1.1:MQTT-4.3.2-2",
    "5.0:MQTT-4.3.2-4",
    "3.1.1:MQTT-3.3.4-1",
    "5.0:MQTT-3.3.4-1",
    "3.1.1:MQTT-2.3.1-6",
    "5.0:MQTT-2.2.1-5",
    "5.0:MQTT-3.4.2-1",
)
@pytest.mark.parametrize("packet_id", [1, 258, 65535])
def test_qos_1_is_acknowledged(connect, version, name, packet_id):
    client = connect(version=version)
    client.send(wire.publish(version, name, b"x", qos=1, packet_id=packet_id))
    client.expect(PUBACK, packet_id=packet_id)


@pytest.mark.clause("3.1.1:MQTT-4.3.2-2", "5.0:MQTT-4.3.2-5")
@pytest.mark.parametrize("dup", [False, True])
def test_qos_1_with_the_same_identifier_is_a_new_message(exchange, version, name, dup):
    publisher, subscriber = exchange
    for payload in (b"one", b"two"):
        publisher.send(wire.publish(version, name, payload, qos=1, packet_id=7, dup=dup))
        publisher.expect(PUBACK, packet_id=7)
    subscriber.receive_message(name, b"one")
    subscriber.receive_message(name, b"two")


@pytest.mark.clause(
    "3.1.1:MQTT-4.3.3-2",
    "5.0:MQTT-4.3.3-8",
    "5.0:MQTT-4.3.3-11",
    "3.1.1:MQTT-3.3.4-1",
    "5.0:MQTT-3.3.4-1",
    "3.1.1:MQTT-2.3.1-6",
    "5.0:MQTT-2.2.1-5",
    "5.0:MQTT-3.5.2-1",
    "5.0:MQTT-3.7.2-1",
)
@pytest.mark.parametrize("packet_id", [1, 258, 65535])
def test_qos_2_is_received_released_and_completed(connect, version, name, packet_id):
    client = connect(version=version)
    client.send(wire.publish(version, name, b"x", qos=2, packet_id=packet_id))
    client.expect(PUBREC, packet_id=packet_id)
    client.send(acknowledge(version, PUBREL, packet_id))
    client.expect(PUBCOMP, packet_id=packet_id, reason=0)


@pytest.mark.clause("3.1.1:MQTT-4.3.3-2", "5.0:MQTT-4.3.3-10")
def test_qos_2_is_delivered_once_however_often_it_is_sent(exchange, version, name):
    publisher, subscriber = exchange
    for dup in (False, True, True):
        publisher.send(wire.publish(version, name, b"once", qos=2, packet_id=7, dup=dup))
        publisher.expect(PUBREC, packet_id=7)
    publisher.send(acknowledge(version, PUBREL, 7))
    publisher.expect(PUBCOMP, packet_id=7)
    publisher.publish(name, b"marker", qos=1)
    subscriber.receive_message(name, b"once")
    subscriber.receive_message(name, b"marker")


@pytest.mark.clause("3.1.1:MQTT-4.3.3-2", "5.0:MQTT-4.3.3-10", "3.1.1:MQTT-3.1.2-4")
def test_qos_2_is_delivered_once_across_connections(connect, version, name):
    subscriber = connect(version=version)
    subscriber.subscribe((name, 2))
    first = connect(name, version=version, persistent=True)
    first.send(wire.publish(version, name, b"once", qos=2, packet_id=7))
    first.expect(PUBREC, packet_id=7)
    first.close()
    second = connect(name, version=version, persistent=True)
    second.send(wire.publish(version, name, b"once", qos=2, packet_id=7, dup=True))
    second.expect(PUBREC, packet_id=7)
    second.send(acknowledge(version, PUBREL, 7))
    second.expect(PUBCOMP, packet_id=7)
    second.publish(name, b"marker", qos=1)
    subscriber.receive_message(name, b"once")
    subscriber.receive_message(name, b"marker")


@pytest.mark.clause("3.1.1:MQTT-4.3.3-2", "5.0:MQTT-4.3.3-12")
def test_qos_2_after_its_end_is_a_new_message(exchange, version, name):
    publisher, subscriber = exchange
    for payload in (b"one", b"two"):
        publisher.send(wire.publish(version, name, payload, qos=2, packet_id=7))
        publisher.expect(PUBREC, packet_id=7)
        publisher.send(acknowledge(version, PUBREL, 7))
        publisher.expect(PUBCOMP, packet_id=7)
    subscriber.receive_message(name, b"one")
    subscriber.receive_message(name, b"two")


@pytest.mark.clause("3.1.1:MQTT-4.3.3-2", "5.0:MQTT-4.3.3-11", "5.0:MQTT-3.7.2-1")
def test_release_of_an_unknown_identifier_is_completed(connect, version):
    client = connect(version=version)
    client.send(acknowledge(version, PUBREL, 99))
    client.expect(PUBCOMP, packet_id=99, reason=0x92 if version == V5 else 0)


@pytest.mark.clause("5.0:MQTT-4.3.3-13")
def test_qos_2_is_completed_though_its_message_has_expired(connect, name, a_while):
    client = connect()
    client.send(wire.publish(V5, name, b"x", qos=2, packet_id=7, properties={"message_expiry": 1}))
    client.expect(PUBREC, packet_id=7)
    a_while()
    client.send(acknowledge(V5, PUBREL, 7))
    client.expect(PUBCOMP, packet_id=7, reason=0)


# The broker as sender


@pytest.mark.clause("3.1.1:MQTT-4.3.1-1", "5.0:MQTT-4.3.1-1", "3.1.1:MQTT-3.3.1-2")
def test_qos_0_is_sent_without_dup(exchange, name):
    publisher, subscriber = exchange
    publisher.publish(name, b"x")
    subscriber.expect(PUBLISH, qos=0, dup=False, packet_id=None)


@pytest.mark.clause(
    "3.1.1:MQTT-4.3.2-1",
    "5.0:MQTT-4.3.2-1",
    "5.0:MQTT-4.3.2-2",
    "3.1.1:MQTT-4.3.3-1",
    "5.0:MQTT-4.3.3-1",
    "5.0:MQTT-4.3.3-2",
    "5.0:MQTT-2.2.1-4",
    "3.1.1:MQTT-2.3.1-1",
)
@pytest.mark.parametrize("qos", [1, 2])
def test_messages_in_flight_have_identifiers_of_their_own(exchange, name, qos):
    publisher, subscriber = exchange
    for number in range(10):
        publisher.publish(name, bytes([number]), qos=qos)
    found = [subscriber.expect(PUBLISH, qos=qos, dup=False) for _ in range(10)]
    assert len({one.packet_id for one in found}) == 10
    assert [one.payload for one in found] == [bytes([number]) for number in range(10)]


@pytest.mark.clause("3.1.1:MQTT-3.3.1-3", "5.0:MQTT-3.3.1-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_dup_is_not_passed_on(exchange, version, name, qos):
    publisher, subscriber = exchange
    publisher.send(wire.publish(version, name, b"x", qos=qos, packet_id=7, dup=True))
    if qos == 2:
        publisher.expect(PUBREC)
        publisher.send(acknowledge(version, PUBREL, 7))
    subscriber.expect(PUBLISH, dup=False, qos=qos)


@pytest.mark.clause(
    "3.1.1:MQTT-4.3.2-1",
    "5.0:MQTT-4.3.2-3",
    "5.0:MQTT-4.3.3-3",
    "3.1.1:MQTT-4.3.3-1",
    "3.1.1:MQTT-3.3.1-1",
    "5.0:MQTT-3.3.1-1",
    "3.1.1:MQTT-4.4.0-1",
    "5.0:MQTT-4.4.0-1",
    "3.1.1:MQTT-2.3.1-4",
)
@pytest.mark.parametrize("qos", [1, 2])
def test_unacknowledged_message_is_sent_again(exchange, again, name, qos):
    publisher, subscriber = exchange
    publisher.publish(name, b"x", qos=qos)
    first = subscriber.expect(PUBLISH, qos=qos, dup=False)
    subscriber.close()
    for _ in range(2):
        back = again()
        found = back.expect(PUBLISH, qos=qos, dup=True, payload=b"x")
        assert found.packet_id == first.packet_id
        back.close()


@pytest.mark.clause("3.1.1:MQTT-4.3.2-1", "5.0:MQTT-4.3.2-3", "5.0:MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledged_message_is_not_sent_again(exchange, again, name, qos):
    publisher, subscriber = exchange
    publisher.publish(name, b"x", qos=qos)
    subscriber.receive_message(name, b"x")
    subscriber.expect_silence()
    subscriber.close()
    again().expect_silence()


@pytest.mark.clause("5.0:MQTT-4.4.0-1")
def test_nothing_is_sent_again_on_the_same_connection(exchange, connect, name, a_while):
    publisher, subscriber = exchange
    publisher.publish(name, b"x", qos=1)
    subscriber.expect(PUBLISH)
    a_while()
    subscriber.expect_silence()


@pytest.mark.clause(
    "3.1.1:MQTT-4.3.3-1", "5.0:MQTT-4.3.3-4", "3.1.1:MQTT-2.3.1-6", "5.0:MQTT-3.6.2-1"
)
def test_received_is_answered_with_release(exchange, version, name):
    publisher, subscriber = exchange
    publisher.publish(name, b"x", qos=2)
    message = subscriber.expect(PUBLISH, qos=2)
    subscriber.send(acknowledge(version, PUBREC, message.packet_id))
    subscriber.expect(PUBREL, packet_id=message.packet_id, reason=0)
    subscriber.send(acknowledge(version, PUBREC, message.packet_id))
    subscriber.expect(PUBREL, packet_id=message.packet_id, reason=0)
    subscriber.send(acknowledge(version, PUBCOMP, message.packet_id))
    subscriber.expect_silence()


@pytest.mark.clause(
    "3.1.1:MQTT-4.3.3-1",
    "5.0:MQTT-4.3.3-5",
    "5.0:MQTT-4.3.3-6",
    "3.1.1:MQTT-4.4.0-1",
    "5.0:MQTT-4.4.0-1",
)
def test_release_is_sent_again_and_the_message_is_not(exchange, again, version, name):
    publisher, subscriber = exchange
    publisher.publish(name, b"x", qos=2)
    message = subscriber.expect(PUBLISH, qos=2)
    subscriber.send(acknowledge(version, PUBREC, message.packet_id))
    subscriber.expect(PUBREL)
    subscriber.close()
    back = again()
    back.expect(PUBREL, packet_id=message.packet_id)
    back.expect_silence()
    back.send(acknowledge(version, PUBCOMP, message.packet_id))
    back.expect_silence()
    back.close()
    again().expect_silence()


@pytest.mark.clause("5.0:MQTT-4.4.0-2")
@pytest.mark.parametrize(("qos", "kind"), [(1, PUBACK), (2, PUBREC)])
def test_refused_message_is_acknowledged(connect, name, qos, kind):
    subscriber = connect(name, persistent=True)
    subscriber.subscribe((name, 2))
    connect().publish(name, b"refused", qos=qos)
    message = subscriber.expect(PUBLISH)
    subscriber.send(acknowledge(V5, kind, message.packet_id, 0x80))
    subscriber.expect_silence()
    subscriber.close()
    connect(name, persistent=True).expect_silence()


@pytest.mark.clause("5.0:MQTT-4.3.3-4")
def test_refused_message_is_not_released(connect, name):
    subscriber = connect()
    subscriber.subscribe((name, 2))
    connect().publish(name, b"refused", qos=2)
    message = subscriber.expect(PUBLISH)
    subscriber.send(acknowledge(V5, PUBREC, message.packet_id, 0x97))
    subscriber.expect_silence()


@pytest.mark.clause("5.0:MQTT-4.3.3-4", "5.0:MQTT-3.6.2-1")
def test_received_for_an_unknown_identifier_is_answered_so(connect):
    client = connect()
    client.send(acknowledge(V5, PUBREC, 99))
    client.expect(PUBREL, packet_id=99, reason=0x92)


@pytest.mark.parametrize("kind", [PUBACK, PUBCOMP])
def test_acknowledgement_of_an_unknown_identifier_does_no_harm(connect, version, name, kind):
    client = connect(version=version)
    client.send(acknowledge(version, kind, 99))
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-4.3.3-7")
def test_a_message_that_was_sent_does_not_expire(connect, name, a_while):
    subscriber = connect(name, persistent=True)
    subscriber.subscribe((name, 2))
    connect().publish(name, b"x", qos=2, properties={"message_expiry": 1})
    message = subscriber.expect(PUBLISH, qos=2)
    subscriber.close()
    a_while()
    back = connect(name, persistent=True)
    back.expect(PUBLISH, packet_id=message.packet_id, dup=True)


@pytest.mark.clause("5.0:MQTT-3.4.2-1", "5.0:MQTT-3.5.2-1")
@pytest.mark.parametrize("qos", [1, 2])
def test_no_matching_subscriber_is_a_success(connect, name, qos):
    """0x10 tells the publisher so; 0x00 is as good."""
    client = connect()
    assert client.publish(name, b"x", qos=qos).reason in (0x00, 0x10)
