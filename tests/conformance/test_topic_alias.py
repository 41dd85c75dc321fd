"""Topic aliases (3.3.2.3.4): the client's and the broker's."""

import pytest

from tests.support import wire
from tests.support.wire import PUBLISH, V5


def aliased(topic, alias, payload=b"", **options):
    return wire.publish(V5, topic, payload, properties={"topic_alias": alias}, **options)


@pytest.mark.clause("5.0:MQTT-3.3.2-12")
@pytest.mark.parametrize("alias", ["first", "last"])
def test_an_alias_stands_for_its_topic(connect, name, alias):
    client = connect()
    number = 1 if alias == "first" else client.connack.get("topic_alias_maximum")
    client.subscribe((f"{name}/#", 0))
    client.send(aliased(f"{name}/a", number, b"one"), aliased("", number, b"two"))
    client.receive_message(f"{name}/a", b"one")
    client.receive_message(f"{name}/a", b"two")
    client.send(aliased(f"{name}/b", number, b"three"), aliased("", number, b"four"))
    client.receive_message(f"{name}/b", b"three")
    client.receive_message(f"{name}/b", b"four")


@pytest.mark.clause("5.0:MQTT-3.3.2-8", "5.0:MQTT-4.13.1-1")
def test_alias_zero(connect, name):
    client = connect()
    client.send(aliased(name, 0))
    client.expect_closed(0x94)


@pytest.mark.clause("5.0:MQTT-3.2.2-17", "5.0:MQTT-3.3.2-9", "5.0:MQTT-4.13.1-1")
def test_alias_above_the_maximum(connect, name):
    client = connect()
    client.send(aliased(name, client.connack.get("topic_alias_maximum") + 1))
    client.expect_closed(0x94)


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
def test_alias_that_was_never_set(connect, name):
    client = connect()
    client.send(aliased("", 1))
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-3.3.2-7")
def test_aliases_end_with_their_connection(connect, name):
    first = connect(name, persistent=True)
    first.send(aliased(name, 1))
    first.expect_silence()
    first.close()
    second = connect(name, persistent=True)
    assert second.connack.session_present
    second.send(aliased("", 1))
    second.expect_closed()


@pytest.mark.clause("5.0:MQTT-3.2.2-18")
def test_a_broker_without_aliases_takes_none(connect, broker_with, name):
    client = connect(at=broker_with(**{"limits.topic_aliases_in_max": 0}))
    assert client.connack.get("topic_alias_maximum") in (None, 0)
    client.send(aliased(name, 1))
    client.expect_closed(0x94)


def test_an_alias_does_not_reach_the_subscriber(connect, name):
    client = connect()
    client.subscribe((name, 0))
    client.send(aliased(name, 7, b"x"))
    assert client.receive_message(name, b"x").get("topic_alias") is None


@pytest.mark.clause("5.0:MQTT-3.1.2-27")
@pytest.mark.parametrize("properties", [{}, {"topic_alias_maximum": 0}])
def test_the_broker_sends_none_unless_allowed(connect, name, properties):
    client = connect(properties=properties)
    client.subscribe((name, 1))
    for qos in (0, 0, 1, 1):
        client.publish(name, qos=qos)
        assert client.receive_message(name).get("topic_alias") is None


@pytest.mark.clause("5.0:MQTT-3.1.2-26", "5.0:MQTT-3.3.2-11")
def test_the_broker_stays_within_the_maximum(connect, name):
    client = connect(properties={"topic_alias_maximum": 2})
    client.subscribe((f"{name}/#", 1))
    topics: dict[object, str | None] = {}
    for number in (1, 1, 2, 2, 3, 3, 1, 2, 3):
        client.publish(f"{name}/{number}", bytes([number]), qos=1)
        found = client.expect(PUBLISH)
        client.complete(found)
        alias = found.get("topic_alias")
        assert alias in (None, 1, 2)
        if found.topic:
            if alias:
                topics[alias] = found.topic
            assert found.topic == f"{name}/{number}"
        else:
            assert topics[alias] == f"{name}/{number}"


@pytest.mark.clause("5.0:MQTT-3.3.2-7")
def test_the_brokers_aliases_end_with_the_connection(connect, name):
    allowed = {"topic_alias_maximum": 5}
    first = connect(name, persistent=True, properties=allowed)
    first.subscribe((name, 1))
    publisher = connect()
    for _ in range(3):
        publisher.publish(name, qos=1)
        first.complete(first.expect(PUBLISH))
    first.expect_silence()
    first.close()
    publisher.publish(name, b"waits", qos=1)
    again = connect(name, persistent=True, properties=allowed)
    assert again.expect(PUBLISH).topic == name
