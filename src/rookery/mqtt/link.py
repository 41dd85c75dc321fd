"""One network connection's codec: bytes in, packets out, and packets in, bytes out. No I/O.

``receive`` takes whatever the network gave and returns every packet that is whole by then; the
beginning of the next one is held back, once, until the rest has come. When the stream breaks a rule
``fault`` says which; the packets before it are still returned, and nothing after it ever is.

The loop in ``_decode`` is the hottest code of the program: it indexes into the bytes as received,
and a PUBLISH costs two slices, one look-up and two objects.
"""

from typing import Final, final

from mypy_extensions import i64

from rookery.mqtt.decode import check_header, read_packet
from rookery.mqtt.decode_connect import read_connect, read_protocol
from rookery.mqtt.decode_properties import read_properties
from rookery.mqtt.encode import encode_packet, encode_publish
from rookery.mqtt.errors import MalformedPacket, PeerFault, ProtocolViolation, untraced
from rookery.mqtt.known_topics import KNOWN_TOPICS, NO_TOPIC, TopicName, learn_topic
from rookery.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.reader import Reader, cut_short
from rookery.mqtt.types import (
    AUTH,
    CONNACK,
    CONNECT,
    PACKET_BYTES_LIMIT,
    PUBLISH,
    V3_1,
    V5,
    ReasonCode,
)

SERVER: Final = 0
"""This side is the server; the peer is a client."""
CLIENT: Final = 1
"""This side is the client."""

_SUCCESS: Final = ReasonCode.SUCCESS
_ALIAS_ONLY_BYTES: Final = 4
"""What the properties of a PUBLISH take when there is nothing but a topic alias."""


