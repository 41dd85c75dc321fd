"""Packets that break the format (2, 3.x.1, 4.8, 4.13): the connection closes, 5.0 says why."""

import pytest

from tests.support import wire
from tests.support.wire import V3_1_1, V5, packet, property_field, string, u16

WRONG_FLAGS = [
    pytest.param(0x42, u16(1), id="PUBACK"),
    pytest.param(0x52, u16(1), id="PUBREC"),
    pytest.param(
        0x60,
        u16(1),
        id="PUBREL",
        marks=pytest.mark.clause("3.1.1:MQTT-3.6.1-1", "5.0:MQTT-3.6.1-1"),
    ),
    pytest.param(0x71, u16(1), id="PUBCOMP"),
    pytest.param(0xC1, b"", id="PINGREQ"),
    pytest.param(
        0xE4,
        b"",
        id="DISCONNECT",
        marks=pytest.mark.clause("3.1.1:MQTT-3.14.1-1", "5.0:MQTT-3.14.1-1"),
    ),
]


@pytest.mark.clause("3.1.1:MQTT-2.2.2-2", "5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize(("first_byte", "body"), WRONG_FLAGS)
def test_reserved_flags_of_the_fixed_header(connect, version, first_byte, body):
    client = connect(version=version)
    client.send(packet(first_byte, body))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-3.8.1-1", "5.0:MQTT-3.8.1-1", "3.1.1:MQTT-2.2.2-2")
@pytest.mark.parametrize("flags", [0, 1, 3, 6, 10])
def test_reserved_flags_of_subscribe(connect, version, name, flags):
    client = connect(version=version)
    client.send(packet(0x80 | flags, u16(1), property_field(version), string(name), b"\0"))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-3.10.1-1", "5.0:MQTT-3.10.1-1", "3.1.1:MQTT-2.2.2-2")
@pytest.mark.parametrize("flags", [0, 1, 3, 6, 10])
def test_reserved_flags_of_unsubscribe(connect, version, name, flags):
    client = connect(version=version)
    client.send(packet(0xA0 | flags, u16(1), property_field(version), string(name)))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-2.2.2-2")
def test_reserved_flags_of_connect(open_link, version, name):
    client = open_link(version)
    client.send(b"\x11" + wire.connect(version, name)[1:])
    client.expect_refused(*([0x81] if version == V5 else []))


@pytest.mark.clause("5.0:MQTT-3.15.1-1")
def test_reserved_flags_of_auth(connect):
    client = connect()
    client.send(packet(0xF1))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-3.3.1-4", "5.0:MQTT-3.3.1-4", "5.0:MQTT-4.13.1-1")
def test_publish_with_both_qos_bits(connect, version, name):
    client = connect(version=version)
    client.send(wire.publish(version, name, qos=3))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-3.3.1-2", "5.0:MQTT-3.3.1-2")
def test_publish_of_qos_0_with_dup(connect, version, name):
    client = connect(version=version)
    client.send(wire.publish(version, name, dup=True))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-4.8.0-1")
@pytest.mark.parametrize("kind", [0, wire.CONNACK, wire.SUBACK, wire.UNSUBACK, wire.PINGRESP])
def test_packet_type_a_client_never_sends(connect, version, kind):
    client = connect(version=version)
    client.send(packet(kind << 4, u16(1)))
    client.expect_closed()


@pytest.mark.clause("3.1.1:MQTT-4.8.0-1")
def test_auth_before_5_is_no_packet(connect):
    client = connect(version=V3_1_1)
    client.send(packet(0xF0))
    client.expect_closed()


@pytest.mark.clause("3.1.1:MQTT-4.8.0-1", "5.0:MQTT-4.13.1-1")
def test_remaining_length_of_five_bytes(connect, version):
    client = connect(version=version)
    client.send(b"\x30\xff\xff\xff\xff\x01")
    client.expect_closed(0x81)


@pytest.mark.clause("5.0:MQTT-1.5.5-1")
def test_remaining_length_longer_than_needed(connect, name):
    """The rule binds the sender; this broker, like the letter, holds the peer to it."""
    client = connect()
    body = string(name) + b"\0"
    client.send(bytes([0x30, 0x80 | len(body), 0x00]) + body)
    client.expect_closed(0x81)


@pytest.mark.clause(
    "3.1.1:MQTT-2.3.1-1", "5.0:MQTT-2.2.1-3", "3.1.1:MQTT-4.8.0-1", "5.0:MQTT-4.13.1-1"
)
@pytest.mark.parametrize("kind", ["PUBLISH 1", "PUBLISH 2", "SUBSCRIBE", "UNSUBSCRIBE"])
def test_packet_identifier_zero(connect, version, name, kind):
    client = connect(version=version)
    match kind:
        case "SUBSCRIBE":
            client.send(wire.subscribe(version, [(name, 0)], packet_id=0))
        case "UNSUBSCRIBE":
            client.send(wire.unsubscribe(version, [name], packet_id=0))
        case _:
            client.send(wire.publish(version, name, qos=int(kind[-1]), packet_id=0))
    client.expect_closed()


@pytest.mark.clause("3.1.1:MQTT-3.8.3-3", "5.0:MQTT-3.8.3-2")
def test_subscribe_without_filters(connect, version):
    client = connect(version=version)
    client.send(wire.subscribe(version, []))
    client.expect_closed()


@pytest.mark.clause("3.1.1:MQTT-3.10.3-2", "5.0:MQTT-3.10.3-2")
def test_unsubscribe_without_filters(connect, version):
    client = connect(version=version)
    client.send(wire.unsubscribe(version, []))
    client.expect_closed()


@pytest.mark.clause("3.1.1:MQTT-3.8.3-4")
@pytest.mark.parametrize("options", [0x03, 0x04, 0x08, 0x10, 0x40, 0x80])
def test_reserved_bits_of_the_requested_qos_before_5(connect, name, options):
    client = connect(version=V3_1_1)
    client.send(wire.subscribe(V3_1_1, [(name, options)]))
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-3.8.3-5")
@pytest.mark.parametrize("options", [0x03, 0x30, 0x40, 0x80])
def test_reserved_bits_of_the_subscription_options(connect, name, options):
    """QoS 3 and retain handling 3 are no values of their fields; the top two bits are reserved."""
    client = connect()
    client.send(wire.subscribe(V5, [(name, options)]))
    client.expect_closed()


@pytest.mark.clause("3.1.1:MQTT-4.8.0-1", "5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"\0\x05ab"],
    ids=["empty", "half a length", "cut topic"],
)
def test_publish_shorter_than_its_fields(connect, version, body):
    client = connect(version=version)
    client.send(packet(0x30, body))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-4.8.0-1", "5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize("kind", [wire.PUBACK, wire.PUBREC, wire.PUBCOMP])
def test_acknowledgement_shorter_than_its_identifier(connect, version, kind):
    client = connect(version=version)
    client.send(packet(kind << 4, b"\0"))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-4.8.0-1", "5.0:MQTT-4.13.1-1")
def test_ping_with_a_body(connect, version):
    client = connect(version=version)
    client.send(packet(0xC0, b"\0"))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-4.8.0-1")
@pytest.mark.parametrize(
    "surplus",
    [
        packet(0x40, u16(1), b"\0"),
        packet(0x62, u16(1), b"\0"),
        packet(0xE0, b"\0"),
        packet(0x82, u16(1), string("a"), b"\0", b"\0"),
        packet(0xA2, u16(1), string("a"), b"\0"),
    ],
    ids=["PUBACK", "PUBREL", "DISCONNECT", "SUBSCRIBE", "UNSUBSCRIBE"],
)
def test_bytes_after_the_last_field_before_5(connect, surplus):
    client = connect(version=V3_1_1)
    client.send(surplus)
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "surplus",
    [
        packet(0x40, u16(1), b"\0\0\0"),
        packet(0xE0, b"\0\0\0"),
        packet(0x82, u16(1), b"\0", string("a"), b"\0\0"),
        packet(0xA2, u16(1), b"\0", string("a"), b"\0"),
    ],
    ids=["PUBACK", "DISCONNECT", "SUBSCRIBE", "UNSUBSCRIBE"],
)
def test_bytes_after_the_last_field(connect, surplus):
    client = connect()
    client.send(surplus)
    client.expect_closed(0x81)


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize("reason", [0x01, 0x10, 0x8B, 0x8D, 0x8E])
def test_disconnect_with_a_reason_no_client_sends(connect, name, reason):
    """The connection ends either way; the will shows that it was no normal end."""
    watcher = connect()
    watcher.subscribe(name)
    client = connect(will=wire.Will(name, b"gone"))
    client.send(wire.disconnect(V5, reason))
    client.expect_closed()
    watcher.receive_message(name, b"gone")


