import asyncio

import pytest

from rookery.engine.broker import TURN_DELIVERIES_MAX
from rookery.engine.stats import (
    END_CLIENT,
    END_CONNECTION_LOST,
    END_KEEP_ALIVE,
    END_NOT_AUTHORIZED,
    END_PEER_FAULT,
)
from rookery.mqtt.packets import (
    Auth,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionRequest,
)
from rookery.mqtt.types import V3_1, V3_1_1, V5, ReasonCode
from rookery.ports import Accepted, Challenge, Principal
from tests.support.engine import (
    Engine,
    FakeAuthenticator,
    FakeStore,
    Peer,
    connect,
    props,
    publish,
    said,
    will,
)


def retain(packet_id: int, qos: int = 1) -> Publish:
    """A PUBLISH that has to be committed."""
    return publish(f"r/{packet_id}", b"x", qos, packet_id=packet_id, retain=True)


class TestPacketsInTheirPlace:
    def test_nothing_but_connect_begins(self):
        engine = Engine()
        peer = engine.peer()
        assert peer.send(PingReq()) == []
        assert peer.closed
        assert engine.stats.packets_invalid == 1

    @pytest.mark.clause("5.0:MQTT-3.1.0-2")
    def test_a_second_connect_ends_the_link(self):
        engine = Engine()
        peer = engine.connect("c")
        assert said(peer.send(connect("c"))) == ["DISCONNECT 0x82"]
        assert peer.closed
        assert engine.stats.disconnects[END_PEER_FAULT] == 1

    @pytest.mark.clause("5.0:MQTT-3.12.4-1")
    def test_ping(self):
        assert said(Engine().connect("c").send(PingReq(), PingReq())) == ["PINGRESP"] * 2

    def test_what_comes_with_the_connect_is_worked_on_in_order(self):
        engine = Engine()
        peer = engine.peer()
        subscribe = Subscribe(1, [SubscriptionRequest("t", 1)])
        found = peer.send(connect("c"), subscribe, publish("t", qos=1, packet_id=3), PingReq())
        assert said(found) == [
            "CONNACK",
            "SUBACK 0x01",
            "PUBACK #3",
            "PINGRESP",
            "PUBLISH t=x q1 #1",
        ]

    def test_bytes_may_come_one_by_one(self):
        engine = Engine()
        peer = engine.peer()
        for byte in peer.encode(connect("c"), PingReq()):
            peer.engine.turn((peer, bytes([byte])))
        assert said(peer.take()) == ["CONNACK", "PINGRESP"]

    def test_what_came_before_a_fault_still_counts(self):
        engine = Engine()
        reader, peer = engine.connect("r"), engine.connect("c")
        reader.subscribe("t")
        data = peer.encode(publish("t")) + b"\x00\x00" + peer.encode(publish("t", b"after"))
        assert said(peer.send_bytes(data)) == ["DISCONNECT 0x81"]
        assert said(reader.take()) == ["PUBLISH t=x"]

    @pytest.mark.parametrize("version", [V3_1, V3_1_1])
    def test_a_fault_of_an_old_client_only_closes(self, version):
        peer = Engine().connect("c", version)
        assert peer.send_bytes(b"\x00\x00") == []
        assert peer.closed

    def test_a_disconnect_tells_the_fault_in_words(self):
        (found,) = Engine().connect("c").send_bytes(b"\xc1\x00")
        assert found.reason_code == 0x81
        assert found.properties.reason_string

    def test_nothing_is_heard_after_the_end(self):
        engine = Engine()
        reader, peer = engine.connect("r"), engine.connect("c")
        reader.subscribe("t")
        peer.send(Disconnect(), publish("t"))
        peer.client.received(peer.encode(publish("t")), engine.broker.now)
        engine.end_turn()
        assert reader.take() == []


