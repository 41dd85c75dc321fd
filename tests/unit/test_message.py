import pytest

from rookery.message import (
    Delivery,
    Message,
    forwarded_properties,
    message_from_publish,
    message_from_will,
    node_message,
)
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.link import CLIENT, SERVER, Link
from rookery.mqtt.packets import Publish
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V3_1, V3_1_1, V5
from tests.support.engine import props, publish, will
from tests.support.packets import describe


def message(payload: bytes = b"payload", qos: int = 1, now: float = 100.0, **values) -> Message:
    return message_from_publish(publish("a/b", payload, qos, **values), "publisher", now)


def link_to(version: int, **opened: int) -> Link:
    """The server's end of a client's link."""
    link = Link(SERVER, PACKET_BYTES_LIMIT, 0)
    link.version = version
    link.open_output(
        opened.get("packet_bytes_max", PACKET_BYTES_LIMIT), opened.get("topic_aliases_max", 0)
    )
    return link


def read(link: Link) -> list[Publish]:
    """What the client makes of the link's output, which must be as long as was counted."""
    counted = link.out_bytes
    data = link.take_output()
    assert counted == len(data)
    client = Link(CLIENT, PACKET_BYTES_LIMIT, 10, link.version)
    client.receive(b"\x20\x03\0\0\0" if link.version == V5 else b"\x20\x02\0\0")
    packets = client.receive(data)
    assert client.fault is None
    return packets


class TestMessage:
    def test_takes_over_what_was_published(self):
        packet = publish("a/b", b"payload", 2, packet_id=9, dup=True, retain=True, content_type="t")
        found = message_from_publish(packet, "publisher", 5.0)
        assert (found.topic, found.topic_wire) == ("a/b", b"\0\3a/b")
        assert (found.payload, found.qos, found.retain) == (b"payload", 2, True)
        assert found.properties is packet.properties
        assert found.publisher == "publisher"
        assert found.expires_at is None

    def test_counts_topic_and_payload(self):
        assert message(b"12345").size_bytes == len(topic_to_wire("a/b")) + 5

    def test_without_an_expiry_it_never_expires(self):
        assert not message().expired(1e12)
        assert not message(content_type="t").expired(1e12)

    @pytest.mark.clause("5.0:MQTT-3.3.2-5")
    def test_expires_after_its_interval(self):
        found = message(now=100.0, message_expiry_interval=5)
        assert found.expires_at == 105.0
        assert not found.expired(104.999)
        assert found.expired(105.0)

    def test_an_interval_of_zero_expires_at_once(self):
        assert message(now=100.0, message_expiry_interval=0).expired(100.0)

    def test_the_node_publishes_with_no_name_and_qos_0(self):
        found = node_message("$SYS/a", b"1", True, 0.0)
        assert (found.topic_wire, found.qos, found.publisher) == (b"\0\6$SYS/a", 0, "")
        assert (found.retain, found.properties) == (True, None)


class TestWill:
    def test_a_plain_will(self):
        found = message_from_will(will("w", b"gone", 1, retain=True), "client", 3.0)
        assert (found.topic, found.topic_wire, found.payload) == ("w", b"\0\1w", b"gone")
        assert (found.qos, found.retain, found.publisher) == (1, True, "client")
        assert found.properties is None

    def test_its_delay_is_no_property_of_the_message(self):
        asked = will("w", will_delay_interval=30, content_type="t", message_expiry_interval=7)
        found = message_from_will(asked, "client", 100.0)
        assert found.properties.will_delay_interval is None
        assert found.properties.content_type == "t"
        assert found.properties.message_expiry_interval == 7
        assert found.expires_at == 107.0, "its life begins when it is published"


class TestForwardedProperties:
    @pytest.mark.clause("5.0:MQTT-3.3.2-18", "5.0:MQTT-3.3.2-4")
    def test_the_application_s_own_pass_unaltered(self):
        source = props(
            payload_format_indicator=1,
            content_type="text",
            response_topic="r",
            correlation_data=b"c",
            user_properties=[("b", "1"), ("a", "2"), ("b", "1")],
        )
        found = forwarded_properties(source, None, ())
        for name in ("payload_format_indicator", "content_type", "response_topic"):
            assert getattr(found, name) == getattr(source, name)
        assert found.correlation_data == b"c"
        assert found.user_properties == [("b", "1"), ("a", "2"), ("b", "1")]

    def test_what_the_sender_said_of_its_own_link_does_not(self):
        source = props(subscription_identifiers=[9], message_expiry_interval=60)
        found = forwarded_properties(source, 58, (3, 4))
        assert found.subscription_identifiers == [3, 4]
        assert found.message_expiry_interval == 58

    def test_without_a_source_only_what_the_node_adds(self):
        found = forwarded_properties(None, None, (1,))
        expected = Properties()
        expected.subscription_identifiers = [1]
        assert vars_of(found) == vars_of(expected)


