"""The MQTT 5 properties: one table that decoder, encoder, tests and docs read.

``PROPERTIES`` maps the identifier on the wire to the attribute of ``Properties`` that holds it, its
kind, and the packets that may carry it. (MQTT 5.0, table 2-4)
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from rookery.mqtt.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
)

BYTE: Final = 0
U16: Final = 1
U32: Final = 2
VARIABLE: Final = 3
TEXT: Final = 4
BINARY: Final = 5
TEXT_PAIR: Final = 6

WILL: Final = 16
"""Stands in the table for the will properties of a CONNECT, which have their own set."""


class Property:
    """One row of the table."""

    def __init__(
        self,
        identifier: int,
        name: str,
        kind: int,
        packets: tuple[int, ...],
        minimum: int = 0,
        maximum: int = 0xFFFFFFFF,
    ) -> None:
        self.identifier = identifier
        self.identifier_bit = 1 << identifier
        """Kept, because the compiler shifts a literal in 32 bits and identifiers go to 42."""
        self.name = name
        self.kind = kind
        self.packets = frozenset(packets)
        self.packet_bits = sum(1 << packet_type for packet_type in self.packets)
        """``packets`` once more, as the decoder reads it: bit n is packet type n."""
        self.minimum = minimum
        self.maximum = maximum


@final
@mypyc_attr(acyclic=True)
class Properties:
    """The properties of one packet; ``None`` (or an empty list) is absent.

    ``user_properties`` keeps order and repeats. [MQTT-3.3.2-18] ``subscription_identifiers`` has at
    most one entry except in a PUBLISH to a client.
    """

    def __init__(self) -> None:
        self.payload_format_indicator: int | None = None
        self.message_expiry_interval: int | None = None
        self.content_type: str | None = None
        self.response_topic: str | None = None
        self.correlation_data: bytes | None = None
        self.subscription_identifiers: list[int] = []
        self.session_expiry_interval: int | None = None
        self.assigned_client_identifier: str | None = None
        self.server_keep_alive: int | None = None
        self.authentication_method: str | None = None
        self.authentication_data: bytes | None = None
        self.request_problem_information: int | None = None
        self.will_delay_interval: int | None = None
        self.request_response_information: int | None = None
        self.response_information: str | None = None
        self.server_reference: str | None = None
        self.reason_string: str | None = None
        self.receive_maximum: int | None = None
        self.topic_alias_maximum: int | None = None
        self.topic_alias: int | None = None
        self.maximum_qos: int | None = None
        self.retain_available: int | None = None
        self.user_properties: list[tuple[str, str]] = []
        self.maximum_packet_size: int | None = None
        self.wildcard_subscription_available: int | None = None
        self.subscription_identifier_available: int | None = None
        self.shared_subscription_available: int | None = None


_MESSAGE: Final = (PUBLISH, WILL)
_ACKS: Final = (PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK)

_TABLE: Final = (
    Property(0x01, "payload_format_indicator", BYTE, _MESSAGE, maximum=1),
    Property(0x02, "message_expiry_interval", U32, _MESSAGE),
    Property(0x03, "content_type", TEXT, _MESSAGE),
    Property(0x08, "response_topic", TEXT, _MESSAGE),
    Property(0x09, "correlation_data", BINARY, _MESSAGE),
    Property(0x0B, "subscription_identifiers", VARIABLE, (PUBLISH, SUBSCRIBE), minimum=1),
    Property(0x11, "session_expiry_interval", U32, (CONNECT, CONNACK, DISCONNECT)),
    Property(0x12, "assigned_client_identifier", TEXT, (CONNACK,)),
    Property(0x13, "server_keep_alive", U16, (CONNACK,)),
    Property(0x15, "authentication_method", TEXT, (CONNECT, CONNACK, AUTH)),
    Property(0x16, "authentication_data", BINARY, (CONNECT, CONNACK, AUTH)),
    Property(0x17, "request_problem_information", BYTE, (CONNECT,), maximum=1),
    Property(0x18, "will_delay_interval", U32, (WILL,)),
    Property(0x19, "request_response_information", BYTE, (CONNECT,), maximum=1),
    Property(0x1A, "response_information", TEXT, (CONNACK,)),
    Property(0x1C, "server_reference", TEXT, (CONNACK, DISCONNECT)),
    Property(0x1F, "reason_string", TEXT, (CONNACK, *_ACKS, DISCONNECT, AUTH)),
    Property(0x21, "receive_maximum", U16, (CONNECT, CONNACK), minimum=1),
    Property(0x22, "topic_alias_maximum", U16, (CONNECT, CONNACK)),
    Property(0x23, "topic_alias", U16, (PUBLISH,)),  # The link refuses 0 with its own reason code.
    Property(0x24, "maximum_qos", BYTE, (CONNACK,), maximum=1),
    Property(0x25, "retain_available", BYTE, (CONNACK,), maximum=1),
    Property(
        0x26,
        "user_properties",
        TEXT_PAIR,
        (CONNECT, CONNACK, *_MESSAGE, *_ACKS, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, AUTH),
    ),
    Property(0x27, "maximum_packet_size", U32, (CONNECT, CONNACK), minimum=1),
    Property(0x28, "wildcard_subscription_available", BYTE, (CONNACK,), maximum=1),
    Property(0x29, "subscription_identifier_available", BYTE, (CONNACK,), maximum=1),
    Property(0x2A, "shared_subscription_available", BYTE, (CONNACK,), maximum=1),
)

PROPERTIES: Final = {row.identifier: row for row in _TABLE}
