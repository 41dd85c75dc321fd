import pytest
from structlog.testing import capture_logs

from rookery.engine.session_actor import DROP_LOG_SECONDS, RETAINED_PER_TURN
from rookery.engine.stats import (
    DROP_EXPIRED,
    DROP_OFFLINE_QOS0,
    DROP_OUTPUT_FULL,
    DROP_PACKET_TOO_LARGE,
    DROP_QUEUE_FULL,
)
from rookery.mqtt.packets import (
    PingReq,
    PubAck,
    PubComp,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionRequest,
)
from rookery.mqtt.types import V3_1_1, V5
from tests.support.engine import Engine, FakeStore, Peer, connect, publish, said, will


def pair(qos: int = 1, reader: dict | None = None, **settings) -> tuple[Peer, Peer]:
    """A client subscribed to ``t`` and one that publishes."""
    engine = Engine(**settings)
    asked = {"session_expiry_interval": 60, "clean_start": False} | (reader or {})
    subscribed = engine.connect("r", **asked)
    subscribed.subscribe("t", qos=qos)
    return subscribed, engine.connect("w")


def send(writer: Peer, count: int, qos: int = 1, first: int = 1) -> None:
    """Publish numbered messages in one burst."""
    numbers = range(first, first + count)
    writer.send(*[publish("t", b"%d" % n, qos, packet_id=n if qos else 0) for n in numbers])


class TestTheWindow:
    @pytest.mark.clause("5.0:MQTT-3.3.4-9")
    def test_is_never_exceeded_and_goes_on_with_each_acknowledgement(self):
        reader, writer = pair(reader={"receive_maximum": 2})
        send(writer, 5)
        assert said(reader.take()) == ["PUBLISH t=1 q1 #1", "PUBLISH t=2 q1 #2"]
        assert said(reader.send(PubAck(2))) == ["PUBLISH t=3 q1 #3"]
        assert len(reader.send(PubAck(1), PubAck(3))) == 2
        assert reader.send(PubAck(4), PubAck(5)) == []
        assert reader.actor.session.outbound.queue is None
        assert reader.engine.stats.messages_acked == 5
        assert reader.engine.stats.messages_sent == 5

    def test_with_qos_2_a_place_is_free_after_pubcomp(self):
        reader, writer = pair(qos=2, reader={"receive_maximum": 1})
        send(writer, 2, qos=2)
        assert said(reader.take()) == ["PUBLISH t=1 q2 #1"]
        assert said(reader.send(PubRec(1))) == ["PUBREL #1"]
        assert said(reader.send(PubComp(1))) == ["PUBLISH t=2 q2 #2"]

    @pytest.mark.clause("5.0:MQTT-3.3.4-10")
    def test_qos_0_and_answers_do_not_wait_for_it(self):
        reader, writer = pair(reader={"receive_maximum": 1})
        send(writer, 2)
        send(writer, 1, qos=0, first=9)
        assert said(reader.take()) == ["PUBLISH t=1 q1 #1", "PUBLISH t=9"]
        assert said(reader.send(Subscribe(1, [SubscriptionRequest("u")]))) == ["SUBACK 0x00"]