class TestQos2ToTheClient:
    def begun(self) -> Peer:
        engine = Engine()
        peer = engine.connect("c")
        peer.subscribe("t", qos=2)
        peer.publish("t", qos=2, packet_id=1)
        return peer

    def test_the_whole_exchange(self):
        peer = self.begun()
        assert said(peer.send(PubRec(1))) == ["PUBREL #1"]
        assert said(peer.send(PubRec(1))) == ["PUBREL #1"]
        assert peer.send(PubComp(1)) == []
        assert peer.engine.stats.messages_acked == 1
        assert peer.actor.inflight_count() == 0

    def test_a_pubrec_that_refuses_ends_it(self):
        peer = self.begun()
        assert peer.send(PubRec(1, ReasonCode.UNSPECIFIED_ERROR)) == []
        assert peer.actor.inflight_count() == 0

    @pytest.mark.parametrize(("version", "suffix"), [(V5, " 0x92"), (V3_1_1, "")])
    def test_identifiers_nobody_knows(self, version, suffix):
        peer = Engine().connect("c", version)
        assert said(peer.send(PubRec(9))) == ["PUBREL #9" + suffix]
        assert said(peer.send(PubRel(9))) == ["PUBCOMP #9" + suffix]
        assert peer.send(PubAck(9), PubComp(9)) == []
        assert peer.engine.stats.messages_acked == 0


