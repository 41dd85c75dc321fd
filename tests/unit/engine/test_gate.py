from typing import Any

import pytest
from structlog.testing import capture_logs

from rookery.engine.gate import Quota
from rookery.engine.settings import Rates
from rookery.mqtt.packets import Auth, PingReq
from rookery.mqtt.types import V3_1_1, ReasonCode
from rookery.ports import Accepted, Ban, Challenge, Principal
from tests.support.engine import (
    Engine,
    FakeAuthenticator,
    FakeBans,
    Peer,
    connect,
    props,
    publish,
    said,
)


class BannedAddress(FakeBans):
    def of_address(self, address: str) -> Ban | None:
        return Ban("address", address) if address == "192.0.2.66" else None


class TestListener:
    def test_is_full(self):
        engine = Engine()
        gate, quota = engine.broker.gate, Quota(None, 2, 0.0)
        engine.quota = quota
        assert gate.refusal(quota, 0.0) == ""
        first, _ = engine.peer(), engine.peer()
        assert gate.refusal(quota, 0.0) == "listener_full"
        gate.leave(first.client)
        gate.leave(first.client)
        assert (quota.open, gate.refusal(quota, 0.0)) == (1, "")

    def test_all_its_clients_share_its_rate(self):
        engine = Engine()
        engine.quota = Quota(Rates(messages_per_second_max=2.0), None, engine.broker.now)
        peers = [engine.connect(name) for name in "abc"]
        answers = [peer.publish("t", qos=1, packet_id=1) for peer in peers]
        assert [said(each) for each in answers] == [["PUBACK #1 0x10"], ["PUBACK #1 0x10"], []]
        engine.wait(1)
        assert said(peers[2].take()) == ["PUBACK #1 0x10"]
        assert engine.stats.paused == {"client": 0, "address": 0, "listener": 1}


class TestAddress:
    def test_is_full_and_is_not_when_one_has_gone(self):
        engine = Engine(connections_per_address_max=2)
        gate = engine.broker.gate
        first, _ = engine.peer(), engine.peer()
        assert gate.address_refusal("192.0.2.1", 0.0) == "address_full"
        assert gate.address_refusal("192.0.2.2", 0.0) == ""
        gate.leave(first.client)
        assert gate.address_refusal("192.0.2.1", 0.0) == ""

    def test_comes_too_fast(self):
        engine = Engine(address=Rates(connects_per_second_max=2.0))
        gate, now = engine.broker.gate, engine.broker.now
        assert [gate.address_refusal("192.0.2.1", now) for _ in range(3)] == [
            "",
            "",
            "address_rate",
        ]
        assert gate.address_refusal("192.0.2.2", now) == ""
        assert gate.address_refusal("192.0.2.1", now + 0.5) == "", "a refused one costs nothing"

    def test_is_banned(self):
        gate = Engine(bans=BannedAddress()).broker.gate
        assert gate.address_refusal("192.0.2.66", 0.0) == "banned"
        assert gate.address_refusal("192.0.2.67", 0.0) == ""

    def test_a_unix_socket_has_none(self):
        engine = Engine(connections_per_address_max=1, address=Rates(connects_per_second_max=0.1))
        assert [engine.broker.gate.address_refusal("", 0.0) for _ in range(3)] == [""] * 3

    def test_what_is_refused_is_counted_and_told(self):
        engine = Engine()
        with capture_logs() as logs:
            engine.broker.gate.refuse("192.0.2.1", "tcp", "address_full")
        assert engine.stats.refused["address_full"] == 1
        assert logs == [
            {
                "event": "connection_refused",
                "log_level": "warning",
                "address": "192.0.2.1",
                "listener": "tcp",
                "reason": "address_full",
            }
        ]


class TestHalfOpen:
    def test_the_oldest_goes(self):
        engine = Engine(half_open_max=2)
        first, second, third = (engine.peer() for _ in range(3))
        assert [first.closed, second.closed, third.closed] == [True, False, False]
        assert engine.stats.refused["half_open"] == 1
        assert engine.broker.gate.half_open_count == 2
        assert said(second.send(connect("c"))) == ["CONNACK"]
        assert first.send(connect("d")) == []

    def test_who_has_said_hello_stands_in_no_line(self):
        engine = Engine(half_open_max=1, half_open_per_address_max=1)
        for name in "abc":
            assert not engine.connect(name).closed
        assert engine.stats.refused["half_open"] == 0

    def test_an_address_pushes_out_its_own_first(self):
        engine = Engine(half_open_per_address_max=1)
        honest = engine.peer(address="192.0.2.9")
        first, second = engine.peer(), engine.peer()
        assert [honest.closed, first.closed, second.closed] == [False, True, False]

    def test_who_is_asked_for_more_stands_in_line_again(self):
        authenticator = FakeAuthenticator(
            Challenge(b"?"), Accepted(Principal("u")), methods="SCRAM"
        )
        engine = Engine(authenticator=authenticator)
        peer, answer = engine.ask(connect("c", authentication_method="SCRAM"))
        assert said(answer) == ["AUTH 0x18"]
        assert engine.broker.gate.half_open_count == 1
        proof = props(authentication_method="SCRAM", authentication_data=b"!")
        assert said(peer.send(Auth(ReasonCode.CONTINUE_AUTHENTICATION, proof))) == ["CONNACK"]
        assert engine.broker.gate.half_open_count == 0


