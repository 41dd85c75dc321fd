"""Encodes packets for 3.1, 3.1.1 and 5.0; what a version lacks is left out or mapped.

A value that cannot be encoded (a packet identifier of 70,000, a string of 100,000 bytes) is our own
fault and raises ``ValueError`` or ``IndexError``, never a ``PeerFault``.
"""

from typing import Final

from rookery.mqtt.encode_properties import encode_properties, encode_property_body
from rookery.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from rookery.mqtt.properties import WILL, Properties
from rookery.mqtt.reasons import connack_code_3, suback_code_3
from rookery.mqtt.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    V3_1,
    V5,
    ReasonCode,
)
from rookery.mqtt.wire import (
    PACKET_ID_WIRE,
    encode_binary,
    encode_text,
    encode_variable,
    puback_wire,
    pubcomp_wire,
    publish_head,
    pubrec_wire,
    pubrel_wire,
    topic_to_wire,
)

__all__ = [
    "PACKET_ID_WIRE",
    "encode_packet",
    "encode_properties",
    "encode_publish",
    "encode_variable",
    "puback_wire",
    "pubcomp_wire",
    "publish_head",
    "pubrec_wire",
    "pubrel_wire",
    "topic_to_wire",
]

_PINGREQ: Final = b"\xc0\0"
_PINGRESP: Final = b"\xd0\0"
_NO_TOPIC: Final = b"\0\0"


def encode_packet(packet: Packet, version: int, diagnostics: bool = True) -> bytes:
    """The packet's bytes in this version.

    Without ``diagnostics`` an acknowledgement, CONNACK, DISCONNECT or AUTH goes without reason
    string and user properties.
    """
    if isinstance(packet, Publish):
        return encode_publish(packet, version)
    if isinstance(packet, PubAck):
        if packet.reason_code == 0 and packet.properties is None:
            return puback_wire(packet.packet_id)
        return _acknowledgement(
            PUBACK, packet.packet_id, packet.reason_code, packet.properties, version, diagnostics
        )
    if isinstance(packet, PubRec):
        if packet.reason_code == 0 and packet.properties is None:
            return pubrec_wire(packet.packet_id)
        return _acknowledgement(
            PUBREC, packet.packet_id, packet.reason_code, packet.properties, version, diagnostics
        )
    if isinstance(packet, PubRel):
        if packet.reason_code == 0 and packet.properties is None:
            return pubrel_wire(packet.packet_id)
        return _acknowledgement(
            PUBREL, packet.packet_id, packet.reason_code, packet.properties, version, diagnostics
        )
    if isinstance(packet, PubComp):
        if packet.reason_code == 0 and packet.properties is None:
            return pubcomp_wire(packet.packet_id)
        return _acknowledgement(
            PUBCOMP, packet.packet_id, packet.reason_code, packet.properties, version, diagnostics
        )
    return _encode_rare(packet, version, diagnostics)


def _encode_rare(packet: Packet, version: int, diagnostics: bool) -> bytes:
    if isinstance(packet, PingReq):
        return _PINGREQ
    if isinstance(packet, PingResp):
        return _PINGRESP
    if isinstance(packet, Connect):
        return _connect(packet)
    if isinstance(packet, ConnAck):
        return _connack(packet, version, diagnostics)
    if isinstance(packet, Subscribe):
        return _subscribe(packet, version)
    if isinstance(packet, SubAck):
        return _suback(packet, version, diagnostics)
    if isinstance(packet, Unsubscribe):
        return _unsubscribe(packet, version)
    if isinstance(packet, UnsubAck):
        return _unsuback(packet, version, diagnostics)
    if isinstance(packet, Disconnect):
        return _last_words(DISCONNECT, packet.reason_code, packet.properties, version, diagnostics)
    assert isinstance(packet, Auth) and version == V5
    return _last_words(AUTH, packet.reason_code, packet.properties, version, diagnostics)


def encode_publish(packet: Publish, version: int, alias: int = 0, known: bool = False) -> bytes:
    """A PUBLISH, with a topic alias when ``alias`` is not 0 (5.0 only).

    ``known`` says that the peer has the alias, so the topic name itself is left out.
    """
    topic_wire = _NO_TOPIC if known else packet.topic_wire
    packet_id = PACKET_ID_WIRE[packet.packet_id] if packet.qos else b""
    properties = b""
    if version == V5:
        if alias == 0:
            properties = encode_properties(PUBLISH, packet.properties)
        else:
            properties = _properties_with_alias(packet.properties, alias)
    flags = (8 if packet.dup else 0) | packet.qos << 1 | (1 if packet.retain else 0)
    remaining = len(topic_wire) + len(packet_id) + len(properties) + len(packet.payload)
    head = publish_head(flags, remaining)
    return b"".join((head, topic_wire, packet_id, properties, packet.payload))


