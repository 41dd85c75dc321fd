"""The two kinds of the peer's faults and the reason codes they carry."""

from rookery.mqtt.errors import MalformedPacket, PeerFault, ProtocolViolation
from rookery.mqtt.types import ReasonCode


def test_each_kind_has_its_usual_reason():
    assert MalformedPacket("m").reason_code is ReasonCode.MALFORMED_PACKET
    assert ProtocolViolation("p").reason_code is ReasonCode.PROTOCOL_ERROR


def test_another_reason_can_be_named():
    fault = ProtocolViolation("too large", ReasonCode.PACKET_TOO_LARGE)
    assert fault.reason_code is ReasonCode.PACKET_TOO_LARGE
    assert fault.text == str(fault) == "too large"


def test_both_are_the_peers_fault():
    assert issubclass(MalformedPacket, PeerFault)
    assert issubclass(ProtocolViolation, PeerFault)
