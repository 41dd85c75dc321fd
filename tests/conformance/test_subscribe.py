"""SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11) and what the options ask for."""

import pytest

from tests.support import wire
from tests.support.wire import PUBACK, PUBLISH, SUBACK, UNSUBACK, V3_1_1, V5, acknowledge


@pytest.mark.clause(
    "3.1.1:MQTT-3.8.4-1",
    "5.0:MQTT-3.8.4-1",
    "3.1.1:MQTT-3.8.4-2",
    "5.0:MQTT-3.8.4-2",
    "3.1.1:MQTT-2.3.1-7",
    "5.0:MQTT-2.2.1-6",
)
@pytest.mark.parametrize("packet_id", [1, 258, 65535])
def test_suback_has_the_identifier(connect, version, name, packet_id):
    client = connect(version=version)
    client.send(wire.subscribe(version, [(name, 0)], packet_id=packet_id))
    client.expect(SUBACK, packet_id=packet_id)


@pytest.mark.clause(
    "3.1.1:MQTT-3.8.4-4",
    "5.0:MQTT-3.8.4-5",
    "3.1.1:MQTT-3.8.4-5",
    "5.0:MQTT-3.8.4-6",
    "5.0:MQTT-3.8.4-7",
    "3.1.1:MQTT-3.9.3-1",
    "5.0:MQTT-3.9.3-1",
    "3.1.1:MQTT-3.9.3-2",
    "5.0:MQTT-3.9.3-2",
)
def test_one_code_for_each_filter_in_their_order(connect, version, name):
    client = connect(version=version)
    wanted = [2, 0, 1, 1, 0, 2]
    found = client.subscribe(*((f"{name}/{place}", qos) for place, qos in enumerate(wanted)))
    assert found.reasons == wanted
    for place, qos in enumerate(wanted):
        client.publish(f"{name}/{place}", qos=2)
        assert client.receive_message(f"{name}/{place}").qos == qos


@pytest.mark.clause("3.1.1:MQTT-3.8.4-4", "5.0:MQTT-3.8.4-5", "3.1.1:MQTT-3.8.4-3")
def test_the_same_filter_twice_in_one_packet(connect, version, name):
    """As in a sequence of packets, the second replaces the first."""
    client = connect(version=version)
    assert client.subscribe((name, 0), (name, 1)).reasons == [0, 1]
    client.publish(name, b"x", qos=2)
    assert client.receive_message(name, b"x").qos == 1
    client.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.8.4-6", "5.0:MQTT-3.8.4-8")
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_the_lower_qos_counts(connect, version, name, published, granted):
    client = connect(version=version)
    client.subscribe((name, granted))
    client.publish(name, b"x", qos=published)
    assert client.receive_message(name, b"x").qos == min(published, granted)
    client.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.8.4-3", "5.0:MQTT-3.8.4-3")
def test_a_new_subscription_replaces_one_with_the_same_filter(connect, version, name):
    client = connect(version=version)
    client.subscribe((name, 2))
    client.subscribe((name, 0))
    client.publish(name, b"x", qos=2)
    assert client.receive_message(name, b"x").qos == 0
    client.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.8.4-3", "5.0:MQTT-3.8.4-4")
def test_nothing_is_lost_while_a_subscription_is_replaced(connect, version, name):
    client, publisher = connect(version=version), connect(version=version)
    client.subscribe((name, 1))
    for number in range(20):
        publisher.send(wire.publish(version, name, bytes([number]), qos=1, packet_id=number + 1))
        client.subscribe((name, 1))
    for _ in range(20):
        publisher.expect(PUBACK)
    for number in range(20):
        client.receive_message(name, bytes([number]))