def _properties_with_alias(properties: Properties | None, alias: int) -> bytes:
    body = b"\x23" + PACKET_ID_WIRE[alias]
    if properties is not None:
        body += encode_property_body(PUBLISH, properties)
    return encode_variable(len(body)) + body


def _whole(first: int, body: bytes) -> bytes:
    return bytes((first,)) + encode_variable(len(body)) + body


def _acknowledgement(
    packet_type: int,
    packet_id: int,
    reason_code: ReasonCode,
    properties: Properties | None,
    version: int,
    diagnostics: bool,
) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP; 3.x has neither reason codes nor properties."""
    body = PACKET_ID_WIRE[packet_id]
    if version == V5:
        wire = encode_properties(packet_type, properties, diagnostics)
        if wire != b"\0":
            body += bytes((reason_code,)) + wire
        elif reason_code != 0:
            body += bytes((reason_code,))
    return _whole(packet_type << 4 | (2 if packet_type == PUBREL else 0), body)


def _last_words(
    packet_type: int,
    reason_code: ReasonCode,
    properties: Properties | None,
    version: int,
    diagnostics: bool,
) -> bytes:
    """DISCONNECT or AUTH, which share their form; 3.x knows an empty DISCONNECT only."""
    body = b""
    if version == V5:
        wire = encode_properties(packet_type, properties, diagnostics)
        if wire != b"\0" or reason_code != 0:
            body = bytes((reason_code,)) + wire
    return _whole(packet_type << 4, body)


def _connect(packet: Connect) -> bytes:
    version = packet.version
    will = packet.will
    flags = 0x02 if packet.clean_start else 0
    if will is not None:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
    if packet.username is not None:
        flags |= 0x80
    if packet.password is not None:
        flags |= 0x40
    name = b"\0\6MQIsdp" if version == V3_1 else b"\0\4MQTT"
    parts = [name, bytes((version, flags)), PACKET_ID_WIRE[packet.keep_alive_seconds]]
    if version == V5:
        parts.append(encode_properties(CONNECT, packet.properties))
    parts.append(encode_text(packet.client_id))
    if will is not None:
        if version == V5:
            parts.append(encode_properties(WILL, will.properties))
        parts.append(encode_text(will.topic))
        parts.append(encode_binary(will.payload))
    if packet.username is not None:
        parts.append(encode_text(packet.username))
    if packet.password is not None:
        parts.append(encode_binary(packet.password))
    return _whole(CONNECT << 4, b"".join(parts))


def _connack(packet: ConnAck, version: int, diagnostics: bool) -> bytes:
    session_present = 1 if packet.session_present else 0
    if version == V5:
        wire = encode_properties(CONNACK, packet.properties, diagnostics)
        return _whole(CONNACK << 4, bytes((session_present, packet.reason_code)) + wire)
    if version == V3_1:
        session_present = 0  # 3.1 reserves the byte.
    return bytes((CONNACK << 4, 2, session_present, connack_code_3(packet.reason_code)))


def _subscribe(packet: Subscribe, version: int) -> bytes:
    parts = [PACKET_ID_WIRE[packet.packet_id]]
    if version == V5:
        parts.append(encode_properties(SUBSCRIBE, packet.properties))
    for request in packet.requests:
        options = request.qos_max
        if version == V5:
            options |= (4 if request.no_local else 0) | (8 if request.retain_as_published else 0)
            options |= request.retain_handling << 4
        parts.append(encode_text(request.topic_filter))
        parts.append(bytes((options,)))
    return _whole(SUBSCRIBE << 4 | 2, b"".join(parts))


def _suback(packet: SubAck, version: int, diagnostics: bool) -> bytes:
    body = PACKET_ID_WIRE[packet.packet_id]
    if version == V5:
        body += encode_properties(SUBACK, packet.properties, diagnostics)
        body += bytes(packet.reason_codes)  # [MQTT-3.9.3-1]
    else:
        body += bytes([suback_code_3(code) for code in packet.reason_codes])
    return _whole(SUBACK << 4, body)


def _unsubscribe(packet: Unsubscribe, version: int) -> bytes:
    parts = [PACKET_ID_WIRE[packet.packet_id]]
    if version == V5:
        parts.append(encode_properties(UNSUBSCRIBE, packet.properties))
    parts += [encode_text(topic_filter) for topic_filter in packet.topic_filters]
    return _whole(UNSUBSCRIBE << 4 | 2, b"".join(parts))


def _unsuback(packet: UnsubAck, version: int, diagnostics: bool) -> bytes:
    body = PACKET_ID_WIRE[packet.packet_id]
    if version == V5:
        body += encode_properties(UNSUBACK, packet.properties, diagnostics)
        body += bytes(packet.reason_codes)  # [MQTT-3.11.3-1]
    return _whole(UNSUBACK << 4, body)
