"""The few MQTT packets a load needs, built by hand, and a reader for the answers.

The measuring side shares no code with the broker it measures: a slip in one shows in the other.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

V3_1_1: Final = 4
V5: Final = 5

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
PUBREC: Final = 0x50
PUBREL: Final = 0x62
PUBCOMP: Final = 0x70
SUBACK: Final = 0x90
PINGRESP: Final = 0xD0
PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
DUP: Final = 0x08
"""The bit of a PUBLISH that is sent again."""

PAYLOAD_BYTES: Final = 64
STAMP_BYTES: Final = 20
"""What the payload begins with: a number (8), the time of sending (8), the publisher (4)."""

KEEP_ALIVE_SECONDS: Final = 600
"""Longer than any run, so no PINGREQ disturbs the figures."""
SESSION_EXPIRY_SECONDS: Final = 86_400
_CLEAN: Final = 0b10


class WireError(Exception):
    """The broker sent something that the load did not ask for."""


def variable_length(value: int) -> bytes:
    """Encode a remaining length (one to four bytes, seven bits each)."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def string(text: str) -> bytes:
    """Encode a string with its two bytes of length."""
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def packet(first_byte: int, body: bytes) -> bytes:
    """Put the fixed header before a body."""
    return bytes((first_byte,)) + variable_length(len(body)) + body


def connect(
    client_id: str, username: str, password: str, version: int, *, persistent: bool = False
) -> bytes:
    """Build a CONNECT without a will, with user name and password.

    A persistent session is taken up again when there is one, and outlives its connection.
    """
    flags = 0b1100_0000 if persistent else 0b1100_0000 | _CLEAN
    body = string("MQTT") + bytes((version, flags)) + KEEP_ALIVE_SECONDS.to_bytes(2, "big")
    if version == V5:
        expiry = b"\x11" + SESSION_EXPIRY_SECONDS.to_bytes(4, "big") if persistent else b""
        body += variable_length(len(expiry)) + expiry
    return packet(0x10, body + string(client_id) + string(username) + string(password))


def subscribe(topic_filter: str, qos: int, version: int) -> bytes:
    """Build a SUBSCRIBE for one filter, with packet identifier 1."""
    return subscribe_all([topic_filter], qos, version)


def subscribe_all(topic_filters: Iterable[str], qos: int, version: int) -> bytes:
    """Build a SUBSCRIBE for several filters, with packet identifier 1."""
    body = b"\x00\x01" + (b"\x00" if version == V5 else b"")
    filters = b"".join(string(each) + bytes((qos,)) for each in topic_filters)
    return packet(0x82, body + filters)


def take_packet(data: bytes | bytearray) -> tuple[int, bytes, int] | None:
    """Return first byte, body and whole size of the first packet, or None when it is not all there."""
    length = 0
    for position in range(1, 5):
        if position >= len(data):
            return None
        length |= (data[position] & 0x7F) << 7 * (position - 1)
        if data[position] < 0x80:
            size = position + 1 + length
            if len(data) < size:
                return None
            return data[0], bytes(data[position + 1 : size]), size
    raise WireError(f"no packet begins with {bytes(data[:5]).hex(' ')}")


def expect_connack(first_byte: int, body: bytes) -> None:
    """Raise WireError unless this is a CONNACK that accepts the client."""
    if first_byte != CONNACK or len(body) < 2 or body[1] != 0:
        raise WireError(f"the broker refused CONNECT: {first_byte:#x} {body.hex(' ')}")


def expect_suback(first_byte: int, body: bytes, qos: int) -> None:
    """Raise WireError unless this is a SUBACK that grants the QoS asked for."""
    if first_byte != SUBACK or body[-1] != qos:
        raise WireError(f"the broker refused SUBSCRIBE: {first_byte:#x} {body.hex(' ')}")


def publish_layout(topic: str, qos: int, version: int) -> np.dtype[np.void]:
    """Describe a PUBLISH as a packed row, so that many of them are columns of one array.

    All topics of one case have the same length, so all its packets have the same layout, in both
    directions: the broker adds no property to what this load publishes.
    """
    properties_bytes = 1 if version == V5 else 0
    packet_id_bytes = 2 if qos else 0
    head = len(publish_head(topic, qos, version))
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [("head", "u1", (head,))]
    if packet_id_bytes:
        fields.append(("packet_id", ">u2"))
    if properties_bytes:
        fields.append(("properties_length", "u1"))
    fields += [
        ("number", "<i8"),
        ("sent_ns", "<i8"),
        ("publisher", "<i4"),
        ("filler", "u1", (PAYLOAD_BYTES - STAMP_BYTES,)),
    ]
    return np.dtype(fields)


def publish_head(topic: str, qos: int, version: int) -> bytes:
    """Build what stands before the packet identifier of a PUBLISH."""
    name = string(topic)
    rest = len(name) + (2 if qos else 0) + (1 if version == V5 else 0) + PAYLOAD_BYTES
    return bytes((PUBLISH | qos << 1,)) + variable_length(rest) + name


ACK_LAYOUT: Final = np.dtype([("type", "u1"), ("length", "u1"), ("packet_id", ">u2")])
"""PUBACK, PUBREC, PUBREL and PUBCOMP, all four bytes long when they succeed."""
