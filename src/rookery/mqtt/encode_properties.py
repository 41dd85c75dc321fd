"""Encodes the properties of a packet, by the table in ``properties``. (MQTT 5.0, 2.2.2)"""

from typing import Final

from rookery.mqtt.properties import (
    BYTE,
    PROPERTIES,
    TEXT,
    TEXT_PAIR,
    U16,
    U32,
    VARIABLE,
    WILL,
    Properties,
    Property,
)
from rookery.mqtt.wire import PACKET_ID_WIRE, encode_binary, encode_text, encode_variable

_ROWS: Final[list[list[Property]]] = [
    [row for row in PROPERTIES.values() if packet_type in row.packets]
    for packet_type in range(WILL + 1)
]

DIAGNOSTICS: Final = frozenset(("reason_string", "user_properties"))
"""What is left out of a packet that would be too large for the peer. [MQTT-3.4.2-2]"""


def encode_properties(
    packet_type: int, properties: Properties | None, diagnostics: bool = True
) -> bytes:
    """The properties that this packet may carry, with their length before them. [MQTT-2.2.2-1]

    ``packet_type`` may be ``properties.WILL``. Without ``diagnostics`` the reason string and the
    user properties are left out.
    """
    if properties is None:
        return b"\0"
    body = encode_property_body(packet_type, properties, diagnostics)
    return encode_variable(len(body)) + body


def encode_property_body(
    packet_type: int, properties: Properties, diagnostics: bool = True
) -> bytes:
    """As ``encode_properties``, without the length."""
    parts: list[bytes] = []
    for row in _ROWS[packet_type]:
        value: object = getattr(properties, row.name)
        if value is not None and (diagnostics or row.name not in DIAGNOSTICS):
            _append_value(parts, row, value)
    return b"".join(parts)


def _append_value(parts: list[bytes], row: Property, value: object) -> None:
    kind = row.kind
    identifier = PACKET_ID_WIRE[row.identifier][1:]
    if isinstance(value, list):
        if kind == TEXT_PAIR:
            _append_pairs(parts, identifier, value)
        else:
            assert kind == VARIABLE
            parts += [identifier + encode_variable(item) for item in value]
    elif isinstance(value, str):
        assert kind == TEXT
        parts.append(identifier + encode_text(value))
    elif isinstance(value, bytes):
        parts.append(identifier + encode_binary(value))
    else:
        assert isinstance(value, int)
        bytes_count = 1 if kind == BYTE else 2 if kind == U16 else 4
        assert bytes_count < 4 or kind == U32
        parts.append(identifier + value.to_bytes(bytes_count, "big"))


def _append_pairs(parts: list[bytes], identifier: bytes, pairs: list[tuple[str, str]]) -> None:
    for name, text in pairs:
        parts.append(identifier)
        parts.append(encode_text(name))
        parts.append(encode_text(text))