@pytest.mark.clause("3.1.1:MQTT-3.3.5-1", "5.0:MQTT-3.3.4-2")
def test_overlapping_subscriptions_deliver_at_the_highest_qos(connect, version, name):
    """This broker sends one copy."""
    client = connect(version=version)
    client.subscribe((f"{name}/#", 1), (f"{name}/+", 2), (f"{name}/a", 0))
    client.publish(f"{name}/a", b"x", qos=2)
    assert client.receive_message(f"{name}/a", b"x").qos == 2
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.3.4-3", "5.0:MQTT-3.3.4-4")
def test_one_copy_names_all_subscription_identifiers(connect, name):
    client = connect()
    client.subscribe((f"{name}/#", 1), properties={"subscription_id": 1})
    client.subscribe((f"{name}/+", 0), properties={"subscription_id": 268_435_455})
    client.subscribe((f"{name}/a", 2))
    client.publish(f"{name}/a", b"x", qos=2)
    found = client.receive_message(f"{name}/a", b"x")
    assert sorted(found.get_all("subscription_id")) == [1, 268_435_455]
    assert found.qos == 2
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.8.4-3", "5.0:MQTT-3.3.4-3")
def test_a_replaced_subscription_loses_its_identifier(connect, name):
    client = connect()
    client.subscribe((name, 1), properties={"subscription_id": 5})
    client.publish(name, b"one")
    assert client.receive_message(name, b"one").get_all("subscription_id") == [5]
    client.subscribe((name, 1))
    client.publish(name, b"two")
    assert client.receive_message(name, b"two").get_all("subscription_id") == []


@pytest.mark.clause("5.0:MQTT-3.3.4-3")
def test_retained_messages_carry_the_identifier(connect, name):
    client = connect()
    client.publish(name, b"kept", qos=1, retain=True)
    client.subscribe((name, 1), properties={"subscription_id": 77})
    assert client.receive_message(name, b"kept").get_all("subscription_id") == [77]


@pytest.mark.clause("5.0:MQTT-3.3.4-3", "5.0:MQTT-3.1.2-5")
def test_identifiers_last_as_long_as_the_session(connect, name):
    first = connect(name, persistent=True)
    first.subscribe((name, 1), properties={"subscription_id": 9})
    first.disconnect()
    connect().publish(name, b"x", qos=1)
    again = connect(name, persistent=True)
    assert again.receive_message(name, b"x").get_all("subscription_id") == [9]


@pytest.mark.clause("5.0:MQTT-3.8.3-3")
def test_no_local(connect, name):
    own, other = connect(), connect()
    own.subscribe((name, 0x04 | 1))
    other.subscribe((name, 0x04 | 1))
    own.publish(name, b"from own", qos=1)
    other.receive_message(name, b"from own")
    own.expect_silence()
    other.publish(name, b"from other", qos=1)
    own.receive_message(name, b"from other")


@pytest.mark.clause("5.0:MQTT-3.8.3-3")
def test_no_local_is_of_one_subscription(connect, name):
    client = connect()
    client.subscribe((f"{name}/#", 0x04 | 1))
    client.subscribe((f"{name}/a", 0))
    client.publish(f"{name}/a", b"x", qos=1)
    assert client.receive_message(f"{name}/a", b"x").qos == 0
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.8.3-4")
def test_no_local_on_a_shared_subscription(connect, name):
    client = connect()
    client.send(wire.subscribe(V5, [(f"$share/{name}/x", 0x04)]))
    client.expect_closed(0x82)


# UNSUBSCRIBE


@pytest.mark.clause(
    "3.1.1:MQTT-3.10.4-4",
    "5.0:MQTT-3.10.4-4",
    "5.0:MQTT-3.10.4-5",
    "3.1.1:MQTT-3.10.4-5",
    "3.1.1:MQTT-2.3.1-7",
    "5.0:MQTT-2.2.1-6",
)
@pytest.mark.parametrize("packet_id", [1, 258, 65535])
def test_unsuback_has_the_identifier_though_there_was_no_subscription(
    connect, version, name, packet_id
):
    client = connect(version=version)
    client.send(wire.unsubscribe(version, [name], packet_id=packet_id))
    client.expect(UNSUBACK, packet_id=packet_id, reasons=[0x11] if version == V5 else [])


@pytest.mark.clause(
    "3.1.1:MQTT-3.10.4-1",
    "5.0:MQTT-3.10.4-1",
    "3.1.1:MQTT-3.10.4-2",
    "5.0:MQTT-3.10.4-2",
    "3.1.1:MQTT-3.10.4-6",
    "5.0:MQTT-3.10.4-6",
    "5.0:MQTT-3.11.3-1",
    "5.0:MQTT-3.11.3-2",
)
def test_unsubscribe_deletes_the_filters_it_names(connect, version, name):
    client = connect(version=version)
    client.subscribe(f"{name}/a", f"{name}/b", f"{name}/c")
    found = client.unsubscribe(f"{name}/a", f"{name}/other", f"{name}/c")
    assert found.reasons == ([0x00, 0x11, 0x00] if version == V5 else [])
    for level in "abc":
        client.publish(f"{name}/{level}", b"x", qos=1)
    client.receive_message(f"{name}/b")
    client.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.10.4-1", "5.0:MQTT-3.10.4-1")
