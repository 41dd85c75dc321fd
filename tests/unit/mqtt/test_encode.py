"""Packets become the bytes of the vectors, and what a version lacks is mapped or left out."""

import pytest

from rookery.mqtt.encode import encode_packet, encode_publish
from rookery.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import V3_1, V3_1_1, V5, ReasonCode
from tests.support import vectors

CANONICAL = [each for each in vectors.load() if each.fault is None and each.canonical]

FAILURE_CODES = [code for code in ReasonCode if code >= 0x80]


def explained() -> Properties:
    properties = Properties()
    properties.reason_string = "because"
    properties.user_properties = [("k", "v")]
    return properties


@pytest.mark.parametrize("vector", CANONICAL, ids=lambda vector: vector.name)
def test_vector(vector: vectors.Vector):
    packets = vector.link().receive(vector.data)
    assert b"".join(encode_packet(each, vector.version) for each in packets) == vector.data


class TestConnAckBefore5:
    @pytest.mark.parametrize("version", [V3_1, V3_1_1])
    @pytest.mark.parametrize("reason_code", FAILURE_CODES, ids=lambda code: code.name)
    def test_every_reason_has_a_return_code(self, version, reason_code):
        wire = encode_packet(ConnAck(reason_code), version)
        code = {
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: 1,
            ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: 2,
            ReasonCode.BAD_USER_NAME_OR_PASSWORD: 4,
            ReasonCode.NOT_AUTHORIZED: 5,
            ReasonCode.BANNED: 5,
        }.get(reason_code, 3)
        assert wire == bytes((0x20, 2, 0, code))

    def test_session_present_is_not_told_in_3_1(self):
        packet = ConnAck(session_present=True)
        assert encode_packet(packet, V3_1) == b"\x20\x02\0\0"
        assert encode_packet(packet, V3_1_1) == b"\x20\x02\x01\0"

    def test_properties_are_left_out(self):
        assert encode_packet(ConnAck(properties=explained()), V3_1_1) == b"\x20\x02\0\0"


class TestAcknowledgementsBefore5:
    @pytest.mark.parametrize(
        ("kind", "first"), [(PubAck, 0x40), (PubRec, 0x50), (PubRel, 0x62), (PubComp, 0x70)]
    )
    def test_reason_and_properties_are_left_out(self, kind, first):
        packet = kind(5, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND, explained())
        assert encode_packet(packet, V3_1_1) == bytes((first, 2, 0, 5))

    @pytest.mark.parametrize("version", [V3_1, V3_1_1])
    def test_suback_says_0x80_for_every_failure(self, version):
        packet = SubAck(5, [ReasonCode.GRANTED_QOS_2, *FAILURE_CODES], explained())
        body = b"\0\x05\x02" + b"\x80" * len(FAILURE_CODES)
        assert encode_packet(packet, version) == bytes((0x90, len(body))) + body

    def test_unsuback_has_no_codes(self):
        packet = UnsubAck(5, [ReasonCode.NOT_AUTHORIZED], explained())
        assert encode_packet(packet, V3_1_1) == b"\xb0\x02\0\x05"


class TestOthersBefore5:
    def test_subscription_options_but_the_qos_are_left_out(self):
        packet = Subscribe(1, [SubscriptionRequest("a", 1, True, True, 2)])
        assert encode_packet(packet, V3_1_1) == b"\x82\x06\0\x01\0\x01a\x01"

    def test_disconnect_is_empty(self):
        packet = Disconnect(ReasonCode.DISCONNECT_WITH_WILL, explained())
        assert encode_packet(packet, V3_1_1) == b"\xe0\0"

    def test_publish_has_no_properties(self):
        packet = Publish("a", b"\0\x01a", b"x", properties=explained())
        assert encode_packet(packet, V3_1_1) == b"\x30\x04\0\x01ax"

    def test_connect_properties_are_left_out(self):
        packet = Connect("id", V3_1_1, properties=explained())
        assert encode_packet(packet, V3_1_1).hex(" ") == (
            "10 0e 00 04 4d 51 54 54 04 02 00 00 00 02 69 64"
        )

    def test_auth_does_not_exist(self):
        with pytest.raises(AssertionError):
            encode_packet(Auth(), V3_1_1)


class TestWithoutDiagnostics:
    @pytest.mark.parametrize(
        ("packet", "wire"),
        [
            (PubAck(5, ReasonCode.NOT_AUTHORIZED, explained()), "40 03 00 05 87"),
            (PubRec(5, ReasonCode.NOT_AUTHORIZED, explained()), "50 03 00 05 87"),
            (PubRel(5, properties=explained()), "62 02 00 05"),
            (PubComp(5, properties=explained()), "70 02 00 05"),
            (SubAck(5, [ReasonCode.SUCCESS], explained()), "90 04 00 05 00 00"),
            (UnsubAck(5, [ReasonCode.SUCCESS], explained()), "b0 04 00 05 00 00"),
            (ConnAck(ReasonCode.BANNED, properties=explained()), "20 03 00 8a 00"),
            (Disconnect(ReasonCode.SERVER_BUSY, explained()), "e0 02 89 00"),
            (Auth(ReasonCode.SUCCESS, explained()), "f0 00"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_reason_string_and_user_properties_are_left_out(self, packet, wire):
        assert encode_packet(packet, V5, diagnostics=False).hex(" ") == wire


class TestTopicAlias:
    def test_with_the_topic_name(self):
        packet = Publish("a", b"\0\x01a", b"x")
        assert encode_publish(packet, V5, alias=7).hex(" ") == "30 08 00 01 61 03 23 00 07 78"

    def test_in_place_of_the_topic_name(self):
        packet = Publish("a", b"\0\x01a", b"x")
        assert encode_publish(packet, V5, 7, known=True).hex(" ") == "30 07 00 00 03 23 00 07 78"

    def test_beside_other_properties(self):
        properties = Properties()
        properties.payload_format_indicator = 1
        packet = Publish("a", b"\0\x01a", b"x", 1, False, True, 9, properties)
        assert encode_publish(packet, V5, 7, known=True).hex(" ") == (
            "3a 0b 00 00 00 09 05 23 00 07 01 01 78"
        )


class TestOurOwnFaults:
    def test_a_packet_identifier_out_of_range(self):
        with pytest.raises(IndexError):
            encode_packet(PubAck(65_536), V5)

    def test_a_text_too_long(self):
        with pytest.raises(ValueError, match="65536"):
            encode_packet(Connect("x" * 65_536, V5), V5)
