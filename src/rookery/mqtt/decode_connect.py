"""Decodes CONNECT and CONNACK. (MQTT 5.0, 3.1 and 3.2; MQTT 3.1.1, the same)"""

from typing import Final

from rookery.mqtt.decode_properties import read_properties
from rookery.mqtt.errors import MalformedPacket, ProtocolViolation
from rookery.mqtt.packets import ConnAck, Connect, Will
from rookery.mqtt.properties import WILL
from rookery.mqtt.reader import Reader
from rookery.mqtt.reasons import CONNACK_FROM_3, FROM_SERVER
from rookery.mqtt.topics import validate_topic_name
from rookery.mqtt.types import CONNACK, CONNECT, V3_1, V3_1_1, V5, ReasonCode

_NAMES: Final = {b"MQIsdp": (V3_1,), b"MQTT": (V3_1_1, V5)}

_CLEAN_START: Final = 0x02
_WILL_FLAG: Final = 0x04
_WILL_RETAIN: Final = 0x20
_PASSWORD: Final = 0x40
_USERNAME: Final = 0x80


class Protocol:
    """What a CONNECT says first. ``version`` is the one to answer in where it is not supported."""

    def __init__(self, version: int, supported: bool) -> None:
        self.version = version
        self.supported = supported


def read_protocol(reader: Reader) -> Protocol:
    """Read the protocol name and level.

    Raises:
        MalformedPacket: this is not MQTT at all. [MQTT-3.1.2-1]
    """
    levels = _NAMES.get(reader.binary())
    if levels is None:
        raise MalformedPacket("the protocol name is not MQTT")
    level = reader.u8()
    if level in levels:
        return Protocol(level, True)
    # [MQTT-3.1.2-2] Any other level is refused in the form of 3.1.1, which must be sent; that of
    # 5.0 only may be.
    return Protocol(V3_1_1, False)


def read_connect(reader: Reader, version: int) -> Connect:
    """Read what follows the protocol level of a CONNECT."""
    flags = reader.u8()
    _check_flags(flags, version)
    keep_alive_seconds = reader.u16()
    properties = read_properties(reader, CONNECT) if version == V5 else None
    client_id = reader.text()  # [MQTT-3.1.3-3] [MQTT-3.1.3-4]
    will = _read_will(reader, flags, version) if flags & _WILL_FLAG else None
    username = reader.text() if _present(reader, flags & _USERNAME, version) else None
    password = reader.binary() if _present(reader, flags & _PASSWORD, version) else None
    return Connect(
        client_id,
        version,
        flags & _CLEAN_START != 0,
        keep_alive_seconds,
        username,
        password,
        will,
        properties,
    )


def _check_flags(flags: int, version: int) -> None:
    will_qos = flags >> 3 & 3
    if will_qos == 3:  # [MQTT-3.1.2-12]
        raise MalformedPacket("will QoS 3")
    if flags & _PASSWORD and not flags & _USERNAME and version != V5:  # 3.1.1: [MQTT-3.1.2-22]
        raise MalformedPacket("a password without a user name")
    if version == V3_1:
        return  # 3.1 leaves the other bits undefined.
    if flags & 1:  # [MQTT-3.1.2-3]
        raise MalformedPacket("the reserved connect flag is set")
    if not flags & _WILL_FLAG and (will_qos or flags & _WILL_RETAIN):
        raise MalformedPacket("will QoS or will retain without a will")  # [MQTT-3.1.2-11]


def _present(reader: Reader, flag: int, version: int) -> bool:
    """Whether a user name or password follows; in 3.1 the packet's end outranks the flag."""
    return flag != 0 and (version != V3_1 or reader.more())


def _read_will(reader: Reader, flags: int, version: int) -> Will:
    properties = read_properties(reader, WILL) if version == V5 else None
    topic = reader.text()  # [MQTT-3.1.3-11]
    if not validate_topic_name(topic):
        raise ProtocolViolation("the will topic is no topic name", ReasonCode.TOPIC_NAME_INVALID)
    payload = reader.binary()
    return Will(topic, payload, flags >> 3 & 3, flags & _WILL_RETAIN != 0, properties)


def read_connack(reader: Reader, version: int) -> ConnAck:
    """Read a CONNACK."""
    flags = reader.u8()
    code = reader.u8()
    if version == V3_1:
        flags = 0  # 3.1 reserves the whole byte.
    if flags > 1:  # [MQTT-3.2.2-1]
        raise MalformedPacket("a reserved connect acknowledge flag is set")
    codes = FROM_SERVER[CONNACK] if version == V5 else CONNACK_FROM_3
    reason_code = codes.get(code)
    if reason_code is None:  # [MQTT-3.2.2-8]
        raise ProtocolViolation(f"reason code {code} in a CONNACK")
    if flags == 1 and code != 0:  # [MQTT-3.2.2-6]
        raise ProtocolViolation("session present in a refusal")
    properties = read_properties(reader, CONNACK) if version == V5 else None
    return ConnAck(reason_code, flags == 1, properties)