def vars_of(properties: Properties) -> dict[str, object]:
    return describe(Publish("", b"\0\0", b"", properties=properties))["properties"]


class TestWrite:
    @pytest.mark.parametrize("version", [V3_1, V3_1_1, V5])
    @pytest.mark.parametrize("qos", [0, 1, 2])
    @pytest.mark.parametrize("retain", [False, True])
    def test_the_client_gets_the_message(self, version, qos, retain):
        link = link_to(version)
        delivery = Delivery(message(), qos, retain, (), "")
        packet_id = 0x1234 if qos else 0
        assert delivery.write(link, packet_id, 100.0)
        (found,) = read(link)
        assert (found.topic, found.payload) == ("a/b", b"payload")
        assert (found.qos, found.retain, found.dup) == (qos, retain, False)
        assert found.packet_id == packet_id

    @pytest.mark.parametrize("version", [V3_1_1, V5])
    @pytest.mark.parametrize("qos", [0, 1])
    def test_recipients_share_the_bytes_but_for_the_identifier(self, version, qos):
        delivery = Delivery(message(), qos, False, (), "")
        one, other = link_to(version), link_to(version)
        delivery.write(one, qos * 1, 100.0)
        delivery.write(other, qos * 2, 100.0)
        assert one.out[0] is other.out[0]
        assert [found.packet_id for found in read(one) + read(other)] == [qos * 1, qos * 2]

    def test_versions_do_not_share_their_bytes(self):
        delivery = Delivery(message(), 1, False, (), "")
        old, new = link_to(V3_1_1), link_to(V5)
        delivery.write(new, 1, 100.0)
        delivery.write(old, 1, 100.0)
        assert describe(read(old)[0]) == describe(read(new)[0])

    def test_properties_and_identifiers_go_with_5_0_alone(self):
        delivery = Delivery(message(content_type="t"), 1, False, (7, 8), "")
        old, new = link_to(V3_1_1), link_to(V5)
        delivery.write(old, 1, 100.0)
        delivery.write(new, 1, 100.0)
        assert read(old)[0].properties is None
        found = read(new)[0].properties
        assert (found.content_type, found.subscription_identifiers) == ("t", [7, 8])

    def test_properties_without_identifiers(self):
        link = link_to(V5)
        Delivery(message(content_type="t"), 0, False, (), "").write(link, 0, 100.0)
        assert read(link)[0].properties.content_type == "t"

    @pytest.mark.clause("5.0:MQTT-3.3.2-6")
    @pytest.mark.parametrize(
        ("now", "remaining"), [(100.0, 10), (103.5, 6), (109.9, 1), (110.0, 1)]
    )
    def test_the_expiry_is_what_remains(self, now, remaining):
        link = link_to(V5)
        delivery = Delivery(message(message_expiry_interval=10), 1, False, (), "")
        assert delivery.write(link, 1, now)
        assert read(link)[0].properties.message_expiry_interval == remaining

    def test_an_expiry_is_counted_down_for_each_time_it_is_sent(self):
        delivery = Delivery(message(message_expiry_interval=10), 0, False, (), "")
        link = link_to(V5)
        delivery.write(link, 0, 100.0)
        delivery.write(link, 0, 104.0)
        left = [found.properties.message_expiry_interval for found in read(link)]
        assert left == [10, 6]

    def test_a_topic_alias_is_used_where_the_client_takes_one(self):
        link = link_to(V5, topic_aliases_max=1)
        delivery = Delivery(message(), 0, False, (), "")
        delivery.write(link, 0, 100.0)
        first_bytes = link.out_bytes
        delivery.write(link, 0, 100.0)
        assert link.out_bytes - first_bytes == first_bytes - len("a/b")
        assert [found.topic for found in read(link)] == ["a/b", "a/b"]

    @pytest.mark.clause("5.0:MQTT-3.1.2-24")
    def test_one_byte_too_large_is_not_sent(self):
        delivery = Delivery(message(), 1, False, (), "")
        whole = link_to(V5)
        delivery.write(whole, 1, 100.0)
        fits = link_to(V5, packet_bytes_max=whole.out_bytes)
        assert delivery.write(fits, 1, 100.0)
        small = link_to(V5, packet_bytes_max=whole.out_bytes - 1)
        assert not delivery.write(small, 1, 100.0)
        assert read(small) == []


@pytest.mark.clause("3.1.1:MQTT-3.3.1-1", "5.0:MQTT-3.3.1-1")
@pytest.mark.parametrize("version", [V3_1, V3_1_1, V5])
def test_a_resend_has_dup_and_the_same_identifier(version):
    link = link_to(version)
    delivery = Delivery(message(content_type="t"), 2, True, (), "")
    assert delivery.write(link, 77, 100.0)
    assert delivery.write_again(link, 77, 101.0)
    first, again = read(link)
    assert (first.dup, again.dup) == (False, True)
    again.dup = False
    assert describe(first) == describe(again)
