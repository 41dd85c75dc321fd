"""The table of properties against table 2-4 of the standard, counted and cross-read."""

from rookery.mqtt import types
from rookery.mqtt.properties import PROPERTIES, TEXT_PAIR, VARIABLE, WILL, Properties, Property

COUNTS = {
    types.CONNECT: 9,
    types.CONNACK: 17,
    types.PUBLISH: 8,
    WILL: 7,
    types.PUBACK: 2,
    types.PUBREC: 2,
    types.PUBREL: 2,
    types.PUBCOMP: 2,
    types.SUBSCRIBE: 2,
    types.SUBACK: 2,
    types.UNSUBSCRIBE: 1,
    types.UNSUBACK: 2,
    types.DISCONNECT: 4,
    types.AUTH: 4,
    types.PINGREQ: 0,
    types.PINGRESP: 0,
}
"""How many properties the standard's chapter 3 lists for each packet."""


def test_twenty_seven_properties():
    assert len(PROPERTIES) == 27
    assert all(row.identifier == identifier for identifier, row in PROPERTIES.items())


def test_each_packet_has_as_many_as_the_standard_lists():
    found = {
        packet_type: sum(packet_type in row.packets for row in PROPERTIES.values())
        for packet_type in COUNTS
    }
    assert found == COUNTS


def test_each_row_names_an_attribute_that_is_absent_at_first():
    properties = Properties()
    for row in PROPERTIES.values():
        expected = [] if row.kind in (TEXT_PAIR, VARIABLE) else None
        assert getattr(properties, row.name) == expected


def test_each_attribute_has_a_row():
    names = {name for name in dir(Properties()) if not name.startswith("_")}
    assert names == {row.name for row in PROPERTIES.values()}


def test_lists_are_not_shared():
    Properties().user_properties.append(("k", "v"))
    assert Properties().user_properties == []


def test_packet_bits_say_the_same_as_packets():
    row = Property(1, "x", 0, (types.PUBLISH, WILL))
    assert row.packet_bits == 1 << types.PUBLISH | 1 << WILL
