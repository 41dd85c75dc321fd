"""The items that most messages are: no expiry, no stamp, no share group. They are written and read in one go.

Everything else takes the way of log entries (``rookery.records``), which say the same in the same bytes.

Messages come in runs of one publisher, topic and size, as a client's packets do. Such items differ in their payloads only:
what stands before, their head, is written and read once for all of them.
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


def plain_head(kind: int, message: Message, publisher_wire: bytes) -> bytes:
    """What a plain message's item has before the payload.

    ``publisher_wire`` is its publisher's name with two length bytes.
    """
    properties = message.properties
    properties_wire = b"\0" if properties is None else encode_properties(PUBLISH, properties)
    topic_wire = message.topic_wire
    length = 2 + len(publisher_wire) + len(topic_wire) + len(properties_wire) + len(message.payload)
    flags = message.qos | RETAIN if message.retain else message.qos
    head = (length << 16 | kind << 8 | flags).to_bytes(6, "big")
    return b"".join((head, publisher_wire, topic_wire, properties_wire))


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
        self._head: bytes = b""
        self._publisher: str = ""
        self._publisher_wire: bytes = b"\0\0"
        self._topic_wire: bytes = b""
        self._payload_bytes: int = -1
        """That of the message the head was made for; -1 where it is good for that one alone."""
        self._qos: int = 0
        self._retain: bool = False

    def of(self, kind: int, message: Message) -> bytes:
        """The item of a plain message."""
        if self._message is not message or self._kind != kind:
            if not self._is_of_its_run(kind, message):
                self._begin_run(kind, message)
            self._data = self._head + message.payload
            self._message = message
        return self._data

    def _is_of_its_run(self, kind: int, message: Message) -> bool:
        return (
            message.topic_wire is self._topic_wire
            and message.publisher is self._publisher
            and len(message.payload) == self._payload_bytes
            and kind == self._kind
            and message.qos == self._qos
            and message.retain == self._retain
            and message.properties is None
        )

    def _begin_run(self, kind: int, message: Message) -> None:
        publisher = message.publisher
        if publisher is not self._publisher:
            self._publisher = publisher
            self._publisher_wire = topic_to_wire(publisher)
        self._head = plain_head(kind, message, self._publisher_wire)
        self._kind = kind
        self._topic_wire = message.topic_wire
        self._payload_bytes = len(message.payload) if message.properties is None else -1
        self._qos = message.qos
        self._retain = message.retain

    def forget(self) -> None:
        """Keep no message longer than a turn."""
        self._message = None


class LastHead:
    """The head of the plain message that came last, and what it says."""

    def __init__(self) -> None:
        self.kind: int = 0
        self.end: int = 0
        """Where the item ends whose message was found last."""
        self._head: bytes = b""
        self._payload_bytes: int = 0
        self._topic: str = ""
        self._topic_wire: bytes = b""
        self._qos: int = 0
        self._retain: bool = False
        self._publisher: str = ""

    def learn(self, kind: int, frame: bytes, at: i64, message: Message) -> None:
        """Know from now on the head of an item that begins there, and said this message."""
        payload_bytes = len(message.payload)
        length = frame[at] << 24 | frame[at + 1] << 16 | frame[at + 2] << 8 | frame[at + 3]
        self.kind = kind
        self._head = frame[at : at + 4 + length - payload_bytes]
        self._payload_bytes = payload_bytes
        self._topic = message.topic
        self._topic_wire = message.topic_wire
        self._qos = message.qos
        self._retain = message.retain
        self._publisher = message.publisher

    def message(self, frame: bytes, at: i64) -> Message | None:
        """The message of the item that begins there; ``None`` where it has another head."""
        head = self._head
        size: i64 = len(head)
        begin: i64 = at + size
        end: i64 = begin + self._payload_bytes
        if not size or end > len(frame) or frame[at:begin] != head:
            return None
        self.end = end
        return Message(
            self._topic,
            self._topic_wire,
            frame[begin:end],
            self._qos,
            self._retain,
            None,
            self._publisher,
            0.0,
        )
