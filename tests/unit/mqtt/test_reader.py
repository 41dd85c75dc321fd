"""Each data type of the wire, at its borders."""

import pytest

from rookery.mqtt.errors import MalformedPacket, ProtocolViolation
from rookery.mqtt.reader import Reader, cut_short, decode_text


def reader(text: str) -> Reader:
    data = bytes.fromhex(text)
    return Reader(data, 0, len(data))


def test_one_type_after_the_other():
    each = reader("01 0203 04050607 7f 0002 6869 0001 ff 0009")
    assert each.u8() == 1
    assert each.u16() == 0x0203
    assert each.u32() == 0x04050607
    assert each.variable() == 127
    assert each.text() == "hi"
    assert each.binary() == b"\xff"
    assert each.more()
    assert each.packet_id() == 9
    assert not each.more()
    each.expect_end()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00", 0),
        ("7f", 127),
        ("8001", 128),
        ("ff7f", 16_383),
        ("808001", 16_384),
        ("ffff7f", 2_097_151),
        ("80808001", 2_097_152),
        ("ffffff7f", 268_435_455),
    ],
)
def test_variable(text, value):
    assert reader(text).variable() == value


@pytest.mark.parametrize("text", ["8000", "ff00", "808000", "80808000"])
def test_variable_longer_than_need_be(text):
    with pytest.raises(MalformedPacket, match="longer than it need be"):
        reader(text).variable()


@pytest.mark.parametrize("text", ["8080808001", "ffffffff7f", "80808080"])
def test_variable_of_more_than_four_bytes(text):
    with pytest.raises(MalformedPacket, match="more than four"):
        reader(text).variable()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("u8", ""),
        ("u16", "00"),
        ("u32", "000000"),
        ("u32", "0000"),
        ("variable", "80"),
        ("variable", "ffff"),
        ("binary", "0002 61"),
        ("binary", "00"),
        ("text", "0001"),
        ("packet_id", "01"),
    ],
)
def test_cut_short(name, text):
    with pytest.raises(MalformedPacket, match="shorter"):
        getattr(reader(text), name)()


def test_nothing_is_read_beyond_stop():
    with pytest.raises(MalformedPacket, match="shorter"):
        Reader(b"\0\x02hi", 0, 3).text()


def test_packet_identifier_0():
    with pytest.raises(ProtocolViolation):
        reader("0000").packet_id()


def test_what_is_left_over():
    with pytest.raises(MalformedPacket, match="longer"):
        reader("00").expect_end()


def test_cut_short_is_malformed():
    assert isinstance(cut_short(), MalformedPacket)


@pytest.mark.parametrize("text", ["", "a", "ü", "\ufeffx", "𝄞", "\x01\x7f", "\uffff"])
def test_text(text):
    assert decode_text(text.encode()) == text


@pytest.mark.parametrize(
    "raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"a\0"]
)
def test_what_is_no_text(raw):
    with pytest.raises(MalformedPacket):
        decode_text(raw)
