"""The link: pieces of a stream in, packets out; packets in, bounded bytes out."""

import pytest

from rookery.mqtt.link import CLIENT, SERVER, Link
from rookery.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    Subscribe,
    SubscriptionRequest,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V3_1_1, V5, ReasonCode
from rookery.mqtt.wire import topic_to_wire
from tests.support.packets import describe
from tests.support.vectors import GREETING, established

PUBLISH = b"\x30\x05\0\x01axx"


def publish(topic: str, payload: bytes = b"", properties: Properties | None = None) -> Publish:
    return Publish(topic, topic_to_wire(topic), payload, properties=properties)


def explained(text: str = "because") -> Properties:
    properties = Properties()
    properties.reason_string = text
    properties.user_properties = [("k", "v")]
    return properties


class TestPieces:
    def test_the_rest_of_a_packet_is_awaited(self):
        link = established("client", V3_1_1)
        assert link.receive(PUBLISH[:3]) == []
        assert link.receive(PUBLISH[3:6]) == []
        assert len(link.receive(PUBLISH[6:])) == 1
        assert link.fault is None

    def test_whole_packets_and_a_piece(self):
        link = established("client", V3_1_1)
        assert len(link.receive(PUBLISH * 3 + PUBLISH[:1])) == 3
        assert len(link.receive(PUBLISH[1:] + PUBLISH)) == 2

    def test_every_single_byte(self):
        link = established("client", V3_1_1)
        stream = (PUBLISH + b"\x30\x85\x01\0\x01a" + b"x" * 130) * 2
        packets = [each for byte in stream for each in link.receive(bytes((byte,)))]
        assert [len(each.payload) for each in packets] == [2, 130, 2, 130]

    def test_a_packet_of_two_bytes_is_whole_with_its_second(self):
        link = established("client", V3_1_1)
        assert link.receive(b"\xc0") == []
        assert len(link.receive(b"\0")) == 1

    def test_nothing(self):
        link = established("client", V3_1_1)
        assert link.receive(b"") == []
        assert link.receive(b"\x30") == []
        assert link.receive(b"") == []
        assert len(link.receive(PUBLISH[1:])) == 1

    def test_a_large_packet_in_small_pieces_is_copied_once_more_not_each_time(self):
        """Held back are the pieces as they came; they are put together when the last is here."""
        link = established("client", V3_1_1, packet_bytes_max=2 << 20)
        payload = bytes(1 << 20)
        remaining = len(payload) + 3
        stream = b"\x30" + bytes((remaining & 127 | 128, remaining >> 7 & 127 | 128))
        stream += bytes((remaining >> 14,)) + b"\0\x01a" + payload
        packets = []
        for at in range(0, len(stream), 16):
            packets += link.receive(stream[at : at + 16])
        assert [each.payload == payload for each in packets] == [True]


class TestFault:
    def test_packets_before_it_are_returned_and_nothing_after_it(self):
        link = established("client", V3_1_1)
        assert len(link.receive(PUBLISH + b"\x00\x00" + PUBLISH)) == 1
        assert link.fault.reason_code is ReasonCode.MALFORMED_PACKET
        assert link.receive(PUBLISH) == []

    def test_too_large_is_known_by_the_header(self):
        link = established("client", V3_1_1, packet_bytes_max=100)
        assert link.receive(b"\x30\x63") == []
        assert link.fault.reason_code is ReasonCode.PACKET_TOO_LARGE

    def test_too_large_counts_the_header(self):
        link = established("client", V3_1_1, packet_bytes_max=100)
        assert len(link.receive(b"\x30\x62\0\x01a" + b"x" * 95)) == 1

    def test_a_wrong_greeting_is_known_by_its_first_two_bytes(self):
        link = Link(SERVER, 100, 0)
        assert link.receive(b"GE") == []
        assert link.fault.reason_code is ReasonCode.PROTOCOL_ERROR
        assert link.version == 0

    def test_the_version_is_known_when_the_connect_fails_later(self):
        link = Link(SERVER, 100, 0)
        link.receive(GREETING[V5].replace(b"\x05\x02", b"\x05\x03"))
        assert link.fault.reason_code is ReasonCode.MALFORMED_PACKET
        assert link.version == V5
        assert link.send(ConnAck(link.fault.reason_code))
        assert link.take_output() == b"\x20\x03\0\x81\0"


