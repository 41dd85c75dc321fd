"""Topic names and topic filters (4.7): what matches, what is refused."""

import pytest

from tests.support import wire
from tests.support.wire import V5
from tests.support.wire_client import Closed

MATCHES = [
    ("sport/tennis/player1", "sport/tennis/player1/#", True),
    ("sport/tennis/player1/ranking", "sport/tennis/player1/#", True),
    ("sport/tennis/player1/score/final", "sport/tennis/player1/#", True),
    ("sport", "sport/#", True),
    ("sports", "sport/#", False),
    ("sport/tennis", "sport/+", True),
    ("sport", "sport/+", False),
    ("sport/", "sport/+", True),
    ("sport/tennis/player1", "sport/+", False),
    ("sport/tennis/player1", "sport/+/player1", True),
    ("sport//player1", "sport/+/player1", True),
    ("sport/a/b/player1", "sport/+/player1", False),
    ("sport/a/b/c", "sport/+/b/#", True),
    ("Sport", "sport", False),
    ("/sport", "sport", False),
    ("sport/", "sport", False),
    ("sport", "sport/", False),
    ("sport//a", "sport/a", False),
    ("a b", "a b", True),
    ("caf\u00e9", "cafe\u0301", False),
    ("caf\u00e9", "caf\u00e9", True),
    ("\U0001f600/x", "+/x", True),
]


@pytest.mark.clause(
    "3.1.1:MQTT-3.3.2-3",
    "5.0:MQTT-3.3.2-3",
    "3.1.1:MQTT-4.7.3-4",
    "5.0:MQTT-4.7.3-4",
    "3.1.1:MQTT-4.5.0-1",
    "5.0:MQTT-4.5.0-1",
)
@pytest.mark.parametrize(("topic", "topic_filter", "matches"), MATCHES)
def test_matching(connect, version, name, topic, topic_filter, matches):
    client = connect(version=version)
    client.subscribe((f"{name}/{topic_filter}", 0), (f"{name}marker", 0))
    client.publish(f"{name}/{topic}", b"x")
    client.publish(f"{name}marker")
    if matches:
        client.receive_message(f"{name}/{topic}", b"x")
    client.receive_message(f"{name}marker")


@pytest.mark.clause("3.1.1:MQTT-4.7.1-3", "5.0:MQTT-4.7.1-2")
def test_single_level_wildcard_at_the_first_level(connect, version, name):
    client = connect(version=version)
    client.subscribe((f"+/{name}", 0), (f"/{name}/+", 0))
    for topic in (f"a/{name}", f"/{name}", f"/{name}/b"):
        client.publish(topic)
        client.receive_message(topic)


@pytest.mark.clause("3.1.1:MQTT-4.7.2-1", "5.0:MQTT-4.7.2-1")
@pytest.mark.parametrize("pattern", ["+/{name}/x", "#", "+/#"])
def test_leading_wildcards_do_not_match_dollar_topics(connect, version, name, pattern):
    client = connect(version=version)
    topic = f"$other/{name}/x"
    client.subscribe((pattern.format(name=name), 0x20 if version == V5 else 0))
    client.subscribe((f"$other/{name}/+", 0))
    client.publish(topic, b"x")
    marker = f"any/{name}/x"
    client.publish(marker)
    topics = []
    while (found := client.expect(wire.PUBLISH)).topic != marker:
        if name in found.topic:
            topics.append(found.topic)
    assert topics == [topic]


INVALID_FILTERS = ["{n}#", "{n}/#/a", "{n}/a#", "#/{n}", "{n}+", "{n}/+a", "{n}/a+/b", "+{n}", ""]


@pytest.mark.clause(
    "3.1.1:MQTT-4.7.1-2",
    "5.0:MQTT-4.7.1-1",
    "3.1.1:MQTT-4.7.1-3",
    "5.0:MQTT-4.7.1-2",
    "3.1.1:MQTT-4.7.3-1",
    "5.0:MQTT-4.7.3-1",
)
@pytest.mark.parametrize("pattern", INVALID_FILTERS)
def test_invalid_filter_in_subscribe(connect, version, name, pattern):
    """It is refused in SUBACK or ends the connection; it is never granted."""
    client = connect(version=version)
    client.send(wire.subscribe(version, [(pattern.format(n=name), 0)]))
    try:
        found = client.receive()
    except Closed:
        return
    if found.kind == wire.SUBACK:
        assert found.reasons == [0x8F if version == V5 else 0x80]
    else:
        assert found.kind == wire.DISCONNECT
        assert found.reason in (0x81, 0x82, 0x8F)
        client.expect_end()


@pytest.mark.clause(
    "3.1.1:MQTT-3.3.2-2", "5.0:MQTT-3.3.2-2", "3.1.1:MQTT-4.7.1-1", "5.0:MQTT-4.7.0-1"
)
@pytest.mark.parametrize("topic", ["#", "+", "a/#", "a/+/b", "a+", "a#b"])
def test_wildcard_in_a_topic_name(connect, version, name, topic):
    """The connection ends; an acknowledgement that says invalid is as clear."""
    watcher = connect(version=version)
    watcher.subscribe((f"{name}/#", 0))
    client = connect(version=version)
    client.send(wire.publish(version, f"{name}/{topic}", b"x", qos=1))
    try:
        found = client.receive()
    except Closed:
        pass
    else:
        assert version == V5
        assert found.kind in (wire.DISCONNECT, wire.PUBACK)
        assert found.reason in (0x81, 0x90)
    watcher.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-4.7.3-1")
def test_empty_topic_name_before_5(connect):
    client = connect(version=4)
    client.send(wire.publish(4, ""))
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-4.7.3-1")
def test_empty_topic_name_without_alias(connect):
    client = connect()
    client.send(wire.publish(V5, ""))
    client.expect_closed(0x82)


@pytest.mark.clause("3.1.1:MQTT-4.7.3-3", "5.0:MQTT-4.7.3-3")
def test_longest_topic_name(connect, version, name):
    topic = name + "x" * (65535 - len(name))
    client = connect(version=version)
    client.subscribe((topic, 0))
    client.publish(topic, b"x")
    client.receive_message(topic, b"x")


def test_a_hash_alone_matches_everything_else(connect, version, name):
    client = connect(version=version)
    client.subscribe(("#", 0x20 if version == V5 else 0))
    client.publish(f"{name}/a//b", b"x")
    while client.expect(wire.PUBLISH).topic != f"{name}/a//b":
        pass