MALFORMED_PROPERTIES = {
    "unknown identifier": b"\x04\x00",
    "value cut short": b"\x02\x00\x00",
    "identifier alone": b"\x01",
    "payload format 2": b"\x01\x02",
    "payload format twice": b"\x01\x00\x01\x00",
    "content type twice": b"\x03\0\x01a\x03\0\x01a",
    "of another packet": b"\x11\0\0\0\x01",
    "of the will alone": b"\x18\0\0\0\x01",
}


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize("field", MALFORMED_PROPERTIES.values(), ids=list(MALFORMED_PROPERTIES))
def test_properties_of_publish(connect, name, field):
    client = connect()
    client.send(wire.publish(V5, name, properties=field))
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-4.13.1-1", "5.0:MQTT-2.2.2-1")
def test_property_length_beyond_the_packet(connect, name):
    client = connect()
    client.send(packet(0x30, string(name), b"\x20"))
    client.expect_closed(0x81)


@pytest.mark.clause("5.0:MQTT-2.2.2-1")
def test_property_length_missing(connect, name):
    client = connect()
    client.send(packet(0x30, string(name)))
    client.expect_closed(0x81)


@pytest.mark.clause("5.0:MQTT-2.2.2-1")
def test_the_broker_writes_a_property_length_of_zero(connect, name):
    """The bytes of a delivery without properties, one by one."""
    client = connect()
    client.subscribe((name, 0))
    client.publish(name, b"x")
    expected = packet(0x30, string(name), b"\0", b"x")
    assert client.expect(wire.PUBLISH, payload=b"x", properties=[]).size == len(expected)


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
def test_subscription_identifier_zero(connect, name):
    client = connect()
    client.send(wire.subscribe(V5, [(name, 0)], properties={"subscription_id": 0}))
    client.expect_closed(0x82)


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
def test_subscription_identifier_twice(connect, name):
    client = connect()
    client.send(wire.subscribe(V5, [(name, 0)], properties={"subscription_id": [1, 2]}))
    client.expect_closed(0x82)


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [(wire.PUBACK, 0x92), (wire.PUBREC, 0x18), (wire.PUBREL, 0x10), (wire.PUBCOMP, 0x87)],
    ids=["PUBACK", "PUBREC", "PUBREL", "PUBCOMP"],
)
def test_reason_code_of_another_packet(connect, kind, reason):
    client = connect()
    client.send(wire.acknowledge(V5, kind, 1, reason))
    client.expect_closed()