class TestUser:
    def connect(self, engine: Engine, client_id: str, user: str | None) -> tuple[Peer, list[str]]:
        peer, answer = engine.ask(connect(client_id, username=user))
        return peer, said(answer)

    def test_has_so_many_connections_and_no_more(self):
        engine = Engine(connections_per_user_max=2)
        first, _ = self.connect(engine, "a", "u")
        self.connect(engine, "b", "u")
        assert self.connect(engine, "c", "u")[1] == ["CONNACK 0x97"]
        assert self.connect(engine, "c", "other")[1] == ["CONNACK"]
        first.drop()
        assert self.connect(engine, "d", "u")[1] == ["CONNACK"]

    def test_may_come_back_by_a_new_link(self):
        engine = Engine(connections_per_user_max=1)
        self.connect(engine, "a", "u")
        for _ in range(3):
            assert self.connect(engine, "a", "u")[1] == ["CONNACK"]
        assert self.connect(engine, "b", "u")[1] == ["CONNACK 0x97"]

    def test_may_not_take_over_another_s_instead(self):
        engine = Engine(connections_per_user_max=1)
        self.connect(engine, "a", "u")
        self.connect(engine, "b", "other")
        assert self.connect(engine, "b", "u")[1] == ["CONNACK 0x97"]

    def test_nobody_is_not_one(self):
        engine = Engine(connections_per_user_max=1)
        assert [self.connect(engine, name, None)[1] for name in "abc"] == [["CONNACK"]] * 3


class TestPace:
    """A client that sends faster than it may. (The arithmetic is in ``test_pace.py``.)"""

    def paced(self, **changed: Any) -> tuple[Engine, Peer]:
        engine = Engine(client=Rates(messages_per_second_max=2.0), **changed)
        return engine, engine.connect("c", username="u", keep_alive_seconds=1)

    def flood(self, peer: Peer, count: int) -> list[str]:
        packets = [publish("t", qos=1, packet_id=number) for number in range(1, count + 1)]
        return said(peer.send(*packets))

    def test_is_not_read_from_and_loses_nothing(self):
        engine, peer = self.paced()
        peer.subscribe("t")
        assert self.flood(peer, 6)[-1] == "PUBLISH t=x"
        assert peer.io.paused
        assert engine.broker.gate.paced == 1
        got = []
        for _ in range(3):
            engine.wait(1)
            got += said(peer.take())
        assert [each for each in got if each.startswith("PUBACK")] == [
            f"PUBACK #{number}" for number in range(3, 7)
        ]
        engine.wait(2)
        assert not peer.io.paused
        assert engine.broker.gate.paced == 0
        assert engine.stats.paused["client"] >= 1

    def test_is_told_of_with_its_name_once(self):
        engine, peer = self.paced()
        with capture_logs() as logs:
            self.flood(peer, 20)
            engine.wait(5)
        told = [line for line in logs if line["event"] == "client_paced"]
        assert len(told) == 1
        assert (told[0]["client_id"], told[0]["username"], told[0]["limit"]) == ("c", "u", "client")

    def test_is_not_sent_away_for_a_silence_that_is_ours(self):
        engine, peer = self.paced()
        self.flood(peer, 20)
        engine.wait(8)
        assert not peer.closed, "its keep alive is a second, and nobody listens to it"
        engine.wait(4)
        assert peer.closed, "all was read long ago"

    def test_nor_while_it_waits_longer_than_its_keep_alive(self):
        engine = Engine(client=Rates(bytes_per_second_max=100.0))
        peer = engine.connect("c", keep_alive_seconds=1)
        peer.publish("t", b"x" * 2_000)
        engine.wait(15)
        assert peer.io.paused and not peer.closed
        engine.wait(10)
        assert peer.closed, "it was listened to again, and said nothing"

    def test_pings_and_acknowledgements_cost_nothing(self):
        _, peer = self.paced()
        assert said(peer.send(*[PingReq()] * 50)) == ["PINGRESP"] * 50
        assert not peer.io.paused

    def test_bytes_are_bounded_as_well(self):
        engine = Engine(client=Rates(bytes_per_second_max=1_000.0))
        peer = engine.connect("c")
        assert said(peer.publish("t", b"x" * 3_000, qos=1, packet_id=1)) == ["PUBACK #1 0x10"]
        assert peer.io.paused, "what is there is worked on, and no more is read"
        engine.wait(3)
        assert not peer.io.paused

    @pytest.mark.parametrize("version", [5, V3_1_1])
    def test_may_end_its_link(self, version: int):
        engine = Engine(client=Rates(messages_per_second_max=1.0), client_exceeding_ends=True)
        peer = engine.connect("c", version)
        answer = said(peer.send(publish("t"), publish("t"), publish("t")))
        assert answer == (["DISCONNECT 0x96"] if version == 5 else [])
        assert peer.closed
        assert engine.stats.disconnects["rate_exceeded"] == 1
        assert engine.stats.messages_received == 1

    def test_a_link_that_ends_waits_no_more(self):
        engine, peer = self.paced()
        self.flood(peer, 5)
        peer.drop()
        assert engine.broker.gate.paced == 0
        engine.wait(5)
        assert engine.stats.messages_received == 2

    def test_all_clients_of_an_address_share_its_rate(self):
        engine = Engine(address=Rates(messages_per_second_max=1.0))
        one, other = engine.connect("a"), engine.connect("b")
        assert said(one.publish("t", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]
        assert said(other.publish("t", qos=1, packet_id=1)) == []
        assert engine.stats.paused["address"] == 1
