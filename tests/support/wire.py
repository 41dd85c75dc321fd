"""Control packets for tests, made and read by hand.

It shares no code with ``rookery.mqtt``, so a fault of the broker's codec cannot hide here. Building is lenient
(a test may ask for any nonsense); reading is strict: a packet from the broker which breaks a rule on flags,
lengths, strings, properties or reason codes fails the test that received it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

V3_1: Final = 3
V3_1_1: Final = 4
V5: Final = 5

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
PUBREC: Final = 5
PUBREL: Final = 6
PUBCOMP: Final = 7
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
AUTH: Final = 15

NAMES: Final = (
    "0 CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK "
    "PINGREQ PINGRESP DISCONNECT AUTH"
).split()

PINGREQ_PACKET: Final = b"\xc0\x00"

PropertyValue: TypeAlias = int | str | bytes | tuple[str, str]
Properties: TypeAlias = Mapping[str, PropertyValue | list[PropertyValue]]

# name: (identifier, kind, packets in which a server may send it)
PROPERTIES: Final[dict[str, tuple[int, str, frozenset[int]]]] = {
    "payload_format": (0x01, "u8", frozenset({PUBLISH})),
    "message_expiry": (0x02, "u32", frozenset({PUBLISH})),
    "content_type": (0x03, "string", frozenset({PUBLISH})),
    "response_topic": (0x08, "string", frozenset({PUBLISH})),
    "correlation_data": (0x09, "binary", frozenset({PUBLISH})),
    "subscription_id": (0x0B, "varint", frozenset({PUBLISH})),
    # The server never sends a session expiry on DISCONNECT. [MQTT-3.14.2-2]
    "session_expiry": (0x11, "u32", frozenset({CONNACK})),
    "assigned_client_id": (0x12, "string", frozenset({CONNACK})),
    "server_keep_alive": (0x13, "u16", frozenset({CONNACK})),
    "auth_method": (0x15, "string", frozenset({CONNACK, AUTH})),
    "auth_data": (0x16, "binary", frozenset({CONNACK, AUTH})),
    "request_problem_information": (0x17, "u8", frozenset()),
    "will_delay": (0x18, "u32", frozenset()),
    "request_response_information": (0x19, "u8", frozenset()),
    "response_information": (0x1A, "string", frozenset({CONNACK})),
    "server_reference": (0x1C, "string", frozenset({CONNACK, DISCONNECT})),
    "reason_string": (
        0x1F,
        "string",
        frozenset({2, 4, 5, 6, 7, 9, 11, 14, 15}),
    ),
    "receive_maximum": (0x21, "u16", frozenset({CONNACK})),
    "topic_alias_maximum": (0x22, "u16", frozenset({CONNACK})),
    "topic_alias": (0x23, "u16", frozenset({PUBLISH})),
    "maximum_qos": (0x24, "u8", frozenset({CONNACK})),
    "retain_available": (0x25, "u8", frozenset({CONNACK})),
    "user": (0x26, "pair", frozenset({2, 3, 4, 5, 6, 7, 9, 11, 14, 15})),
    "maximum_packet_size": (0x27, "u32", frozenset({CONNACK})),
    "wildcard_available": (0x28, "u8", frozenset({CONNACK})),
    "subscription_id_available": (0x29, "u8", frozenset({CONNACK})),
    "shared_available": (0x2A, "u8", frozenset({CONNACK})),
}
_NAME_OF: Final = {identifier: name for name, (identifier, _, _) in PROPERTIES.items()}
_REPEATABLE: Final = frozenset({"user", "subscription_id"})

_CONNACK_ERRORS: Final = frozenset(
    {*range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F}
)
_PUBACK_CODES: Final = frozenset({0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})
_SUBACK_CODES: Final = frozenset({0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2})
REASONS: Final[dict[int, frozenset[int]]] = {
    CONNACK: _CONNACK_ERRORS | {0x00},
    PUBACK: _PUBACK_CODES,
    PUBREC: _PUBACK_CODES,
    PUBREL: frozenset({0x00, 0x92}),
    PUBCOMP: frozenset({0x00, 0x92}),
    SUBACK: _SUBACK_CODES,
    UNSUBACK: frozenset({0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}),
    # 0x04 is the client's alone; a server closes with an error, a normal end or a redirection.
    DISCONNECT: frozenset(
        {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)}
    ),
    AUTH: frozenset({0x00, 0x18}),
}
"""The reason codes a 5.0 server may send, by packet type (5.0, the tables of chapter 3)."""


# --- Building -----------------------------------------------------------------------------------


def u16(value: int) -> bytes:
    """Two bytes, most significant first."""
    return value.to_bytes(2, "big")


def varint(value: int) -> bytes:
    """A variable byte integer in the fewest bytes."""
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def binary(value: bytes) -> bytes:
    """Bytes behind their two-byte length."""
    return u16(len(value)) + value


def string(value: str | bytes) -> bytes:
    """A UTF-8 string behind its length; bytes are taken as they are, well-formed or not."""
    return binary(value.encode() if isinstance(value, str) else value)


def packet(first_byte: int, *parts: bytes) -> bytes:
    """A whole control packet: first byte, remaining length, and the parts in a row."""
    body = b"".join(parts)
    return bytes([first_byte]) + varint(len(body)) + body


def _property(name: str, value: PropertyValue) -> bytes:
    identifier, kind, _ = PROPERTIES[name]
    match kind, value:
        case "varint", int():
            return bytes([identifier]) + varint(value)
        case (("u8" | "u16" | "u32"), int()):
            return bytes([identifier]) + value.to_bytes(int(kind[1:]) // 8, "big")
        case "binary", bytes():
            return bytes([identifier]) + binary(value)
        case "pair", (str(key), str(text)):
            return bytes([identifier]) + string(key) + string(text)
        case "string", (str() | bytes()):
            return bytes([identifier]) + string(value)
    raise TypeError(f"{name} takes no {value!r}")


def property_field(version: int, values: Properties | bytes | None = None) -> bytes:
    """The property field with its length; nothing at all before 5.0. A list repeats a property."""
    if version < V5:
        return b""
    if isinstance(values, bytes):
        return varint(len(values)) + values
    body = b""
    for name, value in (values or {}).items():
        for one in value if isinstance(value, list) else [value]:
            body += _property(name, one)
    return varint(len(body)) + body


@dataclass(frozen=True)
class Will:
    """The will of a CONNECT."""

    topic: str | bytes
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: Properties | bytes | None = None


def connect(
    version: int,
    client_id: str | bytes,
    *,
    clean: bool = True,
    keep_alive: int = 0,
    will: Will | None = None,
    user_name: str | bytes | None = None,
    password: bytes | None = None,
    properties: Properties | bytes | None = None,
    flags: int | None = None,
    protocol_name: str | bytes | None = None,
    level: int | None = None,
) -> bytes:
    """A CONNECT. ``flags``, ``protocol_name`` and ``level`` replace what would follow from the rest."""
    bits, payload = 0x02 if clean else 0x00, string(client_id)
    if will is not None:
        bits |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        payload += (
            property_field(version, will.properties) + string(will.topic) + binary(will.payload)
        )
    if user_name is not None:
        bits, payload = bits | 0x80, payload + string(user_name)
    if password is not None:
        bits, payload = bits | 0x40, payload + binary(password)
    name = protocol_name if protocol_name is not None else "MQIsdp" if version == V3_1 else "MQTT"
    return packet(
        0x10,
        string(name),
        bytes([version if level is None else level, bits if flags is None else flags]),
        u16(keep_alive),
        property_field(version, properties),
        payload,
    )


def publish(
    version: int,
    topic: str | bytes,
    payload: bytes = b"",
    *,
    qos: int = 0,
    packet_id: int = 1,
    retain: bool = False,
    dup: bool = False,
    properties: Properties | bytes | None = None,
) -> bytes:
    """A PUBLISH; the packet identifier is written when the QoS is not 0."""
    return packet(
        0x30 | dup << 3 | qos << 1 | retain,
        string(topic),
        u16(packet_id) if qos else b"",
        property_field(version, properties),
        payload,
    )


def acknowledge(
    version: int,
    kind: int,
    packet_id: int,
    reason: int | None = None,
    properties: Properties | bytes | None = None,
) -> bytes:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP; without ``reason`` in its short form."""
    body = u16(packet_id)
    if reason is not None:
        body += bytes([reason]) + (
            b"" if properties is None else property_field(version, properties)
        )
    return packet(kind << 4 | (0x02 if kind == PUBREL else 0), body)