class TestTopics:
    def test_the_wire_form_is_shared_between_packets(self):
        link = established("client", V3_1_1)
        one, other = link.receive(PUBLISH * 2)
        assert one.topic_wire == b"\0\x01a"
        assert one.topic_wire is other.topic_wire
        assert one.topic is other.topic

    def test_aliases_belong_to_one_link(self):
        one, other = established("client", V5), established("client", V5)
        one.receive(b"\x30\x07\0\x01a\x03\x23\0\x01")
        use = b"\x30\x06\0\0\x03\x23\0\x01"
        assert [each.topic for each in one.receive(use)] == ["a"]
        assert other.receive(use) == []
        assert other.fault.reason_code is ReasonCode.PROTOCOL_ERROR

    def test_an_alias_leaves_no_trace(self):
        link = established("client", V5)
        (alone,) = link.receive(b"\x30\x07\0\x01a\x03\x23\0\x01")
        assert alone.properties is None
        (beside,) = link.receive(b"\x30\x08\0\0\x05\x23\0\x01\x01\x01")
        assert describe(beside)["properties"] == {"payload_format_indicator": 1}


class TestSend:
    def test_output_is_joined_and_counted(self):
        link = established("client", V5)
        assert link.send(PingResp())
        assert link.send(PubAck(7))
        assert link.out == [b"\xd0\0", b"\x40\x02\0\x07"]
        assert link.out_bytes == 6
        assert link.take_output() == b"\xd0\0\x40\x02\0\x07"
        assert (link.out, link.out_bytes, link.take_output()) == ([], 0, b"")

    def test_hot_code_may_append(self):
        link = established("client", V5)
        link.out.append(b"abc")
        link.out_bytes += 3
        link.send(PingResp())
        assert link.out_bytes == 5
        assert link.take_output() == b"abc\xd0\0"

    def test_too_large_for_the_peer(self):
        link = established("client", V5)
        assert link.packet_bytes_out_max == PACKET_BYTES_LIMIT
        link.open_output(20, 0)
        assert link.send(publish("a", b"x" * 14))
        assert not link.send(publish("a", b"x" * 15))
        assert len(link.take_output()) == 20

    def test_diagnostics_go_first(self):
        link = established("client", V5)
        link.open_output(10, 0)
        assert link.send(PubAck(7, ReasonCode.NOT_AUTHORIZED, explained()))
        assert link.take_output() == b"\x40\x03\0\x07\x87"

    def test_diagnostics_stay_where_they_fit(self):
        link = established("client", V5)
        link.open_output(100, 0)
        assert link.send(PubAck(7, ReasonCode.NOT_AUTHORIZED, explained()))
        assert b"because" in link.take_output()

    def test_what_is_too_large_without_them_is_not_sent(self):
        link = established("client", V5)
        link.open_output(4, 0)
        assert not link.send(PubAck(7, ReasonCode.NOT_AUTHORIZED, explained()))
        assert (link.out, link.out_bytes) == ([], 0)

    @pytest.mark.parametrize(
        "packet",
        [
            publish("a", b"", explained()),
            Subscribe(1, [SubscriptionRequest("a")], explained()),
            Connect("a", V5, properties=explained()),
        ],
        ids=lambda packet: type(packet).__name__,
    )
    def test_the_applications_user_properties_are_never_left_out(self, packet):
        link = established("server", V5)
        link.open_output(12, 0)
        assert not link.send(packet)

    def test_disconnect_of_a_server_before_5_is_nothing(self):
        link = established("client", V3_1_1)
        assert link.send(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN))
        assert (link.out, link.out_bytes) == ([], 0)

    def test_disconnect_of_a_client_before_5(self):
        link = established("server", V3_1_1)
        assert link.send(Disconnect())
        assert link.take_output() == b"\xe0\0"

    def test_a_client_says_the_version_it_was_given(self):
        link = Link(CLIENT, 1000, 0, V5)
        assert link.send(Connect("id", V5, keep_alive_seconds=60))
        assert link.take_output() == GREETING[V5]
        assert link.send(PingReq())