@final
class Link:
    """The codec state of one network connection, for either role."""

    def __init__(
        self, role: int, packet_bytes_max: int, topic_aliases_in_max: int, version: int = 0
    ) -> None:
        """``packet_bytes_max`` and ``topic_aliases_in_max`` bound what the peer may send.

        ``version`` is 0 for a server, which learns it from the CONNECT.
        """
        self.role = role
        self.version = version
        self.packet_bytes_max = packet_bytes_max
        self.topic_aliases_in_max = topic_aliases_in_max
        self.fault: PeerFault | None = None
        self.out: list[bytes] = []
        """The output batch; hot code appends to it and adds to ``out_bytes``."""
        self.out_bytes = 0
        self.packet_bytes_out_max = PACKET_BYTES_LIMIT
        """The peer's maximum packet size. [MQTT-3.1.2-24]"""
        self.topic_aliases_out_max = 0
        self.mountpoint = ""
        """What its owner puts before topic names, and the peer must not see."""
        self.stepwise = False
        """Whether it decodes no more behind a packet that is no PUBLISH, until ``go_on``."""
        self.stopped = False
        """Whether that is so now."""
        self._last_topic = NO_TOPIC
        """That of the last PUBLISH, which the next one often has again."""
        self._established = False
        self._held: bytearray | None = None
        self._needed_bytes = 0
        self._aliases_in: dict[int, TopicName] | None = None
        self._aliases_out: dict[bytes, int] | None = None

    def receive(self, data: bytes) -> list[Packet]:
        """Take bytes from the network; return the packets that became whole.

        Never raises for what the peer sent: ``fault`` is set instead.
        """
        packets: list[Packet] = []
        if self.fault is not None:
            return packets
        held = self._held
        if self.stopped:
            if held is None:
                self._held = bytearray(data)
            else:
                held += data
            return packets
        if held is not None:
            held += data
            if len(held) < self._needed_bytes:
                return packets
            data = bytes(held)
            self._held = None
        try:
            stopped = self._decode(data, packets)
        except PeerFault as fault:
            self.fault = untraced(fault)
            return packets
        if stopped < len(data):
            self._held = bytearray(data[stopped:])
        return packets

    def go_on(self) -> list[Packet]:
        """Decode what stands behind the last packet."""
        self.stopped = False
        return self.receive(b"")

    def take_rest(self) -> bytes:
        """What came and was not decoded: somebody else does that."""
        held = self._held
        self._held = None
        return b"" if held is None else bytes(held)

    def establish(self, version: int) -> None:
        """Begin behind the CONNECT, which somebody else has decoded."""
        self.version = version
        self._established = True

    def _decode(self, data: bytes, packets: list[Packet]) -> int:
        """Append every whole packet; return where the first that is not whole begins."""
        at: i64 = 0
        end: i64 = len(data)
        packet_bytes_max: i64 = self.packet_bytes_max
        while end - at >= 2:
            first: i64 = data[at]
            remaining: i64 = data[at + 1]
            body: i64 = at + 2
            if not self._established:
                self._check_greeting(first)
            if remaining >= 0x80:
                body = _header_end(data, at, end)
                if body == 0:
                    self._needed_bytes = end - at + 1
                    return at
                remaining = _remaining(data, at + 1, body)
            stop: i64 = body + remaining
            if stop - at > packet_bytes_max:  # [MQTT-3.2.2-15]
                raise ProtocolViolation("the packet is too large", ReasonCode.PACKET_TOO_LARGE)
            if stop > end:
                self._needed_bytes = stop - at
                return at
            if first >> 4 == PUBLISH:
                packets.append(self._publish(data, first, body, stop))
            elif remaining == 2 and (
                first == 0x40 or first == 0x50 or first == 0x62 or first == 0x70
            ):
                packets.append(_short_acknowledgement(data, first, body))
            else:
                packets.append(self._other(data, first, body, stop))
                if self.stepwise:
                    self.stopped = True
                    at = stop
                    break
            at = stop
        self._needed_bytes = 2
        return at

    def _check_greeting(self, first: i64) -> None:
        """Before the connection is made only CONNECT, CONNACK and AUTH have a place."""
        packet_type = first >> 4
        if self.role == SERVER:
            fits = packet_type == CONNECT  # [MQTT-3.1.0-1]
        else:
            fits = packet_type == CONNACK or (packet_type == AUTH and self.version == V5)
        if not fits:
            raise ProtocolViolation("the first packet is not the one that opens a connection")
        check_header(first, self.version, self.role == SERVER)

    def _publish(self, data: bytes, first: i64, body: i64, stop: i64) -> Publish:
        at: i64 = body + 2
        if at > stop:
            raise cut_short()
        at += data[body] << 8 | data[body + 1]
        if at > stop:
            raise cut_short()
        wire = data[body:at]
        topic = self._last_topic
        if wire != topic.wire:
            known = KNOWN_TOPICS.get(wire)
            topic = learn_topic(wire) if known is None else known
            self._last_topic = topic
        qos: i64 = first >> 1 & 3
        packet_id: i64 = 0
        if qos != 0:
            packet_id = _publish_packet_id(data, qos, at, stop)
            at += 2
        elif first & 8 != 0:
            first = self._without_dup(first)
        properties: Properties | None = None
        if self.version == V5:
            if at >= stop:
                raise cut_short()
            if data[at] == 0:
                at += 1
            else:
                reader = Reader(data, at, stop)
                properties = self._publish_properties(reader)
                if properties is not None and properties.topic_alias is not None:
                    topic = self._resolve_alias(topic, properties.topic_alias)
                    properties.topic_alias = None
                    if reader.at - at == _ALIAS_ONLY_BYTES:
                        properties = None
                at = reader.at
        if topic is NO_TOPIC:  # [MQTT-4.7.3-1]
            raise ProtocolViolation("an empty topic name without a topic alias")
        return Publish(
            topic.text,
            topic.wire,
            data[at:stop],
            qos,
            first & 1 != 0,
            first & 8 != 0,
            packet_id,
            properties,
        )

    def _without_dup(self, first: i64) -> i64:
        """The first byte of a QoS 0 PUBLISH with DUP, which means nothing in 3.1 and may not be."""
        if self.version != V3_1:  # [MQTT-3.3.1-2]
            raise MalformedPacket("DUP with QoS 0")
        return first & ~8

    def _publish_properties(self, reader: Reader) -> Properties | None:
        properties = read_properties(reader, PUBLISH)
        if self.role == SERVER and properties is not None and properties.subscription_identifiers:
            raise ProtocolViolation("a subscription identifier from a client")  # [MQTT-3.3.4-6]
        return properties

    def _resolve_alias(self, topic: TopicName, alias: int) -> TopicName:
        """Set or look up an inbound topic alias; never carried to another link. [MQTT-3.3.2-7]"""
        if alias == 0 or alias > self.topic_aliases_in_max:  # [MQTT-3.3.2-8] [MQTT-3.3.2-9]
            raise ProtocolViolation(f"topic alias {alias}", ReasonCode.TOPIC_ALIAS_INVALID)
        if self._aliases_in is None:
            self._aliases_in = {}
        if topic is not NO_TOPIC:
            self._aliases_in[alias] = topic
            return topic
        known = self._aliases_in.get(alias)
        if known is None:
            raise ProtocolViolation(f"topic alias {alias} stands for nothing yet")
        return known

    def _other(self, data: bytes, first: i64, body: i64, stop: i64) -> Packet:
        packet_type = first >> 4
        from_client = self.role == SERVER
        check_header(first, self.version, from_client)
        reader = Reader(data, body, stop)
        if packet_type == CONNECT:
            return self._connect(reader)
        if packet_type == CONNACK and self._established:  # [MQTT-3.2.0-2]
            raise ProtocolViolation("a second CONNACK")
        packet = read_packet(reader, packet_type, self.version, from_client)
        if packet_type == CONNACK:
            self._established = True
        return packet

    def _connect(self, reader: Reader) -> Connect:
        if self._established:  # [MQTT-3.1.0-2]
            raise ProtocolViolation("a second CONNECT")
        protocol = read_protocol(reader)
        self.version = protocol.version  # Known from here on, so that a refusal can be encoded.
        if not protocol.supported:  # [MQTT-3.1.2-2]
            raise ProtocolViolation(
                "unsupported protocol level", ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
            )
        packet = read_connect(reader, protocol.version)
        reader.expect_end()
        self._established = True
        return packet

    def open_output(self, packet_bytes_max: int, topic_aliases_max: int) -> None:
        """Take over what the peer's CONNECT or CONNACK allows to be sent."""
        self.packet_bytes_out_max = packet_bytes_max
        self.topic_aliases_out_max = topic_aliases_max

    def send(self, packet: Packet) -> bool:
        """Encode the packet and add it to the output.

        An acknowledgement too large for the peer goes without reason string and user properties;
        what is still too large is not sent, and the answer is ``False``. [MQTT-3.1.2-24]
        A DISCONNECT from a 3.x server has no form on the wire: it is dropped with ``True``.
        """
        if isinstance(packet, Publish):
            wire = self._encode_publish(packet)
        elif isinstance(packet, Disconnect) and self.role == SERVER and self.version != V5:
            return True
        else:
            wire = encode_packet(packet, self.version)
            if len(wire) > self.packet_bytes_out_max and not _application(packet):
                wire = encode_packet(packet, self.version, diagnostics=False)
        if len(wire) > self.packet_bytes_out_max:
            return False
        self.out.append(wire)
        self.out_bytes += len(wire)
        return True

    def _encode_publish(self, packet: Publish) -> bytes:
        """With a topic alias where the peer takes one: first come, until all are given away."""
        if self.topic_aliases_out_max == 0 or self.version != V5:  # [MQTT-3.1.2-27]
            return encode_publish(packet, self.version)
        aliases = self._aliases_out
        if aliases is None:
            aliases = self._aliases_out = {}
        alias = aliases.get(packet.topic_wire)
        if alias is not None:
            return encode_publish(packet, V5, alias, known=True)
        if len(aliases) < self.topic_aliases_out_max:  # [MQTT-3.1.2-26]
            alias = len(aliases) + 1
            wire = encode_publish(packet, V5, alias)
            if len(wire) <= self.packet_bytes_out_max:
                aliases[packet.topic_wire] = alias
                return wire
        return encode_publish(packet, V5)

    def take_output(self) -> bytes:
        """All that was sent since the last time, as one piece."""
        data = b"".join(self.out)
        self.out.clear()
        self.out_bytes = 0
        return data