class TestAcknowledgementsWaitForTheCommit:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    @pytest.mark.parametrize(("qos", "name"), [(1, "PUBACK"), (2, "PUBREC")])
    def test_nothing_before_it(self, version, qos, name):
        engine = Engine(FakeStore())
        peer = engine.connect("c", version)
        assert peer.send(retain(1, qos)) == []
        engine.complete()
        assert said(peer.take()) == [f"{name} #1" + (" 0x10" if version == V5 else "")]

    @pytest.mark.clause("5.0:MQTT-4.6.0-2", "5.0:MQTT-4.6.0-3")
    def test_in_order_though_some_had_nothing_to_wait_for(self):
        engine = Engine(FakeStore())
        peer = engine.connect("c")
        assert peer.send(retain(1), publish("t", qos=1, packet_id=2)) == []
        assert peer.send(publish("t", qos=2, packet_id=3)) == []
        assert peer.send(retain(4), publish("t", qos=1, packet_id=5)) == []
        engine.complete()
        assert said(peer.take()) == ["PUBACK #1 0x10", "PUBACK #2 0x10", "PUBREC #3 0x10"]
        engine.complete()
        assert said(peer.take()) == ["PUBACK #4 0x10", "PUBACK #5 0x10"]
        assert said(peer.send(publish("t", qos=1, packet_id=6))) == ["PUBACK #6 0x10"]

    def test_what_was_written_before_does_not_wait_what_comes_after_does(self):
        engine = Engine(FakeStore())
        peer = engine.connect("c")
        assert said(peer.send(PingReq())) == ["PINGRESP"]
        assert peer.send(retain(1), PingReq()) == []
        assert peer.send(PingReq()) == []
        assert peer.client.held_bytes > 0
        engine.complete()
        assert said(peer.take()) == ["PUBACK #1 0x10", "PINGRESP", "PINGRESP"]
        assert peer.client.held_bytes == 0

    def test_one_client_s_commit_holds_up_nobody_else(self):
        engine = Engine(FakeStore())
        waiting, other = engine.connect("w"), engine.connect("o")
        waiting.send(retain(1))
        assert said(other.publish("t", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]

    def test_a_failed_commit_ends_the_link_and_is_told_in_5_0(self):
        engine = Engine(FakeStore())
        peer = engine.connect("c")
        peer.send(retain(1), retain(2, qos=2))
        engine.complete(OSError("full"))
        assert said(peer.take()) == ["DISCONNECT 0x80"]
        assert peer.closed

    @pytest.mark.clause("5.0:MQTT-3.14.0-1")
    def test_a_client_that_has_no_connack_is_refused_by_one(self):
        engine = Engine(FakeStore())
        peer, answers = engine.ask(connect("c", session_expiry_interval=60))
        assert answers == []
        engine.complete(OSError("full"))
        assert said(peer.take()) == ["CONNACK 0x97"]
        assert peer.closed

    def test_what_was_to_come_after_it_goes_with_it(self):
        engine = Engine(FakeStore())
        peer = engine.connect("c")
        peer.send(retain(1))
        engine.broker.begin_turn()
        peer.client.received(peer.encode(PingReq()), engine.broker.now)
        peer.client.disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT, END_KEEP_ALIVE, "")
        engine.end_turn()
        assert said(peer.take()) == ["DISCONNECT 0x8D"]

    def test_what_waits_for_a_later_commit_is_lost_with_it(self):
        engine = Engine(FakeStore())
        first, then = engine.connect("a"), engine.connect("b")
        first.send(retain(1))
        then.send(retain(1))
        engine.complete(OSError("full"))
        assert first.closed
        assert then.closed

    def test_a_failed_commit_ends_an_old_client_s_link(self):
        engine = Engine(FakeStore())
        peer = engine.connect("c", V3_1_1)
        peer.send(retain(1), retain(2))
        engine.complete(OSError("full"))
        assert peer.take() == []
        assert peer.closed

    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_what_was_not_committed_is_new_when_it_comes_again(self, version):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        asked = {"session_expiry_interval": 60} if version == V5 else {}
        peer = engine.connect("c", version, clean_start=False, **asked)
        store.at_once = False
        peer.send(retain(5, qos=2))
        engine.complete(OSError("full"))
        assert peer.closed
        store.at_once = True
        engine.wait(1)
        peer = engine.connect("c", version, clean_start=False, **asked)
        store.at_once = False
        assert peer.send(retain(5, qos=2)) == [], "it waits for its own commit"
        engine.complete()
        assert said(peer.take())[0].startswith("PUBREC #5")

    @pytest.mark.clause("5.0:MQTT-3.3.4-7")
    def test_those_held_back_count_as_unacknowledged_until_they_leave(self):
        engine = Engine(FakeStore(), receive_maximum=2)
        peer = engine.connect("c")
        assert peer.send(retain(1)) == []
        assert peer.send(retain(2)) == []
        for n in (1, 2):
            engine.complete()
            assert said(peer.take()) == [f"PUBACK #{n} 0x10"]
            assert peer.send(retain(n + 2)) == []
            assert not peer.closed
        assert said(peer.send(retain(5))) == ["DISCONNECT 0x93"]

    def test_what_is_held_back_is_output_that_deliveries_wait_for(self):
        engine = Engine(FakeStore(), output_bytes_max=1_000)
        peer, writer = engine.connect("c"), engine.connect("w")
        peer.subscribe("t", qos=1)
        first, second = (
            writer.encode(publish("t", b"%d" % n * 2_000, qos=1, packet_id=n)) for n in (1, 2)
        )
        engine.turn((peer, peer.encode(retain(1))), (writer, first))
        engine.turn((writer, second))
        assert peer.take() == []
        engine.complete()
        assert [each.payload[:1] for each in peer.take() if isinstance(each, Publish)] == [
            b"1",
            b"2",
        ]

    def test_while_too_much_waits_nothing_more_is_taken_in(self):
        engine = Engine(FakeStore(), retained_bytes_max=100_000_000)
        peer = engine.connect("c")
        large = b"x" * 1_000_000
        packets = [publish("r", large, 1, packet_id=n, retain=True) for n in range(1, 10)]
        engine.turn((peer, peer.encode(*packets, PingReq())))
        assert peer.io.paused
        rounds = 0
        while peer.io.paused or engine.store.waiting:
            engine.complete()
            rounds += 1
        assert rounds > 1
        assert said(peer.take())[-1] == "PINGRESP"
        assert engine.stats.messages_received == 9

    def test_what_was_done_of_a_read_cut_off_waits_like_the_rest(self):
        engine = Engine(FakeStore(), retained_bytes_max=100_000_000)
        peer = engine.connect("c")
        packets = [
            publish("r", b"x" * 1_000_000, 1, packet_id=n, retain=True) for n in range(1, 10)
        ]
        engine.turn((peer, peer.encode(*packets)))
        engine.complete(OSError("full"))
        assert said(peer.take()) == ["DISCONNECT 0x80"]

    def test_a_link_that_ended_meanwhile_is_told_nothing(self):
        engine = Engine(FakeStore())
        peer = engine.connect("c")
        peer.send(retain(1))
        peer.drop()
        engine.complete()
        assert peer.take() == []

    def test_an_acknowledgement_due_during_re_authentication(self):
        async def main() -> None:
            decided = asyncio.Event()

            async def verdict() -> Accepted:
                await decided.wait()
                return Accepted(Principal("u"))

            authenticator = FakeAuthenticator(Accepted(Principal("u")), verdict(), methods="method")
            engine = Engine(FakeStore(), authenticator)
            peer, _ = engine.ask(connect("c", authentication_method="method"))
            peer.send(retain(1))
            again = props(authentication_method="method")
            assert peer.send(Auth(ReasonCode.RE_AUTHENTICATE, again)) == []
            engine.complete()
            assert said(peer.take()) == ["PUBACK #1 0x10"]
            await asyncio.sleep(0)
            await engine.broker.tasks.stop()

        asyncio.run(main())


