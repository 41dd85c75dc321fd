"""Retained messages (3.3.1.3): stored, replaced, removed, sent to new subscriptions."""

import pytest

from tests.support.wire import V3_1_1


@pytest.fixture
def publisher(connect, version):
    return connect(version=version)


@pytest.fixture
def late(connect, version):
    """Subscribe a new client and return it."""

    def late(*filters):
        client = connect(version=version)
        client.subscribe(*filters)
        return client

    return late


@pytest.mark.clause(
    "3.1.1:MQTT-3.3.1-5",
    "5.0:MQTT-3.3.1-5",
    "3.1.1:MQTT-3.3.1-6",
    "5.0:MQTT-3.3.1-9",
    "3.1.1:MQTT-3.3.1-8",
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_sent_to_a_new_subscription(publisher, late, name, qos):
    publisher.publish(name, b"kept", qos=qos, retain=True)
    publisher.publish(f"{name}/marker", qos=1)
    found = late((name, 2)).receive_message(name, b"kept")
    assert (found.retain, found.dup, found.qos) == (True, False, qos)


@pytest.mark.clause("3.1.1:MQTT-3.3.1-5", "5.0:MQTT-3.3.1-5", "3.1.1:MQTT-3.3.1-7")
@pytest.mark.parametrize("qos", [0, 1])
def test_the_last_one_replaces_the_others(publisher, late, name, qos):
    publisher.publish(name, b"first", qos=1, retain=True)
    publisher.publish(name, b"second", qos=qos, retain=True)
    publisher.publish(f"{name}/marker", qos=1)
    client = late(name)
    client.receive_message(name, b"second")
    client.expect_silence()


@pytest.mark.clause(
    "3.1.1:MQTT-3.3.1-10", "3.1.1:MQTT-3.3.1-11", "5.0:MQTT-3.3.1-6", "5.0:MQTT-3.3.1-7"
)
def test_an_empty_one_removes_it_and_is_delivered_as_any_other(publisher, late, name):
    publisher.publish(name, b"kept", qos=1, retain=True)
    watcher = late(name)
    watcher.receive_message(name, b"kept")
    publisher.publish(name, b"", qos=1, retain=True)
    assert not watcher.receive_message(name, b"").retain
    late(name).expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.3.1-12", "5.0:MQTT-3.3.1-8")
@pytest.mark.parametrize("payload", [b"passing", b""])
def test_a_message_without_retain_changes_nothing(publisher, late, name, payload):
    publisher.publish(name, payload, qos=1)
    late(name).expect_silence()
    publisher.publish(name, b"kept", qos=1, retain=True)
    publisher.publish(name, payload, qos=1)
    late(name).receive_message(name, b"kept")


@pytest.mark.clause("3.1.1:MQTT-3.3.1-9", "5.0:MQTT-3.3.1-12")
def test_flag_is_cleared_for_established_subscriptions(publisher, late, name):
    watcher = late(name)
    publisher.publish(name, b"kept", qos=1, retain=True)
    assert not watcher.receive_message(name, b"kept").retain


@pytest.mark.clause("3.1.1:MQTT-3.3.1-6", "5.0:MQTT-3.3.1-9")
def test_every_matching_topic_sends_its_own(publisher, late, name):
    for level in ("a", "b", "c/d"):
        publisher.publish(f"{name}/{level}", level.encode(), qos=1, retain=True)
    deep = late(f"{name}/#")
    assert {deep.receive_message().topic for _ in range(3)} == {
        f"{name}/a",
        f"{name}/b",
        f"{name}/c/d",
    }
    deep.expect_silence()
    flat = late(f"{name}/+")
    assert {flat.receive_message().topic for _ in range(2)} == {f"{name}/a", f"{name}/b"}
    flat.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.8.4-6", "5.0:MQTT-3.8.4-8")
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_sent_at_the_granted_qos(publisher, late, name, granted):
    publisher.publish(name, b"kept", qos=2, retain=True)
    assert late((name, granted)).receive_message(name, b"kept").qos == granted


@pytest.mark.clause("3.1.1:MQTT-3.8.4-3", "5.0:MQTT-3.8.4-4", "5.0:MQTT-3.3.1-9")
def test_sent_again_when_the_subscription_is_replaced(publisher, late, name):
    publisher.publish(name, b"kept", qos=1, retain=True)
    client = late(name)
    for _ in range(2):
        assert client.receive_message(name, b"kept").retain
        client.subscribe(name)
    client.receive_message(name, b"kept")


@pytest.mark.clause("5.0:MQTT-3.3.1-10")
def test_retain_handling_1_sends_to_new_subscriptions_only(connect, name):
    client = connect()
    client.publish(name, b"kept", qos=1, retain=True)
    client.subscribe((name, 0x10))
    assert client.receive_message(name, b"kept").retain
    client.subscribe((name, 0x10))
    client.expect_silence()
    client.unsubscribe(name)
    client.subscribe((name, 0x10))
    assert client.receive_message(name, b"kept").retain


@pytest.mark.clause("5.0:MQTT-3.3.1-11")
def test_retain_handling_2_sends_none(connect, name):
    client = connect()
    client.publish(name, b"kept", qos=1, retain=True)
    client.subscribe((name, 0x20))
    client.expect_silence()
    client.publish(name, b"live", qos=1)
    client.receive_message(name, b"live")


@pytest.mark.clause("5.0:MQTT-3.3.1-13", "5.0:MQTT-3.3.1-12")
@pytest.mark.parametrize("retain", [False, True])
def test_retain_as_published(connect, name, retain):
    client = connect()
    client.subscribe((name, 0x08 | 1))
    client.publish(name, b"x", qos=1, retain=retain)
    assert client.receive_message(name, b"x").retain is retain


@pytest.mark.clause("3.1.1:MQTT-3.3.1-8")
def test_flag_is_set_for_old_clients_as_well(connect, name):
    connect().publish(name, b"kept", qos=1, retain=True)
    old = connect(version=V3_1_1)
    old.subscribe(name)
    assert old.receive_message(name, b"kept").retain


@pytest.mark.clause("5.0:MQTT-3.3.2-17", "5.0:MQTT-3.3.2-18", "5.0:MQTT-3.3.2-20")
def test_properties_are_kept(connect, name):
    user = [("b", "1"), ("a", "2")]
    connect().publish(
        name, b"kept", qos=1, retain=True, properties={"user": user, "content_type": "text"}
    )
    client = connect()
    client.subscribe(name)
    found = client.receive_message(name, b"kept")
    assert found.get_all("user") == user
    assert found.get("content_type") == "text"


@pytest.mark.clause("5.0:MQTT-3.3.2-5")
def test_an_expired_one_is_not_sent(connect, name, a_while):
    client = connect()
    client.publish(name, b"short", qos=1, retain=True, properties={"message_expiry": 1})
    a_while()
    client.subscribe(name)
    client.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.3.2-6")
def test_the_time_it_has_waited_is_taken_from_its_expiry(connect, name, a_while):
    client = connect()
    client.publish(name, b"kept", qos=1, retain=True, properties={"message_expiry": 100})
    a_while()
    client.subscribe(name)
    assert client.receive_message(name, b"kept").get("message_expiry") in range(80, 100)


@pytest.mark.clause("3.1.1:MQTT-4.7.2-1", "5.0:MQTT-4.7.2-1")
@pytest.mark.parametrize("pattern", ["+/{n}", "+/#"])
def test_dollar_topics_are_not_sent_to_leading_wildcards(publisher, late, name, pattern):
    publisher.publish(f"$other/{name}", b"kept", qos=1, retain=True)
    publisher.publish(f"plain/{name}", b"kept", qos=1, retain=True)
    client = late(pattern.format(n=name))
    while (found := client.receive_message()).topic != f"plain/{name}":
        assert name not in found.topic
    publisher.publish(f"$other/{name}", qos=1, retain=True)
    publisher.publish(f"plain/{name}", qos=1, retain=True)
    while (found := client.receive_message()).topic != f"plain/{name}":
        assert name not in found.topic
    client.expect_silence()
