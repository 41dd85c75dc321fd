"""Message ordering (4.6)."""

import pytest

from tests.support import wire
from tests.support.wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, acknowledge

COUNT = 40


@pytest.mark.clause(
    "3.1.1:MQTT-4.6.0-5", "3.1.1:MQTT-4.6.0-6", "5.0:MQTT-4.6.0-5", "5.0:MQTT-4.6.0-6"
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_of_a_publisher_arrive_in_their_order(connect, version, name, qos):
    subscriber, publisher = connect(version=version), connect(version=version)
    subscriber.subscribe((f"{name}/#", 2))
    for number in range(COUNT):
        publisher.publish(f"{name}/a", bytes([number]), qos=qos)
    for number in range(COUNT):
        subscriber.receive_message(f"{name}/a", bytes([number]))


@pytest.mark.clause("3.1.1:MQTT-4.6.0-6", "5.0:MQTT-4.6.0-5")
@pytest.mark.parametrize("qos", [1, 2])
def test_messages_in_one_write_arrive_in_their_order(connect, version, name, qos):
    subscriber, publisher = connect(version=version), connect(version=version)
    subscriber.subscribe((name, 2))
    publisher.send(
        *(
            wire.publish(version, name, bytes([number]), qos=qos, packet_id=number + 1)
            for number in range(COUNT)
        )
    )
    for number in range(COUNT):
        publisher.expect(PUBACK if qos == 1 else PUBREC, packet_id=number + 1)
    if qos == 2:
        publisher.send(*(acknowledge(version, PUBREL, number + 1) for number in range(COUNT)))
        for number in range(COUNT):
            publisher.expect(PUBCOMP, packet_id=number + 1)
    for number in range(COUNT):
        subscriber.receive_message(name, bytes([number]))


@pytest.mark.clause("3.1.1:MQTT-4.6.0-6", "5.0:MQTT-4.6.0-5")
def test_messages_that_waited_come_before_later_ones(connect, version, name):
    first = connect(name, version=version, persistent=True)
    first.subscribe((name, 1))
    first.close()
    publisher = connect(version=version)
    for number in range(10):
        publisher.publish(name, bytes([number]), qos=1)
    second = connect(name, version=version, persistent=True)
    for number in range(10, 20):
        publisher.publish(name, bytes([number]), qos=1)
    for number in range(20):
        second.receive_message(name, bytes([number]))


@pytest.mark.clause(
    "3.1.1:MQTT-4.6.0-1",
    "3.1.1:MQTT-4.6.0-6",
    "3.1.1:MQTT-4.4.0-1",
    "5.0:MQTT-4.4.0-1",
)
@pytest.mark.parametrize("qos", [1, 2])
def test_messages_are_sent_again_in_their_order(connect, version, name, qos):
    """Acknowledge some in the middle; the others come again as they were, then the new ones."""
    first = connect(name, version=version, persistent=True)
    first.subscribe((name, 2))
    publisher = connect(version=version)
    for number in range(6):
        publisher.publish(name, bytes([number]), qos=qos)
    messages = [first.expect(PUBLISH) for _ in range(6)]
    first.complete(messages[1])
    first.complete(messages[3])
    first.expect_silence()
    first.close()
    publisher.publish(name, b"new", qos=qos)
    again = connect(name, version=version, persistent=True)
    for place in (0, 2, 4, 5):
        found = again.expect(PUBLISH, dup=True, payload=bytes([place]))
        assert found.packet_id == messages[place].packet_id
    again.expect(PUBLISH, dup=False, payload=b"new")


@pytest.mark.clause("3.1.1:MQTT-4.6.0-6", "3.1.1:MQTT-4.3.3-1", "5.0:MQTT-4.3.3-4")
def test_releases_follow_the_order_of_receipts(connect, version, name):
    client, publisher = connect(version=version), connect(version=version)
    client.subscribe((name, 2))
    for number in range(5):
        publisher.publish(name, bytes([number]), qos=2)
    identifiers = [client.expect(PUBLISH).packet_id for _ in range(5)]
    client.send(*(acknowledge(version, PUBREC, one) for one in identifiers))
    for one in identifiers:
        client.expect(PUBREL, packet_id=one)