class TestDrops:
    def dropped(self, peer: Peer) -> dict[str, int]:
        return {reason: n for reason, n in peer.engine.stats.dropped.items() if n}

    def test_queue_full(self):
        reader, writer = pair(queue_messages_max=3)
        reader.drop()
        send(writer, 5)
        assert self.dropped(writer) == {DROP_QUEUE_FULL: 2}
        _, more = writer.engine.connect_more("r", clean_start=False)
        assert [packet.payload for packet in more] == [b"1", b"2", b"3"]

    def test_offline(self):
        reader, writer = pair()
        reader.drop()
        send(writer, 2, qos=0)
        assert self.dropped(writer) == {DROP_OFFLINE_QOS0: 2}

    def test_a_slow_reader(self):
        reader, writer = pair(output_bytes_max=100)
        reader.io.stalls = True
        for n in range(20):
            writer.publish("t", b"%d" % n * 20)
        assert reader.io.unsent_bytes < 100 + 60
        dropped = self.dropped(writer)
        assert dropped == {DROP_OUTPUT_FULL: 20 - len(reader.take())}

    def test_expired_and_too_large_at_once_and_in_the_queue(self):
        reader, writer = pair(reader={"receive_maximum": 1, "maximum_packet_size": 100})
        writer.publish("t", b"x" * 100, 1, packet_id=1)
        assert self.dropped(writer) == {DROP_PACKET_TOO_LARGE: 1}
        writer.publish("t", b"1", 1, packet_id=1)
        writer.publish("t", b"2", 1, packet_id=1, message_expiry_interval=5)
        writer.publish("t", b"x" * 100, 1, packet_id=1)
        writer.publish("t", b"3", 1, packet_id=1)
        reader.take()
        writer.engine.wait(10)
        assert said(reader.send(PubAck(1))) == ["PUBLISH t=3 q1 #2"]
        assert self.dropped(writer) == {DROP_PACKET_TOO_LARGE: 2, DROP_EXPIRED: 1}
        assert reader.engine.stats.messages_sent == 2

    def test_they_are_logged_now_and_then(self):
        reader, writer = pair()
        reader.drop()
        with capture_logs() as logs:
            send(writer, 50, qos=0)
            writer.engine.wait(DROP_LOG_SECONDS + 1)
            send(writer, 50, qos=0)
        lines = [line for line in logs if line["event"] == "message_dropped"]
        assert [(line["client_id"], line["topic"]) for line in lines] == [("r", "t")] * 2
        assert lines[0]["reason"] == DROP_OFFLINE_QOS0


class TestNobodyIsStuck:
    def test_qos_1_behind_a_burst_of_qos_0_in_one_turn(self):
        reader, writer = pair(output_bytes_max=1_000)
        burst = [publish("t", b"x" * 100) for _ in range(20)]
        writer.send(*burst, publish("t", b"last", 1, packet_id=1))
        assert said(reader.take())[-1] == "PUBLISH t=last q1 #1"
        assert reader.actor.session.outbound.queue is None

    def test_a_client_that_went_away_in_between(self):
        reader, writer = pair(output_bytes_max=1_000)
        engine = reader.engine
        burst = [publish("t", b"x" * 100) for _ in range(20)]
        data = writer.encode(*burst, publish("t", b"last", 1, packet_id=1))
        engine.turn((writer, data))
        reader.client.lost()
        engine.settle()
        _, more = engine.connect_more("r", clean_start=False)
        assert said(more) == ["PUBLISH t=last q1 #1"]

    def test_a_client_that_does_not_read_asks_for_no_turns(self):
        reader, writer = pair(output_bytes_max=1_000)
        reader.io.stalls = True
        burst = [publish("t", b"x" * 100, 1, packet_id=n) for n in range(1, 21)]
        writer.send(*burst)
        assert writer.engine.settle() == 0
        assert reader.io.unsent_bytes <= 1_200