class TestAFullTurn:
    def flood(self, engine: Engine, peer: Peer, count: int) -> None:
        """One read with ``count`` messages for ten readers each."""
        packets = [publish("t", b"%d" % n) for n in range(count)]
        engine.turn((peer, peer.encode(*packets, PingReq())))

    def test_packets_are_held_and_worked_on_in_order_in_the_next(self):
        engine = Engine()
        readers = [engine.connect(f"r{n}") for n in range(10)]
        for reader in readers:
            reader.subscribe("t")
        peer = engine.connect("c")
        per_turn = TURN_DELIVERIES_MAX // 10
        self.flood(engine, peer, per_turn + 5)
        assert len(readers[0].take()) == per_turn
        assert peer.io.paused, "nothing more is read meanwhile"
        assert peer.take() == []
        assert engine.settle() == 1
        found = [packet.payload for packet in readers[0].take()]
        assert found == [b"%d" % n for n in range(per_turn, per_turn + 5)]
        assert not peer.io.paused
        assert said(peer.take()) == ["PINGRESP"]

    def test_others_get_their_turn_in_between(self):
        engine = Engine()
        for n in range(10):
            engine.connect(f"r{n}").subscribe("t")
        peer, other = engine.connect("c"), engine.connect("o")
        self.flood(engine, peer, 2 * TURN_DELIVERIES_MAX // 10 + 1)
        engine.turn((other, other.encode(PingReq())))
        assert other.take() == [], "this turn belonged to the first again"
        engine.settle()
        assert said(other.take()) == ["PINGRESP"]

    def test_a_connect_that_comes_then_is_answered_soon(self):
        engine = Engine()
        peer = engine.peer()
        engine.broker.begin_turn()
        engine.broker.publishing.deliveries = TURN_DELIVERIES_MAX
        peer.client.received(peer.encode(connect("c")), engine.broker.now)
        engine.end_turn()
        assert peer.take() == []
        engine.settle()
        assert said(peer.take()) == ["CONNACK"]

    def test_more_that_comes_is_held_behind(self):
        engine = Engine()
        peer = engine.connect("c")
        engine.broker.begin_turn()
        engine.broker.publishing.deliveries = TURN_DELIVERIES_MAX
        first = peer.encode(publish("t", qos=1, packet_id=1))
        second = peer.encode(publish("t", qos=1, packet_id=2))
        peer.client.received(first, engine.broker.now)
        peer.client.received(second, engine.broker.now)
        engine.end_turn()
        engine.settle()
        assert said(peer.take()) == ["PUBACK #1 0x10", "PUBACK #2 0x10"]


class TestKeepAlive:
    @pytest.mark.clause("3.1.1:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-22")
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_one_and_a_half_times_without_a_packet(self, version):
        engine = Engine()
        peer = engine.connect("c", version, keep_alive_seconds=10)
        engine.wait(15)
        assert not peer.closed
        engine.wait(2)
        assert peer.closed
        assert said(peer.take()) == (["DISCONNECT 0x8D"] if version == V5 else [])
        assert engine.stats.disconnects[END_KEEP_ALIVE] == 1

    def test_any_packet_puts_it_off(self):
        engine = Engine()
        peer = engine.connect("c", keep_alive_seconds=10)
        for packet in [PingReq(), publish("t"), PubAck(1)] * 3:
            engine.wait(14)
            peer.send(packet)
        assert not peer.closed
        engine.wait(17)
        assert peer.closed

    def test_zero_is_never(self):
        engine = Engine()
        peer = engine.connect("c", keep_alive_seconds=0)
        engine.wait(1_000)
        assert not peer.closed

    def test_one_client_takes_one_timer(self):
        engine = Engine()
        peer = engine.connect("c", keep_alive_seconds=60)
        for _ in range(10):
            engine.wait(20)
            peer.send(PingReq())
        slots = engine.broker.timers._slots.values()
        assert sum(timed is peer.client for slot in slots for timed in slot) == 1

    def test_a_shorter_one_than_the_connect_deadline(self):
        engine = Engine(connect_deadline_seconds=60)
        peer = engine.connect("c", keep_alive_seconds=1)
        engine.wait(3)
        assert peer.closed

    def test_while_a_re_authentication_waits_the_silence_may_be_ours(self):
        async def main() -> None:
            decided = asyncio.Event()

            async def verdict() -> Accepted:
                await decided.wait()
                return Accepted(Principal("u"))

            authenticator = FakeAuthenticator(Accepted(Principal("u")), verdict(), methods="m")
            engine = Engine(authenticator=authenticator)
            peer, _ = engine.ask(connect("c", keep_alive_seconds=10, authentication_method="m"))
            peer.send(Auth(ReasonCode.RE_AUTHENTICATE, props(authentication_method="m")))
            engine.wait(40)
            assert not peer.closed
            decided.set()
            while not peer.take():
                await asyncio.sleep(0)
                engine.flush()
            engine.wait(2)
            assert peer.closed, "from now on the client is silent"

        asyncio.run(main())


class TestConnectDeadline:
    def test_a_client_that_says_nothing(self):
        engine = Engine(connect_deadline_seconds=10)
        peer = engine.peer()
        engine.wait(10)
        assert not peer.closed
        engine.wait(1)
        assert peer.closed
        assert engine.stats.disconnects_total() == 0, "it never was a client"

    def test_a_client_that_dribbles(self):
        engine = Engine(connect_deadline_seconds=10)
        peer = engine.peer()
        for byte in peer.encode(connect("c"))[:10]:
            engine.wait(1)
            peer.send_bytes(bytes([byte]))
        engine.wait(2)
        assert peer.closed

    def test_a_client_that_does_not_finish_its_authentication(self):
        engine = Engine(authenticator=FakeAuthenticator(Challenge(b"?"), methods="m"))
        peer, found = engine.ask(connect("c", authentication_method="m"))
        assert said(found) == ["AUTH 0x18"]
        engine.wait(12)
        assert peer.closed

    def test_an_admitted_client_is_left_alone(self):
        engine = Engine(connect_deadline_seconds=10)
        peer = engine.connect("c")
        engine.wait(100)
        assert not peer.closed

    def test_a_link_that_is_gone_is_not_missed(self):
        engine = Engine(connect_deadline_seconds=10)
        peer = engine.peer()
        peer.drop()
        engine.wait(20)
        assert peer.take() == []


class TestDisconnect:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_a_good_end(self, version):
        engine = Engine()
        peer = engine.connect("c", version)
        assert peer.send(Disconnect()) == []
        assert peer.closed
        assert engine.stats.disconnects[END_CLIENT] == 1

    @pytest.mark.clause("5.0:MQTT-3.14.4-3")
    @pytest.mark.parametrize(("code", "published"), [(0x00, False), (0x04, True), (0x80, True)])
    def test_the_will(self, code, published):
        engine = Engine()
        reader = engine.connect("r")
        reader.subscribe("w")
        peer = engine.connect("c", will=will("w"))
        peer.send(Disconnect(ReasonCode(code)))
        assert said(reader.take()) == ["PUBLISH w=gone"] * published

    def test_the_expiry_may_change(self):
        engine = Engine()
        peer = engine.connect("c", session_expiry_interval=60)
        actor = peer.actor
        peer.send(Disconnect(properties=props(session_expiry_interval=5)))
        assert actor.session.expiry_seconds == 5
        engine.wait(7)
        assert actor.ended

    def test_the_expiry_may_end_the_session_at_once(self):
        engine = Engine()
        peer = engine.connect("c", session_expiry_interval=60)
        peer.send(Disconnect(properties=props(session_expiry_interval=0)))
        assert engine.broker.registry.actors == {}

    def test_the_expiry_is_limited(self):
        engine = Engine(session_expiry_seconds_max=100)
        peer = engine.connect("c", session_expiry_interval=60)
        actor = peer.actor
        peer.send(Disconnect(properties=props(session_expiry_interval=1_000)))
        assert actor.session.expiry_seconds == 100

    def test_a_session_without_one_cannot_get_one(self):
        engine = Engine()
        peer = engine.connect("c")
        last = Disconnect(properties=props(session_expiry_interval=5))
        assert said(peer.send(last)) == ["DISCONNECT 0x82"]
        assert engine.broker.registry.actors == {}

    def test_a_lost_connection(self):
        engine = Engine()
        engine.connect("c").drop()
        assert engine.stats.disconnects[END_CONNECTION_LOST] == 1

    def test_it_ends_once(self):
        engine = Engine()
        peer = engine.connect("c")
        peer.send(Disconnect())
        peer.drop()
        peer.client.disconnect(ReasonCode.NOT_AUTHORIZED, END_NOT_AUTHORIZED, "")
        assert engine.stats.disconnects_total() == 1
        assert engine.broker.registry.attached == 0


class TestClientId:
    def test_is_known_from_the_connect_on(self):
        engine = Engine(authenticator=FakeAuthenticator(Challenge(b"?"), methods="m"))
        peer = engine.peer()
        assert peer.client.client_id == ""
        peer.send(connect("asked", authentication_method="m"))
        assert peer.client.client_id == "asked"

    def test_is_the_session_s_when_assigned(self):
        peer = Engine().connect("")
        assert peer.client.client_id.startswith("rookery-")


def test_a_client_that_has_read_gets_what_waited():
    engine = Engine(output_bytes_max=200)
    reader, writer = engine.connect("r"), engine.connect("w")
    reader.subscribe("t", qos=1)
    reader.io.stalls = True
    for n in range(1, 6):
        writer.publish("t", b"%d" % n * 100, 1, packet_id=n)
    assert len(reader.take()) == 2
    assert reader.actor.session.outbound.queue_length() == 3
    reader.io.stalls = False
    assert [packet.payload[:1] for packet in reader.read()] == [b"3", b"4"]
    assert [packet.payload[:1] for packet in reader.send(PubAck(1))] == [b"5"]


def test_a_client_that_is_not_admitted_has_nothing_to_go_on_with():
    engine = Engine()
    peer = engine.peer()
    peer.client.writable(engine.broker.now)
    assert peer.take() == []


@pytest.mark.clause("5.0:MQTT-3.1.2-29")
class TestExplanation:
    @pytest.mark.parametrize(
        ("version", "asked", "explained"),
        [
            (V5, {}, True),
            (V5, {"receive_maximum": 5}, True),
            (V5, {"request_problem_information": 1}, True),
            (V5, {"request_problem_information": 0}, False),
            (V3_1_1, {}, False),
        ],
    )
    def test_goes_to_who_takes_one(self, version, asked, explained):
        found = (
            Engine().connect("c", version, **asked).client.explanation(ReasonCode.QUOTA_EXCEEDED)
        )
        assert (found is not None and found.reason_string) == (explained and "quota exceeded")

    def test_success_needs_none(self):
        client = Engine().connect("c").client
        assert client.explanation(ReasonCode.NO_MATCHING_SUBSCRIBERS) is None

    def test_nor_does_somebody_unknown(self):
        assert Engine().peer().client.explanation(ReasonCode.QUOTA_EXCEEDED) is None
