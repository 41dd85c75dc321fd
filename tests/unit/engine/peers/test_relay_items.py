import pytest

from rookery.engine.peers.relay_items import Arrival, arrival_of
from rookery.mqtt.errors import MalformedPacket
from rookery.mqtt.types import V3_1, V3_1_1, V5
from rookery.ports import Grant, PeerCertificate, Principal
from tests.support.engine import connect, will
from tests.support.packets import describe


def arrival(version: int = V5) -> Arrival:
    principal = Principal(
        name="u",
        client_id="c",
        address="192.0.2.1",
        listener="tcp",
        source="jwt",
        superuser=True,
        groups=frozenset({"g", "h"}),
        attributes={"jwt.sub": "s"},
        grants=(Grant(True, "publish", "a/#", retain=False),),
        expires_at_wall=1_700_000_000.5,
        proof=7,
    )
    certificate = PeerCertificate("cn", "CN=cn", "0a", "ff", ("a.example",), (), ("urn:x",))
    packet = connect("c", version, username="u", password=b"secret", will=will("w", b"gone", 1))
    return Arrival(packet, principal, "m/", "c", b"\0data", "192.0.2.2", "tls", certificate)


class TestAnArrival:
    @pytest.mark.parametrize("version", [V3_1, V3_1_1, V5])
    def test_is_told_whole(self, version: int):
        told = arrival(version)
        known = arrival_of(told.encode())
        told.connect.password = None
        assert describe(known.connect) == describe(told.connect)
        told.principal.proof = 0  # Another node could not read it.
        for name in ("principal", "mountpoint", "assigned", "data", "address", "listener"):
            assert getattr(known, name) == getattr(told, name)
        assert known.certificate == told.certificate

    def test_with_little_to_tell(self):
        told = Arrival(connect("c"), Principal(None), "", "", None, "", "", None)
        known = arrival_of(told.encode())
        assert known.principal == told.principal
        assert known.data is None
        assert known.certificate is None

    def test_leaves_the_password_where_it_was_checked(self):
        assert b"secret" not in arrival().encode()

    @pytest.mark.parametrize("length", [0, 3, 4, 20, -1])
    def test_that_is_cut_short_is_refused(self, length: int):
        with pytest.raises(MalformedPacket, match="who comes"):
            arrival_of(arrival().encode()[:length])

    def test_that_says_something_else_is_refused(self):
        with pytest.raises(MalformedPacket, match="who comes"):
            arrival_of(b"\0\0\0\2{}" + connect_wire())


def connect_wire() -> bytes:
    whole = arrival().encode()
    return whole[4 + int.from_bytes(whole[:4], "big") :]
