"""Topic names that were decoded before, so that each is decoded and checked once per process.

Clients publish to few topics many times. The key is the topic name as it lies on the wire, length
bytes included: one slice, one look-up, no UTF-8.
"""

from typing import Final, final

from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.reader import decode_text
from rookery.mqtt.topics import validate_topic_name
from rookery.mqtt.types import ReasonCode

KNOWN_TOPICS_MAX: Final = 65_536
KNOWN_TOPIC_BYTES_MAX: Final = 256
"""Together they bound the memory of ``KNOWN_TOPICS`` to 100 MB, whatever clients send."""


@final
class TopicName:
    """A topic name, and the same with its two length bytes."""

    def __init__(self, text: str, wire: bytes) -> None:
        self.text = text
        self.wire = wire


KNOWN_TOPICS: Final[dict[bytes, TopicName]] = {}

NO_TOPIC: Final = TopicName("", b"\0\0")
"""The empty topic name of a PUBLISH that uses a topic alias."""


def learn_topic(wire: bytes) -> TopicName:
    """Decode and check a topic name that is not in ``KNOWN_TOPICS``.

    Raises:
        MalformedPacket: it is not UTF-8.
        ProtocolViolation: it is not a topic name.
    """
    if wire == NO_TOPIC.wire:
        return NO_TOPIC
    text = decode_text(wire[2:])  # [MQTT-3.3.2-1]
    if not validate_topic_name(text):  # [MQTT-3.3.2-2]
        raise ProtocolViolation("a wildcard in a topic name", ReasonCode.TOPIC_NAME_INVALID)
    topic = TopicName(text, wire)
    if len(wire) <= KNOWN_TOPIC_BYTES_MAX:
        if len(KNOWN_TOPICS) >= KNOWN_TOPICS_MAX:
            KNOWN_TOPICS.clear()
        KNOWN_TOPICS[wire] = topic
    return topic
