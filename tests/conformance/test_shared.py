"""Shared subscriptions (4.8.2): one member of the group gets each message."""

import pytest

from tests.support import wire
from tests.support.wire import PUBACK, PUBLISH, PUBREC, V5, acknowledge


def received(*clients):
    """The payloads that wait for the clients, which are emptied by a ping each."""
    found = []
    for client in clients:
        client.send(wire.PINGREQ_PACKET)
        while (one := client.receive()).kind == PUBLISH:
            client.complete(one)
            found.append(one.payload)
        assert one.kind == wire.PINGRESP
    return found


@pytest.mark.clause("5.0:MQTT-4.8.2-1", "5.0:MQTT-4.8.2-2")
@pytest.mark.parametrize(
    "pattern",
    ["$share/{n}", "$share//{n}", "$share/g+/{n}", "$share/g#/{n}", "$share/{n}/", "$share/"],
)
def test_invalid_shared_filter(connect, name, pattern):
    client = connect()
    client.send(wire.subscribe(V5, [(pattern.format(n=name), 0)]))
    found = client.receive()
    if found.kind == wire.SUBACK:
        assert found.reasons == [0x8F]
    else:
        assert found.kind == wire.DISCONNECT
        assert found.reason in (0x81, 0x82, 0x8F)
        client.expect_end()


def test_each_message_goes_to_one_member(connect, name):
    members = [connect() for _ in range(3)]
    for member in members:
        member.subscribe((f"$share/group/{name}/#", 1))
    publisher = connect()
    sent = [bytes([number]) for number in range(30)]
    for payload in sent:
        publisher.publish(f"{name}/a", payload, qos=1)
    assert sorted(received(*members)) == sent


def test_groups_and_plain_subscriptions_get_a_copy_each(connect, name):
    one, two, plain = connect(), connect(), connect()
    one.subscribe((f"$share/one{name}/{name}", 1))
    two.subscribe((f"$share/two{name}/{name}", 1))
    plain.subscribe((name, 1))
    connect().publish(name, b"x", qos=1)
    for client in (one, two, plain):
        client.receive_message(name, b"x")
        client.expect_silence()


def test_a_shared_and_a_plain_subscription_of_one_client(connect, name):
    """They are two subscriptions with two identifiers."""
    client = connect()
    client.subscribe((f"$share/g/{name}", 1), properties={"subscription_id": 1})
    client.subscribe((name, 1), properties={"subscription_id": 2})
    connect().publish(name, b"x", qos=1)
    found = [client.receive_message(name, b"x")]
    if len(found[0].get_all("subscription_id")) == 1:
        found.append(client.receive_message(name, b"x"))
    identifiers = [value for one in found for value in one.get_all("subscription_id")]
    assert sorted(identifiers) == [1, 2]
    client.expect_silence()


def test_retained_messages_are_not_sent_to_a_shared_subscription(connect, name):
    client = connect()
    client.publish(name, b"kept", qos=1, retain=True)
    client.subscribe((f"$share/g/{name}", 1))
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-4.8.2-3")
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_granted_qos_is_respected(connect, name, granted):
    client = connect()
    assert client.subscribe((f"$share/g/{name}", granted)).reasons == [granted]
    connect().publish(name, b"x", qos=2)
    assert client.receive_message(name, b"x").qos == granted


@pytest.mark.clause("5.0:MQTT-4.8.2-4")
def test_a_member_that_comes_back_gets_the_rest_of_its_delivery(connect, name):
    topic_filter = f"$share/g/{name}"
    first = connect(name, persistent=True)
    first.subscribe((topic_filter, 2))
    connect().publish(name, b"x", qos=2)
    message = first.expect(PUBLISH, qos=2)
    first.send(acknowledge(V5, PUBREC, message.packet_id))
    first.expect(wire.PUBREL)
    first.close()
    again = connect(name, persistent=True)
    again.expect(wire.PUBREL, packet_id=message.packet_id)


@pytest.mark.clause("5.0:MQTT-4.8.2-5")
def test_a_qos_2_delivery_begun_is_not_given_to_another_member(connect, name):
    """The first session ends with its connection."""
    topic_filter = f"$share/g/{name}"
    first = connect(name)
    first.subscribe((topic_filter, 2))
    publisher = connect()
    publisher.publish(name, b"x", qos=2)
    message = first.expect(PUBLISH, qos=2)
    first.send(acknowledge(V5, PUBREC, message.packet_id))
    first.expect(wire.PUBREL)
    second = connect()
    second.subscribe((topic_filter, 2))
    first.close()
    assert not connect(name, clean=False).connack.session_present
    second.expect_silence()


@pytest.mark.clause("5.0:MQTT-4.8.2-6")
@pytest.mark.parametrize(("qos", "kind"), [(1, PUBACK), (2, PUBREC)])
def test_a_refused_message_is_not_given_to_another_member(connect, name, qos, kind):
    members = [connect(), connect()]
    for member in members:
        member.subscribe((f"$share/g/{name}", 2))
    connect().publish(name, b"x", qos=qos)
    for member in members:
        member.send(wire.PINGREQ_PACKET)
        found = member.receive()
        if found.kind == PUBLISH:
            member.send(acknowledge(V5, kind, found.packet_id, 0x80))
            member.expect(wire.PINGRESP)
    assert received(*members) == []


def test_unsubscribing_leaves_the_group(connect, name):
    leaver, stayer = connect(), connect()
    for client in (leaver, stayer):
        client.subscribe((f"$share/g/{name}", 1))
    assert leaver.unsubscribe(f"$share/g/{name}").reasons == [0]
    publisher = connect()
    for number in range(4):
        publisher.publish(name, bytes([number]), qos=1)
    assert len(received(stayer)) == 4
    leaver.expect_silence()


def test_3_1_1_clients_share_too(connect, name):
    """The filter means the same to clients of every version, as brokers in use have it."""
    old, new = connect(version=4), connect()
    old.subscribe((f"$share/g/{name}", 1))
    new.subscribe((f"$share/g/{name}", 1))
    for number in range(4):
        connect().publish(name, bytes([number]), qos=1)
    assert sorted(received(old, new)) == [bytes([number]) for number in range(4)]
