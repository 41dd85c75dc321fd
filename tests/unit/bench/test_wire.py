"""The packets of the load are what the standard says, seen by the broker's own decoder."""

import numpy as np
import pytest

from rookery_bench import wire


def test_connect_is_laid_out_as_the_standard_says() -> None:
    assert wire.connect("c", "u", "p", wire.V3_1_1) == (
        b"\x10\x13\x00\x04MQTT\x04\xc2\x02\x58\x00\x01c\x00\x01u\x00\x01p"
    )


def test_connect_of_version_5_has_its_properties() -> None:
    assert wire.connect("c", "u", "p", wire.V5)[8:14] == b"\x05\xc2\x02\x58\x00\x00"


def test_a_persistent_session_is_not_clean_and_expires_late() -> None:
    assert wire.connect("c", "u", "p", wire.V3_1_1, persistent=True) == (
        b"\x10\x13\x00\x04MQTT\x04\xc0\x02\x58\x00\x01c\x00\x01u\x00\x01p"
    )
    five = wire.connect("c", "u", "p", wire.V5, persistent=True)
    assert five[8:18] == b"\x05\xc0\x02\x58\x05\x11\x00\x01\x51\x80"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (wire.V3_1_1, b"\x82\x08\x00\x01\x00\x03a/b\x01"),
        (wire.V5, b"\x82\x09\x00\x01\x00\x00\x03a/b\x01"),
    ],
)
def test_subscribe_is_laid_out_as_the_standard_says(version: int, expected: bytes) -> None:
    assert wire.subscribe("a/b", 1, version) == expected


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (16_384, b"\x80\x80\x01")],
)
def test_lengths_take_seven_bits_a_byte(value: int, encoded: bytes) -> None:
    assert wire.variable_length(value) == encoded


def test_take_packet_waits_for_the_whole_packet() -> None:
    whole = wire.packet(0x30, bytes(200))
    for size in range(len(whole)):
        assert wire.take_packet(whole[:size]) is None
    assert wire.take_packet(whole + b"more") == (0x30, bytes(200), len(whole))


def test_take_packet_refuses_a_length_without_end() -> None:
    with pytest.raises(wire.WireError):
        wire.take_packet(b"\x30\xff\xff\xff\xff\x01")


def test_a_refused_connect_is_told() -> None:
    wire.expect_connack(0x20, b"\x00\x00")
    with pytest.raises(wire.WireError, match="refused CONNECT"):
        wire.expect_connack(0x20, b"\x00\x05")


def test_a_lower_granted_qos_is_told() -> None:
    wire.expect_suback(0x90, b"\x00\x01\x01", 1)
    with pytest.raises(wire.WireError, match="refused SUBSCRIBE"):
        wire.expect_suback(0x90, b"\x00\x01\x00", 1)


@pytest.mark.parametrize("version", [wire.V3_1_1, wire.V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_publish_row_is_as_long_as_its_head_says(qos: int, version: int) -> None:
    layout = wire.publish_layout("some/topic", qos, version)
    row = np.zeros(1, layout)
    row["head"] = np.frombuffer(wire.publish_head("some/topic", qos, version), np.uint8)
    taken = wire.take_packet(row.tobytes())
    assert taken is not None
    first_byte, body, size = taken
    assert (first_byte, size) == (0x30 | qos << 1, layout.itemsize)
    assert len(body) == 12 + (2 if qos else 0) + (1 if version == wire.V5 else 0) + 64
