"""Properties become bytes by the table, one kind after the other."""

import pytest

from rookery.mqtt.encode_properties import encode_properties, encode_property_body
from rookery.mqtt.properties import WILL, Properties
from rookery.mqtt.types import CONNACK, CONNECT, DISCONNECT, PUBACK, PUBLISH


def properties(**values: object) -> Properties:
    made = Properties()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def test_none_is_a_length_of_zero():
    assert encode_properties(PUBLISH, None) == b"\0"
    assert encode_properties(PUBLISH, Properties()) == b"\0"


@pytest.mark.parametrize(
    ("packet_type", "values", "wire"),
    [
        (PUBLISH, {"payload_format_indicator": 1}, "02 01 01"),
        (CONNECT, {"receive_maximum": 300}, "03 21 01 2c"),
        (CONNECT, {"session_expiry_interval": 2**32 - 1}, "05 11 ff ff ff ff"),
        (PUBLISH, {"subscription_identifiers": [1, 200]}, "05 0b 01 0b c8 01"),
        (PUBLISH, {"content_type": "ü"}, "05 03 00 02 c3 bc"),
        (PUBLISH, {"correlation_data": b"\0"}, "04 09 00 01 00"),
        (PUBLISH, {"correlation_data": b""}, "03 09 00 00"),
        (
            PUBLISH,
            {"user_properties": [("b", ""), ("a", "x")]},
            "0d 26 00 01 62 00 00 26 00 01 61 00 01 78",
        ),
        (WILL, {"will_delay_interval": 0}, "05 18 00 00 00 00"),
        (CONNACK, {"maximum_qos": 0}, "02 24 00"),
    ],
)
def test_each_kind(packet_type, values, wire):
    assert encode_properties(packet_type, properties(**values)).hex(" ") == wire


def test_a_length_of_two_bytes():
    wire = encode_properties(PUBLISH, properties(content_type="x" * 200))
    assert wire[:3].hex(" ") == "cb 01 03"
    assert len(wire) == 2 + 203


def test_what_the_packet_may_not_carry_is_left_out():
    both = properties(will_delay_interval=5, payload_format_indicator=0)
    assert encode_properties(PUBLISH, both).hex(" ") == "02 01 00"
    assert encode_properties(WILL, both).hex(" ") == "07 01 00 18 00 00 00 05"


def test_the_body_has_no_length():
    assert encode_property_body(PUBLISH, properties(payload_format_indicator=1)) == b"\x01\x01"


def test_diagnostics_are_left_out_when_asked():
    three = properties(reason_string="r", user_properties=[("k", "v")], server_reference="s")
    assert encode_properties(DISCONNECT, three, diagnostics=False).hex(" ") == "04 1c 00 01 73"
    assert encode_properties(PUBACK, three, diagnostics=False) == b"\0"


@pytest.mark.parametrize(
    "values",
    [
        {"payload_format_indicator": 256},
        {"message_expiry_interval": 2**32},
        {"message_expiry_interval": -1},
    ],
)
def test_a_number_out_of_range_is_our_fault(values):
    with pytest.raises((OverflowError, ValueError)):
        encode_properties(PUBLISH, properties(**values))