def test_filters_are_compared_character_by_character(connect, version, name):
    client = connect(version=version)
    client.subscribe(f"{name}/+")
    for other in (f"{name}/#", f"{name}/a", f"{name.upper()}/+", f"{name}/+/"):
        client.unsubscribe(other)
    client.publish(f"{name}/a", b"x", qos=1)
    client.receive_message(f"{name}/a", b"x")
    client.unsubscribe(f"{name}/+")
    client.publish(f"{name}/a", b"x", qos=1)
    client.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.10.4-3", "5.0:MQTT-3.10.4-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_has_been_sent_is_completed(connect, version, name, qos):
    client = connect(name, version=version, persistent=True)
    client.subscribe((name, 2))
    connect(version=version).publish(name, b"x", qos=qos)
    message = client.expect(PUBLISH, qos=qos)
    client.unsubscribe(name)
    client.close()
    again = connect(name, version=version, persistent=True)
    again.expect(PUBLISH, qos=qos, packet_id=message.packet_id, dup=True)
    if qos == 1:
        again.send(acknowledge(version, PUBACK, message.packet_id))
    else:
        again.send(acknowledge(version, wire.PUBREC, message.packet_id))
        again.expect(wire.PUBREL, packet_id=message.packet_id)
        again.send(acknowledge(version, wire.PUBCOMP, message.packet_id))
    again.expect_silence()


# Refusals


DENY_SUBSCRIBE = {"permission": "deny", "action": "subscribe", "topic_filter": "closed/#"}
DENY_PUBLISH = {"permission": "deny", "action": "publish", "topic_filter": "closed/#"}


@pytest.mark.clause(
    "3.1.1:MQTT-3.8.4-5", "5.0:MQTT-3.8.4-7", "3.1.1:MQTT-3.9.3-2", "5.0:MQTT-3.9.3-2"
)
def test_subscription_that_is_not_authorized(connect, broker_with, version):
    broker = broker_with(
        **{"authorization.rules": [DENY_SUBSCRIBE], "authorization.default": "allow"}
    )
    client = connect(version=version, at=broker)
    found = client.subscribe(("open", 1), ("closed/a", 1), ("open/b", 2))
    assert found.reasons == [1, 0x87 if version == V5 else 0x80, 2]
    client.publish("closed/a", b"x", qos=1)
    client.publish("open", b"marker", qos=1)
    client.receive_message("open", b"marker")


@pytest.mark.clause("3.1.1:MQTT-3.3.5-2", "5.0:MQTT-3.4.2-1", "5.0:MQTT-3.5.2-1")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publication_that_is_not_authorized(connect, broker_with, version, qos):
    broker = broker_with(
        **{"authorization.rules": [DENY_PUBLISH], "authorization.default": "allow"}
    )
    watcher = connect(version=version, at=broker)
    watcher.subscribe("closed/a", "open")
    client = connect(version=version, at=broker)
    found = client.publish("closed/a", b"x", qos=qos)
    if qos:
        assert found.reason == (0x87 if version == V5 else 0)
    client.publish("open", b"marker", qos=1)
    watcher.receive_message("open", b"marker")
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-4.3.3-9")
def test_identifier_of_a_refused_qos_2_message_is_free_again(connect, broker_with):
    broker = broker_with(
        **{"authorization.rules": [DENY_PUBLISH], "authorization.default": "allow"}
    )
    client = connect(at=broker)
    client.subscribe("open")
    client.send(wire.publish(V5, "closed/a", b"x", qos=2, packet_id=7))
    client.expect(wire.PUBREC, packet_id=7, reason=0x87)
    client.send(wire.publish(V5, "open", b"new", qos=2, packet_id=7))
    client.expect(wire.PUBREC, packet_id=7, reason=0)
    client.send(acknowledge(V5, wire.PUBREL, 7))
    client.take(wire.PUBCOMP)
    client.receive_message("open", b"new")


@pytest.mark.clause("3.1.1:MQTT-3.9.3-2")
def test_codes_before_5_are_four(connect, name):
    """The reader of these tests refuses any other; here are all that a well-meant packet can get."""
    client = connect(version=V3_1_1)
    assert client.subscribe((name, 0), (f"{name}/1", 1), (f"{name}/2", 2)).reasons == [0, 1, 2]