def _header_end(data: bytes, at: i64, end: i64) -> i64:
    """Where a fixed header with a long remaining length ends; 0 when that is not there yet."""
    body: i64 = at + 2
    while body < end and body < at + 5:
        if data[body] < 0x80:
            return body + 1
        body += 1
    if body == at + 5:
        raise MalformedPacket("a remaining length of more than four bytes")
    return 0


def _remaining(data: bytes, at: i64, end: i64) -> i64:
    """The remaining length that lies between ``at`` and ``end``, more than one byte of it."""
    if data[end - 1] == 0:  # [MQTT-1.5.5-1]
        raise MalformedPacket("a remaining length longer than it need be")
    value: i64 = 0
    while end > at:
        end -= 1
        value = value << 7 | data[end] & 0x7F
    return value


def _publish_packet_id(data: bytes, qos: i64, at: i64, stop: i64) -> i64:
    if qos == 3:  # [MQTT-3.3.1-4]
        raise MalformedPacket("QoS 3")
    if stop - at < 2:
        raise cut_short()
    packet_id: i64 = data[at] << 8 | data[at + 1]
    if packet_id == 0:  # [MQTT-2.2.1-3]
        raise ProtocolViolation("packet identifier 0")
    return packet_id


def _short_acknowledgement(data: bytes, first: i64, body: i64) -> Packet:
    """PUBACK, PUBREC, PUBREL or PUBCOMP in the form of four bytes, which says success."""
    packet_id: i64 = data[body] << 8 | data[body + 1]
    if packet_id == 0:  # [MQTT-2.2.1-5]
        raise ProtocolViolation("packet identifier 0")
    if first == 0x40:
        return PubAck(packet_id, _SUCCESS, None)
    if first == 0x50:
        return PubRec(packet_id, _SUCCESS, None)
    if first == 0x62:
        return PubRel(packet_id, _SUCCESS, None)
    return PubComp(packet_id, _SUCCESS, None)


def _application(packet: Packet) -> bool:
    """Whether the packet's user properties are the application's own and may not be left out."""
    return isinstance(packet, (Connect, Subscribe, Unsubscribe))
