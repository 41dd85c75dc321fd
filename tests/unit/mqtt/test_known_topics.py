"""Topic names are decoded once, and what is remembered is bounded."""

import pytest

from rookery.mqtt import known_topics
from rookery.mqtt.errors import MalformedPacket, ProtocolViolation
from rookery.mqtt.known_topics import KNOWN_TOPICS, NO_TOPIC, learn_topic
from rookery.mqtt.types import ReasonCode


def wire(topic: bytes) -> bytes:
    return len(topic).to_bytes(2, "big") + topic


@pytest.fixture(autouse=True)
def empty():
    KNOWN_TOPICS.clear()
    yield
    KNOWN_TOPICS.clear()


def test_a_topic_is_remembered():
    topic = learn_topic(wire(b"a/b"))
    assert (topic.text, topic.wire) == ("a/b", b"\0\x03a/b")
    assert {b"\0\x03a/b": topic} == KNOWN_TOPICS


def test_the_empty_topic_is_not_remembered():
    assert learn_topic(b"\0\0") is NO_TOPIC
    assert KNOWN_TOPICS == {}


def test_a_long_topic_is_not_remembered():
    longest = known_topics.KNOWN_TOPIC_BYTES_MAX - 2
    learn_topic(wire(b"x" * longest))
    assert len(KNOWN_TOPICS) == 1
    assert learn_topic(wire(b"y" * (longest + 1))).text == "y" * (longest + 1)
    assert len(KNOWN_TOPICS) == 1


def test_a_full_memory_begins_anew():
    for number in range(known_topics.KNOWN_TOPICS_MAX):
        learn_topic(wire(b"%d" % number))
    assert len(KNOWN_TOPICS) == known_topics.KNOWN_TOPICS_MAX
    learn_topic(wire(b"one more"))
    assert list(KNOWN_TOPICS) == [wire(b"one more")]


@pytest.mark.parametrize("topic", [b"a/#", b"+", b"a+b"])
def test_a_wildcard_is_refused_and_not_remembered(topic):
    with pytest.raises(ProtocolViolation) as raised:
        learn_topic(wire(topic))
    assert raised.value.reason_code is ReasonCode.TOPIC_NAME_INVALID
    assert KNOWN_TOPICS == {}


@pytest.mark.parametrize("topic", [b"\xff", b"a\0b", b"\xed\xa0\x80"])
def test_what_is_no_text_is_refused_and_not_remembered(topic):
    with pytest.raises(MalformedPacket):
        learn_topic(wire(topic))
    assert KNOWN_TOPICS == {}
