"""Decodes the properties of a packet, by the table in ``properties``. (MQTT 5.0, 2.2.2)"""

from typing import Final

from mypy_extensions import i64

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
    Properties,
    Property,
)
from rookery.mqtt.reader import Reader, cut_short
from rookery.mqtt.topics import validate_topic_name
from rookery.mqtt.types import PUBLISH

_ROWS: Final[list[Property | None]] = [PROPERTIES.get(i) for i in range(max(PROPERTIES) + 1)]


def read_properties(reader: Reader, packet_type: int) -> Properties | None:
    """Read a property length and the properties; ``None`` when there are none.

    ``packet_type`` may be ``properties.WILL``.

    Raises:
        MalformedPacket: unknown or not of this packet, or cut short.
        ProtocolViolation: given twice, or a value the standard forbids.
    """
    length: i64 = reader.variable()
    if length == 0:
        return None
    packet_stop: i64 = reader.stop
    stop: i64 = reader.at + length
    if stop > packet_stop:
        raise cut_short()
    reader.stop = stop
    properties = Properties()
    seen: i64 = 0
    while reader.at < stop:
        row = _row(reader.u8(), packet_type)
        if seen & row.identifier_bit != 0 and not _repeatable(row, packet_type):
            raise ProtocolViolation(f"property {row.name} given twice")
        seen |= row.identifier_bit
        _read_value(reader, row, properties)
    reader.stop = packet_stop
    _check_together(properties)
    return properties


def _row(identifier: i64, packet_type: int) -> Property:
    row = _ROWS[identifier] if identifier < len(_ROWS) else None
    if row is None:
        raise MalformedPacket(f"unknown property {identifier}")
    if row.packet_bits >> packet_type & 1 == 0:
        raise MalformedPacket(f"property {row.name} in a packet that has none such")
    return row


def _repeatable(row: Property, packet_type: int) -> bool:
    """User properties always, subscription identifiers in a PUBLISH. (MQTT 5.0, 3.3.2.3.8)"""
    return row.kind == TEXT_PAIR or (row.kind == VARIABLE and packet_type == PUBLISH)


def _read_value(reader: Reader, row: Property, properties: Properties) -> None:
    kind = row.kind
    if kind == TEXT_PAIR:
        name = reader.text()  # [MQTT-1.5.7-1]
        properties.user_properties.append((name, reader.text()))
    elif kind == VARIABLE:
        properties.subscription_identifiers.append(_in_range(row, reader.variable()))
    elif kind == TEXT:
        setattr(properties, row.name, reader.text())
    elif kind == BINARY:
        setattr(properties, row.name, reader.binary())
    elif kind == BYTE:
        setattr(properties, row.name, _in_range(row, reader.u8()))
    elif kind == U16:
        setattr(properties, row.name, _in_range(row, reader.u16()))
    else:
        assert kind == U32
        setattr(properties, row.name, _in_range(row, reader.u32()))


def _in_range(row: Property, value: int) -> int:
    if value < row.minimum or value > row.maximum:
        raise ProtocolViolation(f"property {row.name} must not be {value}")
    return value


def _check_together(properties: Properties) -> None:
    response_topic = properties.response_topic
    if response_topic is not None and not validate_topic_name(response_topic):
        raise ProtocolViolation("the response topic is not a topic name")  # [MQTT-3.3.2-14]
    if properties.authentication_data is not None and properties.authentication_method is None:
        raise ProtocolViolation("authentication data without a method")
