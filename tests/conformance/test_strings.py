"""UTF-8 strings and binary fields (1.5): what is refused, and what passes unchanged."""

import pytest

from tests.support import wire
from tests.support.wire import CONNACK, SUBACK, V5, Will

ILL_FORMED = {
    "surrogate": b"\xed\xa0\x80",
    "lone continuation": b"\x80",
    "overlong slash": b"\xc0\xaf",
    "cut short": b"\xe2\x82",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "no lead byte": b"\xff",
}

ill_formed = pytest.mark.parametrize(
    "text", [b"a" + bad for bad in ILL_FORMED.values()], ids=list(ILL_FORMED)
)


@pytest.mark.clause(
    "3.1.1:MQTT-1.5.3-1",
    "5.0:MQTT-1.5.4-1",
    "3.1.1:MQTT-3.3.2-1",
    "5.0:MQTT-3.3.2-1",
    "3.1.1:MQTT-4.8.0-1",
)
@ill_formed
def test_ill_formed_topic_name_closes(connect, version, text):
    client = connect(version=version)
    client.send(wire.publish(version, text))
    client.expect_closed(0x81)


@pytest.mark.clause(
    "3.1.1:MQTT-3.8.3-1", "5.0:MQTT-3.8.3-1", "3.1.1:MQTT-1.5.3-1", "5.0:MQTT-1.5.4-1"
)
@ill_formed
def test_ill_formed_filter_in_subscribe_closes(connect, version, text):
    client = connect(version=version)
    client.send(wire.subscribe(version, [(text, 0)]))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-3.10.3-1", "5.0:MQTT-3.10.3-1")
@ill_formed
def test_ill_formed_filter_in_unsubscribe_closes(connect, version, text):
    client = connect(version=version)
    client.send(wire.unsubscribe(version, [text]))
    client.expect_closed(0x81)


@pytest.mark.clause(
    "3.1.1:MQTT-1.5.3-2", "5.0:MQTT-1.5.4-2", "3.1.1:MQTT-4.7.3-2", "5.0:MQTT-4.7.3-2"
)
def test_null_character_in_topic_name_closes(connect, version, name):
    client = connect(version=version)
    client.send(wire.publish(version, f"{name}\0a"))
    client.expect_closed(0x81)


@pytest.mark.clause(
    "3.1.1:MQTT-1.5.3-2", "5.0:MQTT-1.5.4-2", "3.1.1:MQTT-4.7.3-2", "5.0:MQTT-4.7.3-2"
)
def test_null_character_in_filter_closes(connect, version, name):
    client = connect(version=version)
    client.send(wire.subscribe(version, [(f"{name}\0a", 0)]))
    client.expect_closed(0x81)


@pytest.mark.clause("3.1.1:MQTT-3.1.3-4", "5.0:MQTT-3.1.3-4")
@ill_formed
def test_ill_formed_client_id_is_refused(open_link, version, text):
    client = open_link(version)
    client.send(wire.connect(version, text))
    client.expect_refused(*([0x81, 0x85] if version == V5 else []))


@pytest.mark.clause("3.1.1:MQTT-3.1.3-10", "5.0:MQTT-3.1.3-11")
@ill_formed
def test_ill_formed_will_topic_is_refused(open_link, version, name, text):
    client = open_link(version)
    client.send(wire.connect(version, name, will=Will(text)))
    client.expect_refused(*([0x81, 0x90] if version == V5 else []))


@pytest.mark.clause("3.1.1:MQTT-3.1.3-11", "5.0:MQTT-3.1.3-12")
@ill_formed
def test_ill_formed_user_name_is_refused(open_link, version, name, text):
    client = open_link(version)
    client.send(wire.connect(version, name, user_name=text))
    client.expect_refused(*([0x81] if version == V5 else []))


@pytest.mark.clause("3.1.1:MQTT-1.5.3-3", "5.0:MQTT-1.5.4-3")
def test_byte_order_mark_is_a_character_like_any_other(connect, version, name):
    client = connect(version=version)
    client.subscribe((f"{name}/\ufeffa", 0), (f"{name}/a", 0))
    client.publish(f"{name}/\ufeffa", b"marked")
    client.publish(f"{name}/a", b"plain")
    client.receive_message(f"{name}/\ufeffa", b"marked")
    client.receive_message(f"{name}/a", b"plain")
    client.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-4.7.3-3", "5.0:MQTT-4.7.3-3")
def test_a_string_of_two_bytes_length_holds_no_more_than_it_says(connect, version, name):
    """65,535 bytes is what the length can say; one that says more than there is closes."""
    client = connect(version=version)
    client.send(wire.packet(0x30, b"\xff\xff", name.encode(), wire.property_field(version)))
    client.expect_closed(0x81)


IN_PROPERTIES = {
    "content type": b"\x03",
    "response topic": b"\x08",
    "user property": b"\x26" + wire.string("key"),
    "user property's key": b"\x26",
}


@pytest.mark.clause(
    "5.0:MQTT-1.5.4-1", "5.0:MQTT-1.5.7-1", "5.0:MQTT-3.3.2-13", "5.0:MQTT-3.3.2-19"
)
@pytest.mark.parametrize("start", IN_PROPERTIES.values(), ids=list(IN_PROPERTIES))
@pytest.mark.parametrize("text", [b"a\xed\xa0\x80", b"a\0b"], ids=["surrogate", "null"])
def test_ill_formed_property_closes(connect, name, start, text):
    field = start + wire.string(text) + (wire.string("v") if start == b"\x26" else b"")
    client = connect()
    client.send(wire.publish(V5, name, properties=field))
    client.expect_closed(0x81)


@pytest.mark.clause("5.0:MQTT-1.5.5-1", "5.0:MQTT-2.1.3-1", "3.1.1:MQTT-2.2.2-1")
def test_the_broker_writes_minimal_integers_and_reserved_flags(connect, version, name):
    """The reader of these tests refuses anything else in any packet; here is one of each size."""
    client = connect(version=version)
    client.send(wire.subscribe(version, [(name, 2)]))
    client.expect(SUBACK, flags=0)
    for size in (0, 100, 130, 16_400):
        client.send(wire.publish(version, name, bytes(size), qos=2))
        client.expect(wire.PUBREC, flags=0)
        client.send(wire.acknowledge(version, wire.PUBREL, 1))
        client.take(wire.PUBCOMP)
        message = client.receive_message(name)
        assert message.payload == bytes(size)
    assert client.connack is not None
    assert (client.connack.kind, client.connack.flags) == (CONNACK, 0)
