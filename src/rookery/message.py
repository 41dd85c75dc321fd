"""The application message inside the node, and one delivery of it.

A ``Message`` is immutable and shared by everyone it goes to. A ``Delivery`` adds what differs between
recipients (QoS, retain flag, subscription identifiers); recipients alike in those share one, so a
fan-out encodes once: the delivery caches its bytes per protocol family, split where the packet
identifier goes.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import mypyc_attr

from rookery.mqtt.encode import PACKET_ID_WIRE, encode_properties, publish_head, topic_to_wire
from rookery.mqtt.link import Link
from rookery.mqtt.packets import Publish, Will
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import PACKET_BYTES_LIMIT, PUBLISH, V5

NO_IDENTIFIERS: Final[tuple[int, ...]] = ()


@final
@mypyc_attr(acyclic=True)
class Message:
    """An application message: what was published, by whom, and until when it is worth delivering."""

    def __init__(
        self,
        topic: str,
        topic_wire: bytes,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties | None,
        publisher: str,
        now: float,
    ) -> None:
        self.topic = topic
        self.topic_wire = topic_wire
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.publisher = publisher
        """The publisher's client id; empty when the node itself publishes."""
        self.expires_at: float | None = None
        """When the message expires, on the monotonic clock. [MQTT-3.3.2-5]"""
        self.position: int = 0
        """Its place in the message log; 0 while it has none."""
        self.stamp: int = 0
        """Of a retained message in a cluster: of two for one topic the higher one is the later."""
        if properties is not None and properties.message_expiry_interval is not None:
            self.expires_at = now + properties.message_expiry_interval

    @property
    def size_bytes(self) -> int:
        """What the message counts for in limits: topic and payload."""
        return len(self.topic_wire) + len(self.payload)

    def expired(self, now: float) -> bool:
        """Whether the message must not begin its delivery any more. [MQTT-3.3.2-5]"""
        expires_at = self.expires_at
        return expires_at is not None and now >= expires_at


def message_from_publish(publish: Publish, publisher: str, now: float) -> Message:
    """The message a client's PUBLISH carries."""
    return Message(
        publish.topic,
        publish.topic_wire,
        publish.payload,
        publish.qos,
        publish.retain,
        publish.properties,
        publisher,
        now,
    )


def message_from_will(will: Will, publisher: str, now: float) -> Message:
    """The message a will becomes when it is published; its delay is no property of it."""
    properties = will.properties
    if properties is not None:
        properties = forwarded_properties(
            properties, properties.message_expiry_interval, NO_IDENTIFIERS
        )
    return Message(
        will.topic,
        topic_to_wire(will.topic),
        will.payload,
        will.qos,
        will.retain,
        properties,
        publisher,
        now,
    )


def mounted_message(message: Message, mountpoint: str) -> Message:
    """The same message with a mountpoint before its topic name, and before its response topic."""
    return moved_message(message, mountpoint + message.topic, mountpoint, 0)


def mounted_will(will: Will, mountpoint: str) -> Will:
    """The same will with a mountpoint before its topic name, and before its response topic."""
    properties = will.properties
    if properties is not None and properties.response_topic is not None:
        properties.response_topic = mountpoint + properties.response_topic
    return Will(mountpoint + will.topic, will.payload, will.qos, will.retain, properties)


def unmounted_message(message: Message, mountpoint: str) -> Message:
    """The message as clients below a mountpoint see it."""
    if not message.topic.startswith(mountpoint):
        return message
    length = len(mountpoint)
    return moved_message(message, message.topic[length:], mountpoint, length)


def moved_message(message: Message, topic: str, mountpoint: str, cut: int) -> Message:
    """The same message with another topic name; its response topic moves with it.

    ``cut`` is what is taken off a response topic below the mountpoint; 0 puts the mountpoint before it.
    """
    properties = message.properties
    if properties is not None and properties.response_topic is not None:
        response_topic = properties.response_topic
        if cut == 0:
            response_topic = mountpoint + response_topic
        elif response_topic.startswith(mountpoint):
            response_topic = response_topic[cut:]
        properties = forwarded_properties(
            properties, properties.message_expiry_interval, NO_IDENTIFIERS
        )
        properties.response_topic = response_topic
    moved = Message(
        topic,
        topic_to_wire(topic),
        message.payload,
        message.qos,
        message.retain,
        properties,
        message.publisher,
        0.0,
    )
    moved.expires_at = message.expires_at
    moved.position = message.position
    moved.stamp = message.stamp
    return moved


def node_message(topic: str, payload: bytes, retain: bool, now: float) -> Message:
    """A QoS 0 message that the node itself publishes."""
    return Message(topic, topic_to_wire(topic), payload, 0, retain, None, "", now)


