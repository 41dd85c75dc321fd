"""The items that most messages are: no expiry, no stamp, no share group. They are written and read in one go.

Everything else takes the way of log entries (``rookery.records``), which say the same in the same bytes.
"""

from typing import Final

from mypy_extensions import i64

from rookery.message import Message
from rookery.mqtt.encode import encode_properties, topic_to_wire
from rookery.mqtt.known_topics import KNOWN_TOPICS, learn_topic
from rookery.mqtt.reader import decode_text
from rookery.mqtt.types import PUBLISH

QOS_MASK: Final = 0x03
RETAIN: Final = 0x04
PLAIN_FLAGS: Final = QOS_MASK | RETAIN
KNOWN_PUBLISHERS_MAX: Final = 16_384
KNOWN_PUBLISHERS: Final[dict[bytes, str]] = {}
"""Client ids by their bytes: few clients publish much."""


def is_plain(message: Message, share: str) -> bool:
    """Whether a message can be told in this way."""
    return not share and message.expires_at is None and not message.stamp


def plain_item(kind: int, message: Message, publisher_wire: bytes) -> bytes:
    """A plain message as an item. ``publisher_wire`` is its publisher's name with two length bytes."""
    properties = message.properties
    properties_wire = b"\0" if properties is None else encode_properties(PUBLISH, properties)
    topic_wire = message.topic_wire
    payload = message.payload
    length = 2 + len(publisher_wire) + len(topic_wire) + len(properties_wire) + len(payload)
    flags = message.qos | RETAIN if message.retain else message.qos
    head = (length << 16 | kind << 8 | flags).to_bytes(6, "big")
    return b"".join((head, publisher_wire, topic_wire, properties_wire, payload))


def plain_message(frame: bytes, at: i64, end: i64) -> Message | None:
    """The message of an entry that lies there in a frame; ``None`` where it is no plain one.

    Raises ``PeerFault`` where it makes no sense.
    """
    flags: i64 = frame[at]
    if flags & ~PLAIN_FLAGS or end - at < 6:
        return None
    begin: i64 = at + 1
    length: i64 = frame[begin] << 8 | frame[begin + 1]
    topic_at: i64 = begin + 2 + length
    if topic_at + 2 >= end:
        return None
    length = frame[topic_at] << 8 | frame[topic_at + 1]
    properties_at: i64 = topic_at + 2 + length
    if properties_at >= end or frame[properties_at] != 0:
        return None
    topic_wire = frame[topic_at:properties_at]
    topic = KNOWN_TOPICS.get(topic_wire)
    if topic is None:
        topic = learn_topic(topic_wire)
    name = frame[begin + 2 : topic_at]
    publisher = KNOWN_PUBLISHERS.get(name)
    if publisher is None:
        publisher = learn_publisher(name)
    payload = frame[properties_at + 1 : end]
    retain = flags & RETAIN != 0
    return Message(
        topic.text, topic.wire, payload, int(flags & QOS_MASK), retain, None, publisher, 0.0
    )


def learn_publisher(name: bytes) -> str:
    """Decode a client id. Raises ``MalformedPacket``."""
    publisher = decode_text(name)
    if len(KNOWN_PUBLISHERS) >= KNOWN_PUBLISHERS_MAX:
        KNOWN_PUBLISHERS.clear()
    KNOWN_PUBLISHERS[name] = publisher
    return publisher


class LastItem:
    """The item that was made last: a message that goes to several nodes is written once."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._kind: int = 0
        self._data: bytes = b""
        self._publisher: str = ""
        self._publisher_wire: bytes = b"\0\0"

    def of(self, kind: int, message: Message) -> bytes:
        """The item of a plain message."""
        if self._message is not message or self._kind != kind:
            publisher = message.publisher
            if publisher != self._publisher:
                self._publisher = publisher
                self._publisher_wire = topic_to_wire(publisher)
            self._data = plain_item(kind, message, self._publisher_wire)
            self._message = message
            self._kind = kind
        return self._data

    def forget(self) -> None:
        """Keep no message longer than a turn."""
        self._message = None
