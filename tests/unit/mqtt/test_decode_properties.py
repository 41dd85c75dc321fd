"""Properties are read by the table; every row of it in every packet, right and wrong."""

import itertools

import pytest

from rookery.mqtt.decode_properties import read_properties
from rookery.mqtt.errors import MalformedPacket, ProtocolViolation
from rookery.mqtt.properties import (
    BINARY,
    BYTE,
    PROPERTIES,
    TEXT,
    TEXT_PAIR,
    U16,
    U32,
    VARIABLE,
    WILL,
)
from rookery.mqtt.reader import Reader
from rookery.mqtt.types import CONNECT, PUBLISH, SUBSCRIBE
from tests.support.packets import describe_properties

SAMPLE = {
    BYTE: b"\x01",
    U16: b"\0\x05",
    U32: b"\0\0\0\x05",
    VARIABLE: b"\x05",
    TEXT: b"\0\x01t",
    BINARY: b"\0\x01b",
    TEXT_PAIR: b"\0\x01n\0\x01v",
}
METHOD = b"\x15\0\x01m"
WIDTH = {BYTE: 1, U16: 2, U32: 4, VARIABLE: 1}
ROWS = sorted(PROPERTIES.items())
NUMBERS = [row for _, row in ROWS if row.kind in WIDTH]


def read(body: bytes, packet_type: int) -> dict[str, object] | None:
    properties = read_properties(Reader(bytes((len(body),)) + body, 0, 1 + len(body)), packet_type)
    return None if properties is None else describe_properties(properties)


@pytest.mark.parametrize(("identifier", "row"), ROWS, ids=[row.name for _, row in ROWS])
@pytest.mark.parametrize("packet_type", range(1, WILL + 1))
def test_every_property_in_every_packet(identifier, row, packet_type):
    body = bytes((identifier,)) + SAMPLE[row.kind]
    if row.name == "authentication_data" and packet_type in row.packets:
        body = METHOD + body
    if packet_type in row.packets:
        assert row.name in read(body, packet_type)
    else:
        with pytest.raises(MalformedPacket):
            read(body, packet_type)


@pytest.mark.parametrize("row", PROPERTIES.values(), ids=lambda row: row.name)
def test_every_property_twice(row):
    packet_type = max(row.packets)
    body = (bytes((row.identifier,)) + SAMPLE[row.kind]) * 2
    if row.kind == TEXT_PAIR:
        assert read(body, packet_type) == {"user_properties": [["n", "v"], ["n", "v"]]}
    else:
        with pytest.raises(ProtocolViolation, match="twice"):
            read(body, packet_type)


def test_every_pair_of_properties_is_two_properties():
    """In both orders: what was seen of one must not be taken for the other."""
    for packet_type in range(1, WILL + 1):
        rows = [row for _, row in ROWS if packet_type in row.packets]
        for one, other in itertools.permutations(rows, 2):
            both = [bytes((row.identifier,)) + SAMPLE[row.kind] for row in (one, other)]
            method = METHOD if "authentication_data" in (one.name, other.name) else b""
            if "authentication_method" in (one.name, other.name):
                method = b""
            assert {one.name, other.name} <= set(read(b"".join(both) + method, packet_type))


def test_subscription_identifiers_may_repeat_in_a_publish():
    assert read(b"\x0b\x05\x0b\x05", PUBLISH) == {"subscription_identifiers": [5, 5]}
    with pytest.raises(ProtocolViolation, match="twice"):
        read(b"\x0b\x05\x0b\x05", SUBSCRIBE)


def test_none_is_none():
    assert read(b"", PUBLISH) is None


def test_the_reader_stands_after_them():
    reader = Reader(b"\x02\x01\x01rest", 0, 7)
    read_properties(reader, PUBLISH)
    assert (reader.at, reader.stop) == (3, 7)


def test_the_length_may_not_go_beyond_the_packet():
    with pytest.raises(MalformedPacket, match="shorter"):
        read_properties(Reader(b"\x02\x01\x01", 0, 2), PUBLISH)


def test_a_value_may_not_go_beyond_the_length():
    with pytest.raises(MalformedPacket, match="shorter"):
        read_properties(Reader(b"\x03\x02\0\0\0\x05", 0, 6), PUBLISH)


@pytest.mark.parametrize("identifier", [0, 4, 0x2B, 0x7F, 0x80, 0xFF])
def test_unknown_identifiers(identifier):
    with pytest.raises(MalformedPacket, match="unknown"):
        read(bytes((identifier, 0)), CONNECT)


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row.name)
def test_values_out_of_range(row):
    packet_type = min(row.packets)
    width = WIDTH[row.kind]
    for value in (row.minimum - 1, row.maximum + 1):
        if 0 <= value < 256**width:
            body = bytes((row.identifier,)) + value.to_bytes(width, "big")
            with pytest.raises(ProtocolViolation, match="must not be"):
                read(body, packet_type)


@pytest.mark.parametrize("topic", [b"a/+", b"#", b""])
def test_the_response_topic_is_a_topic_name(topic):
    with pytest.raises(ProtocolViolation, match="response topic"):
        read(b"\x08" + len(topic).to_bytes(2, "big") + topic, PUBLISH)


def test_authentication_data_needs_its_method():
    with pytest.raises(ProtocolViolation, match="method"):
        read(b"\x16\0\0", CONNECT)
    assert read(b"\x16\0\0" + METHOD, CONNECT) == {
        "authentication_method": "m",
        "authentication_data": "",
    }