class TestRetained:
    def engine(self, count: int, payload: bytes = b"x", **settings) -> Engine:
        engine = Engine(retained_messages_max=10_000, **settings)
        writer = engine.connect("w")
        for n in range(count):
            writer.publish(f"r/{n}", payload, 1, packet_id=1, retain=True)
        return engine

    def ask(self, peer: Peer, qos: int) -> None:
        """Subscribe, and take one turn only."""
        subscribe = Subscribe(1, [SubscriptionRequest("r/#", qos)])
        peer.engine.turn((peer, peer.encode(subscribe)))

    def test_many_take_several_turns(self):
        count = RETAINED_PER_TURN + 10
        engine = self.engine(count)
        peer = engine.connect("c")
        self.ask(peer, 0)
        assert len(peer.take()) == 1 + RETAINED_PER_TURN
        assert engine.turn_requested
        engine.settle()
        assert len(peer.take()) == 10
        assert engine.stats.retained_sent == count
        assert peer.actor.streams is None

    def test_messages_that_come_meanwhile_are_not_lost(self):
        engine = self.engine(RETAINED_PER_TURN + 10)
        peer = engine.connect("c")
        self.ask(peer, 0)
        peer.take()
        writer = engine.connect("v")
        writer.publish("r/new")
        assert "PUBLISH r/new=x" in said(peer.take())

    def test_they_wait_for_the_window(self):
        peer = self.engine(5).connect("c", receive_maximum=2)
        assert len(peer.subscribe("r/#", qos=1)) == 2
        assert len(peer.send(PubAck(1))) == 1
        assert len(peer.send(PubAck(2), PubAck(3))) == 2
        assert peer.send(PubAck(4), PubAck(5)) == []
        assert peer.actor.streams is None

    def test_they_wait_for_the_client_to_read(self):
        peer = self.engine(50, b"x" * 100, output_bytes_max=1_000).connect("c")
        peer.io.stalls = True
        first = len(peer.subscribe("r/#"))
        assert first < 50
        assert peer.io.unsent_bytes < 1_300
        peer.io.stalls = False
        assert first + len(peer.read()) == 50

    def test_a_limit_that_only_this_turn_s_output_reached_stops_nothing(self):
        peer = self.engine(50, b"x" * 100, output_bytes_max=1_000).connect("c")
        assert len(peer.subscribe("r/#")) == 50

    def test_they_end_with_the_link(self):
        engine = self.engine(RETAINED_PER_TURN + 10)
        peer = engine.connect("c", session_expiry_interval=60)
        self.ask(peer, 0)
        peer.drop()
        _, more = engine.connect_more("c", clean_start=False)
        assert more == []

    def test_one_that_expires_on_the_way_is_left_out(self):
        engine = Engine()
        writer = engine.connect("w")
        writer.publish("r/1", retain=True, message_expiry_interval=5)
        writer.publish("r/2", retain=True)
        peer = engine.connect("c")
        engine.clock.now += 5.0
        assert said(peer.subscribe("r/#")) == ["PUBLISH r/2=x retain"]


class TestInflightCount:
    def test_counts_window_queue_and_mailbox(self):
        reader, writer = pair(reader={"receive_maximum": 1})
        send(writer, 3)
        actor = reader.actor
        assert actor.inflight_count() == 3
        writer.client.received(writer.encode(publish("t")), writer.engine.broker.now)
        assert actor.inflight_count() == 4

    def test_the_least_busy_member_of_a_share_is_chosen_by_it(self):
        engine = Engine(share_strategy="least_inflight")
        busy, idle = engine.connect("busy"), engine.connect("idle")
        for peer in (busy, idle):
            peer.subscribe("$share/g/t", qos=1)
        writer = engine.connect("w")
        writer.publish("t", qos=1, packet_id=1)
        first, second = (busy, idle) if busy.take() else (idle, busy)
        writer.publish("t", qos=1, packet_id=2)
        assert len(second.take()) == 1
        second.send(PubAck(1))
        for n in (3, 4):
            writer.publish("t", qos=1, packet_id=n)
            assert len(second.take()) == 1
            second.send(PubAck(n - 1))
        assert first.take() == []


def test_a_session_that_ended_has_no_deadline():
    engine = Engine()
    peer = engine.connect("a", session_expiry_interval=5)
    actor = peer.actor
    peer.drop()
    engine.connect("a", clean_start=True)
    assert actor.ended
    engine.wait(20)
    assert engine.stats.sessions_expired == 0


def test_nothing_is_advanced_without_a_link():
    reader, _ = pair()
    actor = reader.actor
    reader.drop()
    actor.advance(reader.engine.broker.now)
    assert actor.session.outbound.queue is None


