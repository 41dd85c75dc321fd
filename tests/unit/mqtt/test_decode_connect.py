"""CONNECT and CONNACK, piece by piece. The vectors hold their many cases."""

import pytest

from rookery.mqtt.decode_connect import read_connack, read_connect, read_protocol
from rookery.mqtt.errors import MalformedPacket, ProtocolViolation
from rookery.mqtt.reader import Reader
from rookery.mqtt.types import V3_1, V3_1_1, V5, ReasonCode
from tests.support.packets import describe


def reader(text: str) -> Reader:
    data = bytes.fromhex(text)
    return Reader(data, 0, len(data))


@pytest.mark.parametrize(
    ("name", "level", "version", "supported"),
    [
        ("MQIsdp", 3, V3_1, True),
        ("MQTT", 4, V3_1_1, True),
        ("MQTT", 5, V5, True),
        ("MQIsdp", 4, V3_1_1, False),
        ("MQIsdp", 5, V3_1_1, False),
        ("MQTT", 3, V3_1_1, False),
        ("MQTT", 6, V3_1_1, False),
        ("MQTT", 0, V3_1_1, False),
        ("MQTT", 0x84, V3_1_1, False),
        ("MQTT", 0x85, V3_1_1, False),
    ],
)
def test_protocol(name, level, version, supported):
    data = len(name).to_bytes(2, "big") + name.encode() + bytes((level,))
    protocol = read_protocol(Reader(data, 0, len(data)))
    assert (protocol.version, protocol.supported) == (version, supported)


def test_another_protocol_is_malformed():
    with pytest.raises(MalformedPacket, match="not MQTT"):
        read_protocol(reader("0004 4d515458 04"))


def test_connect_stops_after_its_last_field():
    rest = reader("02 003c 0001 61 ff")
    assert describe(read_connect(rest, V3_1_1)) == {
        "type": "Connect",
        "client_id": "a",
        "version": V3_1_1,
        "clean_start": True,
        "keep_alive_seconds": 60,
    }
    assert rest.at == 6


def test_a_password_alone_is_for_5_only():
    with pytest.raises(MalformedPacket, match="user name"):
        read_connect(reader("42 0000 0001 61 0001 70"), V3_1_1)
    assert read_connect(reader("42 0000 00 0001 61 0001 70"), V5).password == b"p"


def test_3_1_may_leave_out_what_a_flag_announces():
    packet = read_connect(reader("c2 0000 0001 61"), V3_1)
    assert (packet.username, packet.password) == (None, None)
    with pytest.raises(MalformedPacket, match="shorter"):
        read_connect(reader("c2 0000 0001 61"), V3_1_1)


def test_a_will_topic_is_a_topic_name():
    with pytest.raises(ProtocolViolation) as raised:
        read_connect(reader("06 0000 0001 61 0001 23 0000"), V3_1_1)
    assert raised.value.reason_code is ReasonCode.TOPIC_NAME_INVALID


def test_connack():
    assert describe(read_connack(reader("01 00"), V3_1_1)) == {
        "type": "ConnAck",
        "session_present": True,
    }
    assert read_connack(reader("00 05"), V3_1).reason_code is ReasonCode.NOT_AUTHORIZED
    assert read_connack(reader("00 8a 00"), V5).reason_code is ReasonCode.BANNED


def test_connack_refuses_reserved_flags_and_unknown_codes():
    with pytest.raises(MalformedPacket, match="reserved"):
        read_connack(reader("02 00"), V3_1_1)
    with pytest.raises(ProtocolViolation, match="reason code 6"):
        read_connack(reader("00 06"), V3_1_1)
    with pytest.raises(ProtocolViolation, match="session present"):
        read_connack(reader("01 03"), V3_1_1)