Filters: TypeAlias = Iterable[tuple[str | bytes, int]]


def subscribe(
    version: int,
    filters: Filters,
    *,
    packet_id: int = 1,
    properties: Properties | bytes | None = None,
) -> bytes:
    """A SUBSCRIBE with each filter and its options byte."""
    payload = b"".join(string(name) + bytes([options]) for name, options in filters)
    return packet(0x82, u16(packet_id), property_field(version, properties), payload)


def unsubscribe(
    version: int,
    filters: Iterable[str | bytes],
    *,
    packet_id: int = 1,
    properties: Properties | bytes | None = None,
) -> bytes:
    """An UNSUBSCRIBE."""
    payload = b"".join(string(name) for name in filters)
    return packet(0xA2, u16(packet_id), property_field(version, properties), payload)


def disconnect(
    version: int, reason: int | None = None, properties: Properties | bytes | None = None
) -> bytes:
    """A DISCONNECT; a reason (and properties) only where the version has them."""
    if version < V5 or reason is None:
        return packet(0xE0)
    tail = b"" if properties is None else property_field(version, properties)
    return packet(0xE0, bytes([reason]), tail)


# --- Reading ------------------------------------------------------------------------------------


@dataclass
class Packet:
    """One packet from the broker, taken apart and checked."""

    kind: int
    flags: int
    size: int
    packet_id: int | None = None
    reason: int | None = None
    reasons: list[int] = field(default_factory=list)
    session_present: bool | None = None
    topic: str | None = None
    payload: bytes | None = None
    properties: list[tuple[str, PropertyValue]] = field(default_factory=list)

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def dup(self) -> bool:
        return bool(self.flags & 8)

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    def get(self, name: str) -> PropertyValue | None:
        """The value of a property, or ``None`` when the packet does not carry it."""
        values = self.get_all(name)
        return values[0] if values else None

    def get_all(self, name: str) -> list[PropertyValue]:
        """Every value of a property, in the order of the wire."""
        return [value for key, value in self.properties if key == name]