def test_what_a_client_with_a_smaller_limit_takes_no_more_is_let_go_of():
    engine = Engine()
    reader = engine.connect("r", session_expiry_interval=100)
    reader.subscribe("t", qos=1)
    engine.connect("w").publish("t", b"x" * 500, qos=1, packet_id=1)
    reader.drop()
    block = engine.broker.committer.group.block
    engine.connect("r", clean_start=False, session_expiry_interval=100, maximum_packet_size=200)
    assert engine.stats.dropped["packet_too_large"] == 1
    assert not any(engine.broker.committer.references.holds(each) for each in range(block + 2))


LASTING = {"session_expiry_interval": 60, "clean_start": False}


def pass_time(engine: Engine, store: FakeStore, seconds: int = 2) -> None:
    """Let time pass in which commits are done, or fail."""
    for _ in range(seconds):
        engine.wait(1)
        engine.complete_all()


class TestWhileNothingCanBeKept:
    def broken(self, qos: int = 1, **asked) -> tuple[Engine, FakeStore, Peer]:
        """A broker whose disk takes nothing any more, and its reader, gone, who is owed three messages."""
        store = FakeStore(at_once=True)
        engine = Engine(store)
        reader = engine.connect("r", **LASTING, **asked)
        reader.subscribe("t", qos=qos)
        send(engine.connect("w"), 3, qos)
        reader.drop()
        engine.wait(1)
        self.break_down(engine, store)
        return engine, store, reader

    def break_down(self, engine: Engine, store: FakeStore) -> None:
        store.at_once, store.is_broken = False, True
        engine.publish_kept("other")
        engine.complete_all()
        assert engine.broker.committer.stuck

    def mend(self, store: FakeStore) -> None:
        store.is_broken = False
        if store.waiting:
            store.complete()
        store.at_once = True

    def ask(self, engine: Engine, *asked, **more) -> tuple[Peer, list[str]]:
        """Connect, have commits fail, and tell what the answer was."""
        peer, answers = engine.ask(connect(*asked, **more))
        assert answers == [], "it waits"
        engine.complete_all()
        return peer, said(peer.take())

    def test_a_client_gets_what_it_is_owed_and_its_acknowledgements_count(self):
        engine, store, _ = self.broken()
        failed = engine.stats.commits_failed
        reader, more = engine.connect_more("r", receive_maximum=2, **LASTING)
        assert said(more) == ["PUBLISH t=1 q1 #1 dup", "PUBLISH t=2 q1 #2 dup"]
        assert said(reader.send(PubAck(1), PubAck(2))) == ["PUBLISH t=3 q1 #3 dup"]
        assert said(reader.send(PubAck(3), PingReq())) == ["PINGRESP"]
        pass_time(engine, store, 5)
        assert engine.stats.commits_failed > failed
        assert not reader.closed
        self.mend(store)
        pass_time(engine, store, 2)
        assert [entry[-4:] for entries in store.blocks.values() for entry in entries] == [b"kept"]
        (row,) = store.content.sessions.values()
        assert row.detached_at_wall is None

    def test_a_subscription_that_is_durable_is_granted_again(self):
        engine, _, _ = self.broken()
        reader, _ = engine.connect_more("r", **LASTING)
        assert said(reader.send(Subscribe(1, [SubscriptionRequest("t", 1)]))) == ["SUBACK 0x01"]

    @pytest.mark.parametrize(
        "asked",
        [
            {"session_expiry_interval": 61},
            {"session_expiry_interval": 60, "will": will("gone")},
            {"session_expiry_interval": 60, "clean_start": True},
        ],
    )
    def test_a_new_promise_is_refused_and_what_was_promised_stays(self, asked):
        engine, _, _ = self.broken()
        watcher = engine.connect("watch")
        watcher.subscribe("gone")
        peer, answer = self.ask(engine, "r", **({"clean_start": False} | asked))
        assert answer == ["CONNACK 0x97"]
        assert peer.closed
        assert watcher.take() == [], "a client that was not let in has no will"
        if not asked.get("clean_start"):
            _, more = engine.connect_more("r", **LASTING)
            assert len(more) == 3

    @pytest.mark.parametrize(("version", "code"), [(V5, 0x97), (V3_1_1, 0x88)])
    def test_a_new_session_is_refused_and_is_none(self, version, code):
        engine, store, _ = self.broken()
        asked = {"session_expiry_interval": 60} if version == V5 else {}
        peer, answer = self.ask(engine, "new", version, clean_start=False, **asked)
        assert answer == [f"CONNACK 0x{code:02X}"]
        assert peer.closed
        assert "new" not in engine.broker.registry.actors
        assert engine.stats.connects_refused == {0x97: 1}
        self.mend(store)
        pass_time(engine, store, 2)
        assert [row.client_id for row in store.content.sessions.values()] == ["r"]

    def test_a_session_that_keeps_nothing_is_let_in(self):
        engine, _, _ = self.broken()
        engine.broker.registry.end_session(engine.broker.registry.actors["r"])
        engine.connect("brief")
        engine.connect("brief", V3_1_1)

    def test_a_will_that_is_durable_already_is_no_new_promise(self):
        last = will("gone", will_delay_interval=30)
        engine, _, _ = self.broken(will=last)
        _, more = engine.connect_more("r", will=last, **LASTING)
        assert len(more) == 3
        changed = will("gone", b"other", will_delay_interval=30)
        _, answer = self.ask(engine, "r", will=changed, **LASTING)
        assert answer == ["CONNACK 0x97"]

    def test_a_disk_that_says_nothing_is_waited_for_no_longer_than_for_a_client(self):
        engine = Engine(FakeStore(), connect_deadline_seconds=5.0)
        peer, _ = engine.ask(connect("c", **LASTING))
        engine.wait(4)
        assert peer.take() == []
        engine.wait(2)
        assert said(peer.take()) == ["CONNACK 0x97"]
        assert peer.closed
        engine.complete_all()
        assert peer.take() == []

    def test_qos_2_waits_and_goes_on_in_order_when_it_can(self):
        engine, store, _ = self.broken(qos=2, receive_maximum=2)
        reader, more = engine.connect_more("r", receive_maximum=2, **LASTING)
        assert more == []
        assert said(reader.send(PingReq())) == ["PINGRESP"]
        self.mend(store)
        pass_time(engine, store, 1)
        assert said(reader.take()) == ["PUBLISH t=1 q2 #1 dup", "PUBLISH t=2 q2 #2 dup"]
        reader.send(PubRec(1))
        assert said(reader.send(PubComp(1))) == ["PUBLISH t=3 q2 #3"]

    def test_what_a_client_has_released_is_told_when_that_is_kept(self):
        engine, store, _ = self.broken(qos=2)
        self.mend(store)
        pass_time(engine, store, 1)
        reader, _ = engine.connect_more("r", **LASTING)
        assert said(reader.send(PubRec(1))) == ["PUBREL #1"]
        self.break_down(engine, store)
        assert reader.send(PubRec(2)) == []
        reader.drop()
        reader, more = engine.connect_more("r", **LASTING)
        assert more == reader.send(PubRec(2)) == []
        assert not reader.closed
        self.mend(store)
        pass_time(engine, store, 1)
        assert sorted(said(reader.take())) == [
            "PUBLISH t=3 q2 #3 dup",
            "PUBREL #1",
            "PUBREL #2",
            "PUBREL #2",
        ]

    @pytest.mark.parametrize("back", [False, True])
    def test_a_client_uses_its_identifier_anew_only_when_that_is_kept(self, back):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        writer = engine.connect("w", **LASTING)
        assert said(writer.publish("t", qos=2, packet_id=1)) == ["PUBREC #1 0x10"]
        self.break_down(engine, store)
        assert writer.send(PubRel(1)) == []
        if back:
            writer = engine.connect("w", **LASTING)
            assert writer.send(PubRel(1)) == []
        pass_time(engine, store, 2)
        assert not writer.closed
        self.mend(store)
        pass_time(engine, store, 1)
        assert said(writer.take()) == ["PUBCOMP #1"]
        assert not store.content.inbound
