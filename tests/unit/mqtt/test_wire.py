"""The small pieces of the wire, made and kept."""

import pytest

from rookery.mqtt.wire import (
    PACKET_ID_WIRE,
    VARIABLE_MAX,
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


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (2047, "ff0f"),
        (2048, "8010"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (VARIABLE_MAX, "ffffff7f"),
    ],
)
def test_variable(value, wire):
    assert encode_variable(value).hex() == wire


@pytest.mark.parametrize("value", [-1, VARIABLE_MAX + 1])
def test_variable_out_of_range(value):
    with pytest.raises(ValueError, match=str(value)):
        encode_variable(value)


def test_text_and_binary():
    assert encode_text("ü") == topic_to_wire("ü") == b"\0\x02\xc3\xbc"
    assert encode_binary(b"") == b"\0\0"
    assert encode_binary(b"x" * 65_535)[:3] == b"\xff\xffx"
    with pytest.raises(ValueError, match="65536"):
        encode_text("x" * 65_536)
    with pytest.raises(ValueError, match="65536"):
        topic_to_wire("x" * 65_536)
    with pytest.raises(ValueError, match="surrogates"):
        encode_text("\ud800")


def test_packet_identifiers():
    assert len(PACKET_ID_WIRE) == 65_536
    assert PACKET_ID_WIRE[0x1234] == b"\x12\x34"


@pytest.mark.parametrize("flags", range(16))
@pytest.mark.parametrize("remaining", [0, 127, 128, 2047, 2048, 100_000])
def test_publish_head(flags, remaining):
    expected = bytes((0x30 + flags,)) + encode_variable(remaining)
    assert publish_head(flags, remaining) == expected
    assert publish_head(flags, remaining) == expected


@pytest.mark.parametrize(
    ("make", "first"),
    [(puback_wire, 0x40), (pubrec_wire, 0x50), (pubrel_wire, 0x62), (pubcomp_wire, 0x70)],
)
def test_acknowledgements_are_made_once(make, first):
    assert make(0xABCD) == bytes((first, 2, 0xAB, 0xCD))
    assert make(0xABCD) is make(0xABCD)
    assert make(1) != make(2)
