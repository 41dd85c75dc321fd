"""The two kinds of the peer's faults and the reason codes they carry."""

from rookery.mqtt.errors import MalformedPacket, PeerFault, ProtocolViolation, untraced
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


def test_a_fault_without_the_way_it_took():
    try:
        try:
            b"\xff".decode()
        except UnicodeDecodeError as error:
            raise MalformedPacket("not UTF-8") from error
    except MalformedPacket as fault:
        bare = untraced(fault)
    assert (bare.__traceback__, bare.__context__, bare.__cause__) == (None, None, None)
    assert bare.text == "not UTF-8"