class TestOutboundAliases:
    def link(self, topic_aliases_max: int, packet_bytes_max: int = 1000) -> Link:
        link = established("client", V5)
        link.open_output(packet_bytes_max, topic_aliases_max)
        return link

    def sent(self, link: Link, topic: str) -> str:
        assert link.send(publish(topic, b"x"))
        return link.take_output().hex(" ")

    def test_a_topic_gets_an_alias_and_uses_it(self):
        link = self.link(2)
        assert self.sent(link, "a") == "30 08 00 01 61 03 23 00 01 78"
        assert self.sent(link, "a") == "30 07 00 00 03 23 00 01 78"
        assert self.sent(link, "b") == "30 08 00 01 62 03 23 00 02 78"
        assert self.sent(link, "a") == "30 07 00 00 03 23 00 01 78"

    def test_first_come_until_all_are_given_away(self):
        link = self.link(1)
        self.sent(link, "a")
        assert self.sent(link, "b") == "30 05 00 01 62 00 78"
        assert self.sent(link, "a") == "30 07 00 00 03 23 00 01 78"

    def test_none_where_the_peer_takes_none(self):
        assert self.sent(self.link(0), "a") == "30 05 00 01 61 00 78"

    def test_none_before_5(self):
        link = established("client", V3_1_1)
        link.open_output(1000, 5)
        assert self.sent(link, "a") == "30 04 00 01 61 78"

    def test_no_alias_where_it_would_make_the_packet_too_large(self):
        link = self.link(1, packet_bytes_max=8)
        assert self.sent(link, "a") == "30 05 00 01 61 00 78"
        assert self.sent(link, "a") == "30 05 00 01 61 00 78"

    def test_the_peer_reads_them(self):
        link = self.link(10)
        peer = established("server", V5)
        for topic in ("a", "b", "a", "a", "b"):
            link.send(publish(topic))
        assert [each.topic for each in peer.receive(link.take_output())] == list("abaab")
        assert peer.fault is None


class TestFaults:
    @pytest.mark.parametrize("stream", [b"\xff\x00", b"\x30\x03\x00\x01\xff"])
    def test_a_fault_keeps_nothing_alive(self, stream: bytes):
        link = established("client", V3_1_1)
        link.receive(stream)
        fault = link.fault
        assert fault is not None
        assert (fault.__traceback__, fault.__context__, fault.__cause__) == (None, None, None)


class TestStepByStep:
    def stopped(self, rest: bytes = b"") -> Link:
        link = Link(SERVER, 1_000, 10)
        link.stepwise = True
        packets = link.receive(GREETING[V3_1_1] + rest)
        assert [type(each) for each in packets] == [Connect]
        assert link.stopped
        return link

    def test_nothing_is_decoded_behind_a_packet_until_it_goes_on(self):
        link = self.stopped(PUBLISH[:3])
        assert link.receive(PUBLISH[3:]) == []
        assert link.receive(PUBLISH) == []
        assert len(link.go_on()) == 2
        assert not link.stopped
        assert len(link.receive(PUBLISH)) == 1

    def test_it_stops_again_behind_the_next(self):
        link = self.stopped(b"\xc0\0" + PUBLISH)
        assert [type(each) for each in link.go_on()] == [PingReq]
        link.stepwise = False
        assert [type(each) for each in link.go_on()] == [Publish]

    def test_the_rest_may_be_for_somebody_else(self):
        link = self.stopped(PUBLISH + PUBLISH[:2])
        link.receive(PUBLISH[2:])
        assert link.take_rest() == PUBLISH * 2
        assert link.take_rest() == b""

    def test_who_takes_it_begins_behind_the_connect(self):
        link = Link(SERVER, 1_000, 10)
        link.establish(V3_1_1)
        assert [type(each) for each in link.receive(PUBLISH)] == [Publish]