@pytest.mark.clause("5.0:MQTT-4.13.1-1", "5.0:MQTT-4.13.2-1", "5.0:MQTT-3.14.4-2")
def test_nothing_follows_the_disconnect_of_the_broker(connect, name):
    client = connect()
    client.subscribe(name)
    client.send(packet(0xC1), wire.publish(V5, name, b"after the fault"))
    client.expect_closed(0x81)


@pytest.mark.clause("5.0:MQTT-3.14.2-1", "5.0:MQTT-3.14.4-1")
def test_disconnect_says_a_reason_of_its_table_and_is_the_last_packet(connect, name):
    client = connect()
    client.send(wire.publish(V5, name, qos=3))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-2.3.1-5", "5.0:MQTT-2.2.1-2")
def test_publish_of_qos_0_has_no_packet_identifier(connect, version, name):
    """Bytes that look like an identifier are payload, in and out."""
    client = connect(version=version)
    client.subscribe(name)
    client.publish(name, b"\x00\x05payload")
    found = client.expect(wire.PUBLISH, qos=0, packet_id=None)
    assert found.payload == b"\x00\x05payload"
    assert found.topic == name


@pytest.mark.clause("3.1.1:MQTT-7.1.1-1", "5.0:MQTT-4.2-1")
def test_packets_arrive_in_any_pieces(connect, version, name):
    """TCP keeps the order of bytes, not the borders of packets."""
    client = connect(version=version)
    client.subscribe((name, 0))
    stream = wire.publish(version, name, b"one") + wire.publish(version, name, b"two")
    for byte in stream:
        client.send(bytes([byte]))
    client.send(wire.publish(version, name, b"three") + wire.publish(version, name, b"four"))
    for payload in (b"one", b"two", b"three", b"four"):
        client.receive_message(name, payload)
