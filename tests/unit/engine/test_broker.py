import asyncio
from collections import deque

import pytest
from structlog.testing import capture_logs

from rookery.engine.broker import CRASHES_MAX, TIMERS_PER_TURN_MAX, Broker, shown
from rookery.engine.session_actor import SessionActor
from rookery.engine.stats import END_INTERNAL, END_SHUTDOWN
from rookery.message import Delivery, node_message
from rookery.mqtt.types import V3_1_1, V5
from rookery.store.memory import MemoryStore
from tests.support.engine import (
    Engine,
    FakeAuthenticator,
    FakeAuthorizer,
    FakeClock,
    FakeStore,
    Peer,
    connect,
    publish,
    said,
    settings,
    will,
)


class TestTurns:
    def test_time_stands_within_one(self):
        engine = Engine()
        engine.broker.begin_turn()
        before = engine.broker.now
        engine.clock.now += 5
        assert engine.broker.now == before
        engine.broker.begin_turn()
        assert engine.broker.now == before + 5

    def test_the_records_of_one_are_one_group(self):
        store = FakeStore()
        engine = Engine(store)
        peers = [engine.connect(name) for name in "ab"]
        engine.turn(
            *[(peer, peer.encode(publish(f"r/{n}", retain=True))) for n, peer in enumerate(peers)]
        )
        assert [len(group.entries) for group in store.groups] == [2]
        assert sorted(store.groups[0].retained) == ["r/0", "r/1"]

    def test_nobody_asks_for_one_when_nothing_is_left(self):
        engine = Engine()
        peer = engine.connect("a")
        engine.turn((peer, peer.encode(publish("t"))))
        assert not engine.turn_requested

    def test_more_timers_than_one_can_take(self):
        engine = Engine()
        writer = engine.connect("w")
        for n in range(TIMERS_PER_TURN_MAX // 1_000 + 1):
            writer.send(
                *[
                    publish(f"r/{n}/{m}", retain=True, message_expiry_interval=1)
                    for m in range(1_000)
                ]
            )
        engine = writer.engine
        count = engine.broker.retained.count
        engine.clock.now += 100
        engine.turn()
        assert engine.broker.retained.count == max(count - TIMERS_PER_TURN_MAX, 0)
        engine.settle()
        assert engine.broker.retained.count == 0

    def test_before_the_network_drives_it_a_turn_may_be_asked_for(self):
        broker = Broker(
            settings(), MemoryStore(), FakeAuthenticator(), FakeAuthorizer(), FakeClock()
        )
        broker.publish("t", b"x", True)
        broker.end_turn()
        assert broker.retained.count == 1


def test_the_node_s_own_messages_reach_clients():
    engine = Engine()
    peer = engine.connect("a")
    peer.subscribe("$SYS/#")
    engine.broker.publish("$SYS/uptime", b"5", True)
    engine.settle()
    assert said(peer.take()) == ["PUBLISH $SYS/uptime=5"]
    assert said(peer.subscribe("$SYS/#")) == ["PUBLISH $SYS/uptime=5 retain"]


class TestRoomToRetain:
    def test_by_number_and_bytes(self):
        engine = Engine(retained_messages_max=2, retained_bytes_max=1_000)
        broker = engine.broker
        assert broker.has_room_to_retain(node_message("a", b"x" * 900, True, 0.0))
        assert not broker.has_room_to_retain(node_message("a", b"x" * 1_000, True, 0.0))
        for topic in "ab":
            broker.publish(topic, b"x" * 100, True)
        assert not broker.has_room_to_retain(node_message("c", b"x", True, 0.0))
        assert broker.has_room_to_retain(node_message("b", b"x" * 500, True, 0.0))


class TestDrain:
    @pytest.mark.parametrize("reference", [None, "other:1883"])
    def test_every_client_is_told(self, reference):
        engine = Engine(server_reference=reference)
        peers = [engine.connect(name) for name in "ab"]
        engine.connect("away", session_expiry_interval=60).drop()
        engine.broker.drain()
        engine.flush()
        for peer in peers:
            found = peer.take_one()
            assert found.reason_code == (0x9C if reference else 0x8B)
            assert (found.properties and found.properties.server_reference) == reference
            assert peer.closed
        assert engine.stats.disconnects[END_SHUTDOWN] == 2
        assert engine.broker.draining

    def test_wills_are_kept_back(self):
        engine = Engine()
        reader = engine.connect("r")
        reader.subscribe("w")
        engine.connect("a", will=will("w"))
        engine.broker.drain()
        engine.flush()
        engine.settle()
        assert said(reader.take()) == ["DISCONNECT 0x8B"]


class TestAnotherServer:
    def test_is_each_in_turn_of_those_that_clients_are_told(self):
        engine = Engine()
        broker = engine.broker
        broker.other_servers = ["b", "c"]
        # Clients of 3.1.1 are told none, so they take nobody's turn.
        peers = [
            engine.connect(f"{version}-{n}", version) for n in range(4) for version in (V3_1_1, V5)
        ]
        assert broker.send_away(8) == 8
        engine.flush()
        told = [peer.take_one().properties.server_reference for peer in peers[1::2]]
        assert sorted(told) == ["b", "b", "c", "c"]
        broker.emptied_for = "it is being emptied"
        told = []
        for _ in range(4):
            engine.ask(connect("old", V3_1_1))
            (refusal,) = engine.ask(connect("new"))[1]
            told.append(refusal.properties.server_reference)
        assert sorted(told) == ["b", "b", "c", "c"]


class TestSupervision:
    def broken(self, engine: Engine, client_id: str = "bad", **asked) -> Peer:
        """A client whose session fails at every delivery with QoS."""
        peer = engine.connect(client_id, **asked)
        peer.subscribe("t", qos=1)
        self.break_session(peer.actor)
        return peer

    def break_session(self, actor: SessionActor) -> None:
        class Broken(deque):
            def append(self, delivery: Delivery) -> None:
                raise ZeroDivisionError("ours")

        # While there is a queue all deliveries with QoS go into it.
        actor.session.outbound.queue = Broken()

    def test_a_session_s_fault_costs_its_link_and_no_other(self):
        engine = Engine()
        bad, good = self.broken(engine), engine.connect("good")
        good.subscribe("t")
        with capture_logs() as logs:
            found = good.publish("t", qos=1, packet_id=1)
        assert said(found) == ["PUBACK #1", "PUBLISH t=x"]
        assert said(bad.take()) == ["DISCONNECT 0x83"]
        assert bad.closed
        assert engine.stats.supervisor_restarts == 1
        assert engine.stats.disconnects[END_INTERNAL] == 1
        (line,) = [line for line in logs if line["event"] == "session_crashed"]
        assert (line["client_id"], line["crashes"]) == ("bad", 1)
        assert isinstance(line["exc_info"], ZeroDivisionError)

    def test_a_durable_session_may_try_again_a_few_times(self):
        engine = Engine()
        good = engine.connect("good")
        bad = self.broken(engine, session_expiry_interval=60)
        actor = bad.actor
        for crash in range(1, CRASHES_MAX + 1):
            assert not actor.ended
            good.publish("t", qos=1, packet_id=1)
            assert (bad.closed, actor.crashes) == (True, crash)
            if crash < CRASHES_MAX:
                bad, _ = engine.connect_more("bad", clean_start=False, session_expiry_interval=60)
                self.break_session(actor)
        assert actor.ended
        assert "bad" not in engine.broker.registry.actors
        assert engine.stats.supervisor_restarts == CRASHES_MAX

    def test_a_session_without_a_link_may_crash_too(self):
        engine = Engine()
        good = engine.connect("good")
        bad = self.broken(engine, session_expiry_interval=60)
        actor = bad.actor
        bad.drop()
        actor.session.outbound.owed.backlog.append(1 << 60, 1)  # The next one is lower.
        good.publish("t", qos=1, packet_id=1)
        assert actor.crashes == 1
        assert engine.stats.disconnects[END_INTERNAL] == 0

    def test_a_fault_in_a_link_s_step_costs_that_link(self):
        engine = Engine()
        peer, other = engine.connect("a"), engine.connect("b")
        with capture_logs() as logs:
            engine.broker.link_crashed(peer.client, ZeroDivisionError("ours"))
        engine.flush()
        assert said(peer.take()) == ["DISCONNECT 0x83"]
        assert not other.closed
        assert engine.stats.supervisor_restarts == 1
        assert [line["event"] for line in logs] == ["link_crashed", "client_disconnected"]

    def test_a_task_that_fails_is_logged(self):
        async def main() -> list:
            engine = Engine()

            async def fail() -> None:
                raise ZeroDivisionError("ours")

            with capture_logs() as logs:
                engine.broker.tasks.start("work", fail())
                while engine.broker.tasks._running:
                    await asyncio.sleep(0)
            return logs

        (line,) = asyncio.run(main())
        assert (line["event"], line["task"]) == ("task_failed", "work")


class TestLogs:
    def test_a_client_s_coming_and_going(self):
        engine = Engine()
        with capture_logs() as logs:
            engine.connect("a").drop()
        assert [line["event"] for line in logs] == ["client_connected", "client_disconnected"]
        assert logs[0]["client_id"] == "a"
        assert (logs[0]["address"], logs[0]["listener"]) == ("192.0.2.1", "tcp")
        assert (logs[0]["version"], logs[0]["session_present"]) == (5, False)
        assert logs[1]["reason"] == "connection_lost"

    def test_a_client_that_is_put_out(self):
        engine = Engine()
        peer = engine.connect("a", username="user")
        with capture_logs() as logs:
            peer.send_bytes(b"\xc1\0")
        line = logs[0]
        assert (line["event"], line["reason"]) == ("client_refused", "malformed_packet")
        assert (line["client_id"], line["username"]) == ("a", "user")
        assert line["detail"]

    def test_what_a_client_may_not(self):
        engine = Engine(authorizer=FakeAuthorizer("t"))
        peer = engine.connect("a")
        with capture_logs() as logs:
            peer.publish("t")
        (line,) = logs
        assert (line["event"], line["action"], line["topic"]) == (
            "permission_denied",
            "publish",
            "t",
        )

    def test_an_accept_that_failed(self):
        with capture_logs() as logs:
            Engine().broker.log_accept_failed("tcp", "too many open files")
        (line,) = logs
        assert (line["listener"], line["detail"]) == ("tcp", "too many open files")


def test_a_retained_message_that_is_not_over_yet_is_looked_at_again():
    engine = Engine()
    peer = engine.connect("a")
    peer.publish("t", retain=True, message_expiry_interval=2)
    message = engine.broker.retained.get("t")
    message.expires_at += 5
    engine.wait(5)
    assert engine.broker.retained.count == 1
    engine.wait(5)
    assert engine.broker.retained.count == 0


class TestDeadlinesThatAreNotKept:
    """What is over must not stay in memory until a deadline that may be days off."""

    def test_of_links_that_ended(self):
        engine = Engine()
        before = engine.broker.timers.waiting
        for keep_alive_seconds in (0, 60, 65_535):
            engine.connect("a", keep_alive_seconds=keep_alive_seconds).drop()
        assert engine.broker.timers.waiting == before

    def test_of_sessions_that_were_resumed(self):
        engine = Engine()
        left = will("w", will_delay_interval=500)
        for clean_start in (True, False, False, True):
            asked = {"session_expiry_interval": 1_000, "will": left, "clean_start": clean_start}
            engine.connect("a", **asked).drop()
        assert engine.broker.timers.waiting == 2  # The end of the session, and the will.

    def test_of_sessions_that_ended(self):
        engine = Engine()
        engine.connect("a", session_expiry_interval=1_000).drop()
        engine.connect("a").drop()
        assert engine.broker.timers.waiting == 0

    def test_of_retained_messages_that_were_replaced_or_cleared(self):
        engine = Engine()
        peer = engine.connect("a", keep_alive_seconds=0)
        engine.wait(20)  # Until the deadline of the CONNECT is over.
        before = engine.broker.timers.waiting
        for expiry in (100, 1_000, 50, 2_000):
            peer.publish("t", retain=True, message_expiry_interval=expiry)
        assert engine.broker.timers.waiting == before + 1
        engine.wait(60)
        assert engine.broker.retained.count == 1
        peer.publish("t", b"", retain=True)
        assert engine.broker.timers.waiting == before
        assert engine.broker.retained_expiries == {}


@pytest.mark.parametrize(
    ("username", "written"),
    [
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmVk", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0."),
        ("eyJ.a", "eyJ.a"),
        ("ann.b.c", "ann.b.c"),
        (None, None),
    ],
)
def test_a_token_given_as_a_name_is_logged_without_its_signature(username, written):
    assert shown(username) == written