def forwarded_properties(
    source: Properties | None, expiry_seconds: int | None, identifiers: tuple[int, ...]
) -> Properties:
    """The properties of a PUBLISH to a client, made from those of the PUBLISH to the node.

    User properties keep their order. [MQTT-3.3.2-18] The expiry is what remains. [MQTT-3.3.2-6]
    """
    forwarded = Properties()
    if source is not None:
        forwarded.payload_format_indicator = source.payload_format_indicator
        forwarded.content_type = source.content_type
        forwarded.response_topic = source.response_topic
        forwarded.correlation_data = source.correlation_data
        forwarded.user_properties = source.user_properties
    forwarded.message_expiry_interval = expiry_seconds
    forwarded.subscription_identifiers = list(identifiers)
    return forwarded


@final
@mypyc_attr(acyclic=True)
class Delivery:
    """One way a message is delivered, shared by all recipients it is the same for."""

    def __init__(
        self,
        message: Message,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...],
        share: str,
        position: int = 0,
    ) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers
        self.share = share
        """The shared subscription it came by (``$share/group/filter``), else empty."""
        self.position = position
        """The place in the message log that the recipient is owed; 0 when nothing keeps it.

        Negative where it is owed apart from what the session's cursor counts: a retained message that is
        sent because of a subscription lies before that.
        """
        self._head_3: bytes = b""
        self._tail_3: bytes = b""
        self._head_5: bytes = b""
        self._tail_5: bytes = b""
        self._unmounted: Delivery | None = None
        """The same for clients below the mountpoint that was last asked for."""
        self._unmounted_from: str = ""

    def unmounted(self, mountpoint: str) -> Delivery:
        """The same delivery as clients below a mountpoint see it."""
        delivery = self._unmounted
        if delivery is None or self._unmounted_from != mountpoint:
            message = unmounted_message(self.message, mountpoint)
            delivery = Delivery(
                message, self.qos, self.retain, self.identifiers, self.share, self.position
            )
            self._unmounted = delivery
            self._unmounted_from = mountpoint
        return delivery

    def write(self, link: Link, packet_id: int, now: float) -> bool:
        """Append the PUBLISH to the link's output; False when it is too large for the client."""
        if link.mountpoint:
            return self.unmounted(link.mountpoint).write_as_it_is(link, packet_id, now)
        return self.write_as_it_is(link, packet_id, now)

    def write_as_it_is(self, link: Link, packet_id: int, now: float) -> bool:
        """``write`` for a link that sees the topic name as it is."""
        if link.version == V5:
            if (
                self.message.expires_at is not None
                or link.topic_aliases_out_max > 0
                or link.packet_bytes_out_max < PACKET_BYTES_LIMIT
            ):
                return link.send(self.publish(packet_id, False, now))
            head = self._head_5
            if not head:
                head = self._encode_5()
            tail = self._tail_5
        else:
            head = self._head_3
            if not head:
                head = self._encode_3()
            tail = self._tail_3
        out = link.out
        out.append(head)
        if packet_id:
            out.append(PACKET_ID_WIRE[packet_id])
            out.append(tail)
            link.out_bytes += len(head) + len(tail) + 2
        else:
            link.out_bytes += len(head)
        return True

    def write_again(self, link: Link, packet_id: int, now: float) -> bool:
        """Like ``write``, for a resend after the client came back: DUP is set. [MQTT-3.3.1-1]"""
        delivery = self.unmounted(link.mountpoint) if link.mountpoint else self
        return link.send(delivery.publish(packet_id, True, now))

    def publish(self, packet_id: int, dup: bool, now: float) -> Publish:
        """The PUBLISH as a value, its expiry counted down to ``now``. [MQTT-3.3.2-6]"""
        message = self.message
        remaining: int | None = None
        if message.expires_at is not None:
            remaining = max(int(message.expires_at - now), 1)
        properties: Properties | None = None
        if message.properties is not None or self.identifiers:
            properties = forwarded_properties(message.properties, remaining, self.identifiers)
        return Publish(
            message.topic,
            message.topic_wire,
            message.payload,
            self.qos,
            self.retain,
            dup,
            packet_id,
            properties,
        )

    def _properties_wire(self) -> bytes:
        properties = self.message.properties
        if self.identifiers:
            properties = forwarded_properties(properties, None, self.identifiers)
        if properties is None:
            return b"\0"
        return encode_properties(PUBLISH, properties)

    def _flags(self) -> int:
        return (self.qos << 1) | (1 if self.retain else 0)

    def _encode_3(self) -> bytes:
        message = self.message
        topic_wire = message.topic_wire
        payload = message.payload
        if self.qos:
            head = publish_head(self._flags(), len(topic_wire) + 2 + len(payload)) + topic_wire
            self._tail_3 = payload
        else:
            head = publish_head(self._flags(), len(topic_wire) + len(payload))
            head = head + topic_wire + payload
        self._head_3 = head
        return head

    def _encode_5(self) -> bytes:
        message = self.message
        topic_wire = message.topic_wire
        properties = self._properties_wire()
        remaining = len(topic_wire) + len(properties) + len(message.payload)
        if self.qos:
            head = publish_head(self._flags(), remaining + 2) + topic_wire
            self._tail_5 = properties + message.payload
        else:
            head = publish_head(self._flags(), remaining)
            head = head + topic_wire + properties + message.payload
        self._head_5 = head
        return head