class Reader:
    """Takes a packet's body from left to right."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        assert len(self.data) >= count, "the broker's packet ends before its fields do"
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def varint(self) -> int:
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                # [MQTT-1.5.5-1] The fewest bytes that hold the value.
                assert place == 0 or byte, "the broker's variable byte integer is too long"
                return value
        raise AssertionError("the broker's variable byte integer does not end")

    def string(self) -> str:
        text = self.take(self.number(2)).decode()
        assert "\0" not in text, "the broker sent U+0000"
        return text

    def value(self, kind: str) -> PropertyValue:
        match kind:
            case "varint":
                return self.varint()
            case "binary":
                return self.take(self.number(2))
            case "string":
                return self.string()
            case "pair":
                return self.string(), self.string()
        return self.number(int(kind[1:]) // 8)

    def properties(self, packet_kind: int) -> list[tuple[str, PropertyValue]]:
        inner = Reader(self.take(self.varint()))
        found: list[tuple[str, PropertyValue]] = []
        while inner.data:
            name = _NAME_OF[inner.varint()]
            assert packet_kind in PROPERTIES[name][2], f"{name} in a {NAMES[packet_kind]}"
            assert name in _REPEATABLE or name not in dict(found), f"{name} is there twice"
            found.append((name, inner.value(PROPERTIES[name][1])))
        return found


def decode(version: int, first_byte: int, body: bytes, size: int) -> Packet:
    """Take a packet of the broker apart; an ``AssertionError`` says which rule it breaks."""
    kind, flags = first_byte >> 4, first_byte & 0x0F
    found, reader, v5 = Packet(kind, flags, size), Reader(body), version >= V5
    # [MQTT-2.1.3-1] Reserved flag bits hold the value listed.
    assert kind == PUBLISH or flags == (2 if kind == PUBREL else 0), (
        f"flags {flags:04b} in {NAMES[kind]}"
    )
    match kind:
        case 2:  # CONNACK
            acknowledge_flags = reader.number(1)
            assert acknowledge_flags < 2, "reserved bits of the CONNACK flags are set"
            found.session_present, found.reason = bool(acknowledge_flags), reader.number(1)
            if v5:
                found.properties = reader.properties(kind)
        case 3:  # PUBLISH
            assert found.qos < 3, "a PUBLISH of QoS 3"
            found.topic = reader.string()
            assert not set("+#") & set(found.topic), "wildcards in a topic name"
            if found.qos:
                found.packet_id = reader.number(2)
                assert found.packet_id, "a PUBLISH with the packet identifier 0"
            if v5:
                found.properties = reader.properties(kind)
            found.payload = reader.take(len(reader.data))
        case 4 | 5 | 6 | 7:  # the acknowledgements of a PUBLISH
            found.packet_id, found.reason = reader.number(2), 0
            if v5 and reader.data:
                found.reason = reader.number(1)
                found.properties = reader.properties(kind) if reader.data else []
        case 9 | 11:  # SUBACK, UNSUBACK
            found.packet_id = reader.number(2)
            found.properties = reader.properties(kind) if v5 else []
            if v5 or kind == SUBACK:
                found.reasons = list(reader.take(len(reader.data)))
        case 13:  # PINGRESP
            pass
        case 14 | 15 if v5:  # DISCONNECT, AUTH
            found.reason = reader.number(1) if reader.data else 0
            found.properties = reader.properties(kind) if reader.data else []
        case _:
            raise AssertionError(f"a server sends no {NAMES[kind]}")
    assert not reader.data, f"{len(reader.data)} bytes too many in {NAMES[kind]}"
    _check_reasons(version, found)
    return found


def _check_reasons(version: int, found: Packet) -> None:
    if version >= V5:
        allowed = REASONS.get(found.kind, frozenset())
    else:
        allowed = {CONNACK: frozenset(range(6)), SUBACK: frozenset({0, 1, 2, 0x80})}.get(
            found.kind, frozenset({0})
        )
    for reason in [*found.reasons, *([] if found.reason is None else [found.reason])]:
        assert reason in allowed, f"reason code {reason:#04x} in {NAMES[found.kind]}"
