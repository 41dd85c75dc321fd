"""The small pieces that packets are made of on the wire, most of them kept once made.

A node sends the same few head bytes, packet identifiers and acknowledgements again and again; a
look-up in a list is cheaper than building them.
"""

from typing import Final

VARIABLE_MAX: Final = 268_435_455
"""The largest Variable Byte Integer. (MQTT 5.0, 1.5.5)"""

_HEADS_REMAINING: Final = 2_048
_HEADS: Final[list[bytes]] = [b""] * (_HEADS_REMAINING * 16)

PACKET_ID_WIRE: Final[list[bytes]] = [value.to_bytes(2, "big") for value in range(65_536)]
"""Each packet identifier (or other Two Byte Integer) as its two bytes."""

_PUBACKS: Final[list[bytes]] = [b""] * 65_536
_PUBRECS: Final[list[bytes]] = [b""] * 65_536
_PUBRELS: Final[list[bytes]] = [b""] * 65_536
_PUBCOMPS: Final[list[bytes]] = [b""] * 65_536


def _encode_variable(value: int) -> bytes:
    if value < 0 or value > VARIABLE_MAX:
        raise ValueError(f"{value} is not a variable byte integer")
    wire = bytearray()
    while value > 0x7F:  # [MQTT-1.5.5-1]
        wire.append(value & 0x7F | 0x80)
        value >>= 7
    wire.append(value)
    return bytes(wire)


_VARIABLES: Final[list[bytes]] = [_encode_variable(value) for value in range(_HEADS_REMAINING)]


def encode_variable(value: int) -> bytes:
    """A Variable Byte Integer.

    Raises:
        ValueError: beyond 268,435,455.
    """
    if 0 <= value < _HEADS_REMAINING:
        return _VARIABLES[value]
    return _encode_variable(value)


def encode_binary(data: bytes) -> bytes:
    """Binary Data: two length bytes, then the bytes.

    Raises:
        ValueError: more than 65,535 bytes.
    """
    if len(data) > 65_535:
        raise ValueError(f"{len(data)} bytes do not fit a length of two bytes")
    return PACKET_ID_WIRE[len(data)] + data


def encode_text(text: str) -> bytes:
    """A UTF-8 Encoded String: two length bytes, then the text.

    Raises:
        ValueError: more than 65,535 bytes, or surrogates.
    """
    return encode_binary(text.encode("utf-8"))


def topic_to_wire(topic: str) -> bytes:
    """A topic name as ``Publish.topic_wire`` holds it.

    Raises:
        ValueError: more than 65,535 bytes, or surrogates.
    """
    return encode_binary(topic.encode("utf-8"))


def publish_head(flags: int, remaining: int) -> bytes:
    """The fixed header of a PUBLISH; ``flags`` are its low four bits (DUP, QoS, RETAIN)."""
    if remaining >= _HEADS_REMAINING:
        return bytes((0x30 | flags,)) + _encode_variable(remaining)
    head = _HEADS[remaining << 4 | flags]
    if not head:
        head = bytes((0x30 | flags,)) + _VARIABLES[remaining]
        _HEADS[remaining << 4 | flags] = head
    return head


def puback_wire(packet_id: int) -> bytes:
    """A PUBACK that says success, the same in every version."""
    wire = _PUBACKS[packet_id]
    if not wire:
        wire = _PUBACKS[packet_id] = b"\x40\x02" + PACKET_ID_WIRE[packet_id]
    return wire


def pubrec_wire(packet_id: int) -> bytes:
    """A PUBREC that says success, the same in every version."""
    wire = _PUBRECS[packet_id]
    if not wire:
        wire = _PUBRECS[packet_id] = b"\x50\x02" + PACKET_ID_WIRE[packet_id]
    return wire


def pubrel_wire(packet_id: int) -> bytes:
    """A PUBREL that says success, the same in every version."""
    wire = _PUBRELS[packet_id]
    if not wire:
        wire = _PUBRELS[packet_id] = b"\x62\x02" + PACKET_ID_WIRE[packet_id]
    return wire


def pubcomp_wire(packet_id: int) -> bytes:
    """A PUBCOMP that says success, the same in every version."""
    wire = _PUBCOMPS[packet_id]
    if not wire:
        wire = _PUBCOMPS[packet_id] = b"\x70\x02" + PACKET_ID_WIRE[packet_id]
    return wire
