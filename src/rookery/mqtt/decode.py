"""Decodes every packet but CONNECT and CONNACK (``decode_connect``) and PUBLISH (``link``).

``check_header`` refuses what the first byte alone shows to be wrong; ``read_packet`` reads the rest.
"""

from typing import Final

from rookery.mqtt.decode_connect import read_connack
from rookery.mqtt.decode_properties import read_properties
from rookery.mqtt.errors import MalformedPacket, ProtocolViolation
from rookery.mqtt.packets import (
    Auth,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.reader import Reader
from rookery.mqtt.reasons import FROM_CLIENT, FROM_SERVER, SUBACK_FROM_3
from rookery.mqtt.topics import SHARE_PREFIX
from rookery.mqtt.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
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

_CLIENT_ONLY: Final = frozenset((CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ))
_SERVER_ONLY: Final = frozenset((CONNACK, SUBACK, UNSUBACK, PINGRESP))
_FLAGS_TWO: Final = frozenset((PUBREL, SUBSCRIBE, UNSUBSCRIBE))


def check_header(first: int, version: int, from_client: bool) -> None:
    """Refuse a packet other than PUBLISH by its first byte.

    Raises:
        MalformedPacket: no such packet type in this version, or wrong flags.
        ProtocolViolation: the sender is not the one who may send it.
    """
    packet_type = first >> 4
    if packet_type == 0 or (packet_type == AUTH and version != V5):
        raise MalformedPacket(f"packet type {packet_type} is reserved")
    flags = first & 15
    expected = 2 if packet_type in _FLAGS_TWO else 0
    if version == V3_1 and packet_type != CONNECT:
        # 3.1 uses the DUP bit where later versions reserve it, and leaves the other bits open
        # except for the QoS 1 of the three packets.
        flags = flags & 6 if expected == 2 else 0
    if flags != expected:  # [MQTT-2.1.3-1]
        raise MalformedPacket(f"flags {first & 15} on packet type {packet_type}")
    wrong_side = packet_type in (_SERVER_ONLY if from_client else _CLIENT_ONLY)
    if wrong_side or (packet_type == DISCONNECT and not from_client and version != V5):
        raise ProtocolViolation(f"packet type {packet_type} from the wrong side")


def read_packet(reader: Reader, packet_type: int, version: int, from_client: bool) -> Packet:
    """Read a packet that passed ``check_header``, to its end.

    Raises:
        PeerFault: it is not what the standard says.
    """
    packet = _read(reader, packet_type, version, from_client)
    reader.expect_end()
    return packet


def _read(reader: Reader, packet_type: int, version: int, from_client: bool) -> Packet:
    if PUBACK <= packet_type <= PUBCOMP:
        return _read_acknowledgement(reader, packet_type, version)
    if packet_type == SUBSCRIBE:
        return _read_subscribe(reader, version)
    if packet_type == UNSUBSCRIBE:
        return _read_unsubscribe(reader, version)
    if packet_type == PINGREQ:
        return PingReq()
    if packet_type == PINGRESP:
        return PingResp()
    if packet_type == DISCONNECT:
        return _read_disconnect(reader, version, from_client)
    if packet_type == SUBACK:
        return _read_suback(reader, version)
    if packet_type == UNSUBACK:
        return _read_unsuback(reader, version)
    if packet_type == CONNACK:
        return read_connack(reader, version)
    assert packet_type == AUTH
    return _read_auth(reader, from_client)


def _reason(code: int, codes: dict[int, ReasonCode]) -> ReasonCode:
    reason_code = codes.get(code)
    if reason_code is None:
        raise ProtocolViolation(f"reason code {code} does not belong to this packet")
    return reason_code


def _read_acknowledgement(reader: Reader, packet_type: int, version: int) -> Packet:
    packet_id = reader.packet_id()
    reason_code = ReasonCode.SUCCESS
    properties: Properties | None = None
    if version == V5 and reader.more():
        # [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
        reason_code = _reason(reader.u8(), FROM_CLIENT[packet_type])
        if reader.more():
            properties = read_properties(reader, packet_type)
    if packet_type == PUBACK:
        return PubAck(packet_id, reason_code, properties)
    if packet_type == PUBREC:
        return PubRec(packet_id, reason_code, properties)
    if packet_type == PUBREL:
        return PubRel(packet_id, reason_code, properties)
    return PubComp(packet_id, reason_code, properties)


def _read_filter(reader: Reader) -> str:
    topic_filter = reader.text()  # [MQTT-3.8.3-1] [MQTT-3.10.3-1]
    if topic_filter == "":  # [MQTT-4.7.3-1]
        raise ProtocolViolation("an empty topic filter")
    return topic_filter


def _read_subscribe(reader: Reader, version: int) -> Subscribe:
    packet_id = reader.packet_id()
    properties = read_properties(reader, SUBSCRIBE) if version == V5 else None
    requests: list[SubscriptionRequest] = []
    while reader.more():
        topic_filter = _read_filter(reader)
        requests.append(_request(topic_filter, reader.u8(), version))
    if not requests:  # [MQTT-3.8.3-2]
        raise ProtocolViolation("a SUBSCRIBE without a topic filter")
    return Subscribe(packet_id, requests, properties)


def _request(topic_filter: str, options: int, version: int) -> SubscriptionRequest:
    if version == V3_1:
        options &= 3  # 3.1 leaves the other bits open.
    qos_max = options & 3
    reserved = 0xC0 if version == V5 else 0xFC
    if qos_max == 3 or options & reserved:  # [MQTT-3.8.3-5]
        raise MalformedPacket("reserved bits in the subscription options")
    retain_handling = options >> 4 & 3
    if retain_handling == 3:
        raise ProtocolViolation("retain handling 3")
    no_local = options & 4 != 0
    if no_local and topic_filter.startswith(SHARE_PREFIX):  # [MQTT-3.8.3-4]
        raise ProtocolViolation("no local on a shared subscription")
    return SubscriptionRequest(topic_filter, qos_max, no_local, options & 8 != 0, retain_handling)


def _read_unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    packet_id = reader.packet_id()
    properties = read_properties(reader, UNSUBSCRIBE) if version == V5 else None
    topic_filters: list[str] = []
    while reader.more():
        topic_filters.append(_read_filter(reader))
    if not topic_filters:  # [MQTT-3.10.3-2]
        raise ProtocolViolation("an UNSUBSCRIBE without a topic filter")
    return Unsubscribe(packet_id, topic_filters, properties)


def _read_codes(reader: Reader, codes: dict[int, ReasonCode]) -> list[ReasonCode]:
    reason_codes: list[ReasonCode] = []
    while reader.more():
        reason_codes.append(_reason(reader.u8(), codes))
    if not reason_codes:
        raise ProtocolViolation("an acknowledgement without a reason code")
    return reason_codes


def _read_suback(reader: Reader, version: int) -> SubAck:
    packet_id = reader.packet_id()
    properties = read_properties(reader, SUBACK) if version == V5 else None
    codes = FROM_SERVER[SUBACK] if version == V5 else SUBACK_FROM_3
    return SubAck(packet_id, _read_codes(reader, codes), properties)


def _read_unsuback(reader: Reader, version: int) -> UnsubAck:
    packet_id = reader.packet_id()
    if version != V5:
        return UnsubAck(packet_id, [])
    properties = read_properties(reader, UNSUBACK)
    return UnsubAck(packet_id, _read_codes(reader, FROM_SERVER[UNSUBACK]), properties)


def _read_disconnect(reader: Reader, version: int, from_client: bool) -> Disconnect:
    if version != V5 or not reader.more():
        return Disconnect()
    codes = FROM_CLIENT if from_client else FROM_SERVER
    reason_code = _reason(reader.u8(), codes[DISCONNECT])  # [MQTT-3.14.2-1]
    properties = read_properties(reader, DISCONNECT) if reader.more() else None
    expiry = None if properties is None else properties.session_expiry_interval
    if expiry is not None and not from_client:  # [MQTT-3.14.2-2]
        raise ProtocolViolation("a session expiry interval from the server")
    return Disconnect(reason_code, properties)


def _read_auth(reader: Reader, from_client: bool) -> Auth:
    codes = (FROM_CLIENT if from_client else FROM_SERVER)[AUTH]
    if not reader.more():
        return Auth(_reason(0, codes))
    reason_code = _reason(reader.u8(), codes)  # [MQTT-3.15.2-1]
    properties = read_properties(reader, AUTH)
    if properties is None or properties.authentication_method is None:
        raise ProtocolViolation("an AUTH without an authentication method")
    return Auth(reason_code, properties)
