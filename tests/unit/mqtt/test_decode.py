"""Every vector is decoded as it says. (The other test files of this folder go into single rules.)"""

import pytest

from rookery.mqtt.decode import check_header, read_packet
from rookery.mqtt.errors import MalformedPacket, ProtocolViolation
from rookery.mqtt.reader import Reader
from rookery.mqtt.types import PINGREQ, PUBACK, SUBSCRIBE, V3_1, V3_1_1, V5
from tests.support import vectors
from tests.support.packets import describe

VECTORS = vectors.load()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(vector: vectors.Vector):
    link = vector.link()
    packets = [describe(packet) for packet in link.receive(vector.data)]
    fault = None if link.fault is None else link.fault.reason_code.name
    assert (packets, fault) == (vector.packets, vector.fault)
    if vector.link_version is not None:
        assert link.version == vector.link_version


def test_the_vectors_cover_every_packet_in_every_version():
    found = {(packet["type"], each.version) for each in VECTORS for packet in each.packets}
    kinds = {kind for kind, _ in found}
    assert len(kinds) == 15
    missing = {(kind, version) for kind in kinds for version in (3, 4, 5)} - found
    assert missing == {("Auth", 3), ("Auth", 4)}


class TestCheckHeader:
    def test_accepts_what_the_sender_may_send(self):
        check_header(0xC0, V3_1_1, True)
        check_header(0xD0, V5, False)

    def test_the_flags_of_three_packets_are_two(self):
        for first in (0x62, 0x82, 0xA2):
            check_header(first, V3_1_1, True)
            with pytest.raises(MalformedPacket):
                check_header(first & 0xF0, V3_1_1, True)

    def test_3_1_allows_dup(self):
        check_header(0x8A, V3_1, True)
        with pytest.raises(MalformedPacket):
            check_header(0x8A, V3_1_1, True)

    def test_refuses_the_wrong_side(self):
        with pytest.raises(ProtocolViolation):
            check_header(0xC0, V5, False)
        with pytest.raises(ProtocolViolation):
            check_header(0xD0, V5, True)


class TestReadPacket:
    def test_reads_between_at_and_stop(self):
        packet = read_packet(Reader(b"\xff\0\x07\xff", 1, 3), PUBACK, V5, True)
        assert describe(packet) == {"type": "PubAck", "packet_id": 7}

    def test_refuses_what_is_left_over(self):
        with pytest.raises(MalformedPacket, match="longer"):
            read_packet(Reader(b"\0", 0, 1), PINGREQ, V5, True)

    def test_refuses_what_is_missing(self):
        with pytest.raises(MalformedPacket, match="shorter"):
            read_packet(Reader(b"\0\x01\0\0\x02a", 0, 6), SUBSCRIBE, V5, True)
