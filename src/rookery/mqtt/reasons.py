"""Which reason codes each control packet may carry, and what 3.1 and 3.1.1 know of them.

Each table maps the byte on the wire to the code, so that one look-up checks and converts.
Source: MQTT 5.0, the reason code table of each packet in chapter 3; MQTT 3.1.1, table 3.1.
"""

from typing import Final

from rookery.mqtt.types import (
    AUTH,
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    ReasonCode,
)


def _codes(*values: int) -> dict[int, ReasonCode]:
    return {value: ReasonCode(value) for value in values}


_PUBLISH_CODES: Final = _codes(0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
_RELEASE_CODES: Final = _codes(0, 0x92)
_DISCONNECT_BOTH: Final = (
    *(0, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99),
)

FROM_SERVER: Final[dict[int, dict[int, ReasonCode]]] = {
    CONNACK: _codes(
        *(0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95),
        *(0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F),
    ),
    PUBACK: _PUBLISH_CODES,
    PUBREC: _PUBLISH_CODES,
    PUBREL: _RELEASE_CODES,
    PUBCOMP: _RELEASE_CODES,
    SUBACK: _codes(0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2),
    UNSUBACK: _codes(0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91),
    DISCONNECT: _codes(
        *_DISCONNECT_BOTH,
        *(0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2),
    ),
    AUTH: _codes(0, 0x18),
}
"""What a server may send, by packet type."""

FROM_CLIENT: Final[dict[int, dict[int, ReasonCode]]] = {
    PUBACK: _PUBLISH_CODES,
    PUBREC: _PUBLISH_CODES,
    PUBREL: _RELEASE_CODES,
    PUBCOMP: _RELEASE_CODES,
    DISCONNECT: _codes(*_DISCONNECT_BOTH, 0x04),
    AUTH: _codes(0x18, 0x19),
}
"""What a client may send, by packet type."""

CONNACK_FROM_3: Final = {
    0: ReasonCode.SUCCESS,
    1: ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
    2: ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    3: ReasonCode.SERVER_UNAVAILABLE,
    4: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    5: ReasonCode.NOT_AUTHORIZED,
}
"""The return codes of a CONNACK in 3.1 and 3.1.1."""

SUBACK_FROM_3: Final = _codes(0, 1, 2, 0x80)
"""The return codes of a SUBACK in 3.1 and 3.1.1."""

_CONNACK_TO_3: Final = {
    ReasonCode.SUCCESS: 0,
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: 1,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: 2,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: 4,
    ReasonCode.NOT_AUTHORIZED: 5,
    ReasonCode.BANNED: 5,
}
_SERVER_UNAVAILABLE_3: Final = 3


def connack_code_3(reason_code: ReasonCode) -> int:
    """The return code a 3.x client gets for this outcome of its CONNECT."""
    return _CONNACK_TO_3.get(reason_code, _SERVER_UNAVAILABLE_3)


def suback_code_3(reason_code: ReasonCode) -> int:
    """The return code a 3.x client gets for one subscription. [MQTT-3.9.3-2]"""
    return 0x80 if reason_code >= 0x80 else int(reason_code)
