import pytest

from rookery.mqtt.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel
from tests.support.engine import Engine, FakeStore, publish, said, will


class TestAWill:
    def test_is_published_again_when_its_commit_failed(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("r", session_expiry_interval=60).subscribe("w", qos=2)
        engine.broker.registry.actors["r"].client.lost()
        dying = engine.connect("c", will=will("w", qos=2))
        store.at_once = False
        dying.drop()
        engine.complete(OSError("full"))
        engine.wait(1)
        engine.complete_all()
        store.at_once = True
        _, more = engine.connect_more("r", clean_start=False, session_expiry_interval=60)
        assert said(more) == ["PUBLISH w=gone q2 #1"]

    @pytest.mark.parametrize("seen_failing", [False, True])
    @pytest.mark.parametrize("crash", [False, True])
    def test_waits_for_room(self, seen_failing, crash):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("r", session_expiry_interval=60).subscribe("w", qos=1)
        engine.broker.registry.actors["r"].client.lost()
        dying = engine.connect("c", will=will("w", qos=1))
        store.is_full = True
        if seen_failing:
            engine.connect("x").publish("y", b"m", 1, packet_id=1, retain=True)
        dying.drop()
        engine.wait(5)
        if crash:
            engine = Engine.restart(store)
        store.is_full = False
        engine.wait(2)
        if not crash:
            engine = Engine.restart(store)  # A will that was kept is not published again.
        _, more = engine.connect_more("r", clean_start=False, session_expiry_interval=60)
        assert said(more) == ["PUBLISH w=gone q1 #1"]


class TestWhatAShareGroupHandedOver:
    def test_is_handed_over_again_when_its_commit_failed(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        one, two = [
            engine.connect(name, session_expiry_interval=60, receive_maximum=1) for name in "ab"
        ]
        for member in (one, two):
            member.subscribe("$share/g/t", qos=1)
        writer = engine.connect("w")
        for n in range(2):
            writer.publish("t", b"%d" % n, 1, packet_id=n + 1)
        assert said(one.take()) == ["PUBLISH t=0 q1 #1"]
        store.at_once = False
        one.drop()
        engine.complete(OSError("full"))
        store.at_once = True
        engine.wait(1)
        assert said(two.take()) == ["PUBLISH t=1 q1 #1"]
        assert said(two.send(PubAck(1))) == ["PUBLISH t=0 q1 #2"]

    @pytest.mark.parametrize("crash", [False, True])
    def test_is_not_lost_where_it_could_not_be(self, crash):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        lasting = {"session_expiry_interval": 60, "clean_start": False, "receive_maximum": 1}
        one, two = [engine.connect(name, **lasting) for name in "ab"]
        for member in (one, two):
            member.subscribe("$share/g/t", qos=1)
        writer = engine.connect("w")
        for n in range(2):
            writer.publish("t", b"%d" % n, 1, packet_id=n + 1)
        assert said(one.take()) == ["PUBLISH t=0 q1 #1"]
        store.is_full = True
        one.drop()
        engine.wait(5)
        assert said(two.take()) == ["PUBLISH t=1 q1 #1"]
        assert two.send(PubAck(1)) == []
        if crash:
            engine = Engine.restart(store)
            store.is_full = False
            _, more = engine.connect_more("a", **lasting)
            assert said(more) == ["PUBLISH t=0 q1 #1 dup"]
            return
        store.is_full = False
        engine.wait(2)
        assert said(two.take()) == ["PUBLISH t=0 q1 #2"]

    def test_keeps_nothing_from_being_finished_that_its_first_member_takes_meanwhile(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        lasting = {"session_expiry_interval": 60, "clean_start": False, "receive_maximum": 1}
        one, two = [engine.connect(name, **lasting) for name in "ab"]
        for member in (one, two):
            member.subscribe("$share/g/t", qos=2)
        writer = engine.connect("w")
        writer.send(*[publish("t", b"%d" % n, 1 + (n < 2), packet_id=n + 1) for n in range(4)])
        assert said(one.take()) == ["PUBLISH t=0 q2 #1"]
        store.is_full = True
        one.drop()  # What it waits for is handed over and cannot be kept.
        engine.wait(1)
        assert engine.broker.committer.failing
        one, _ = engine.connect_more("a", **lasting)
        assert said(one.send(PubRec(1))) == ["PUBREL #1"]
        one.send(PubComp(1))
        engine.wait(1)
        engine = Engine.restart(store)
        store.is_full = False
        _, more = engine.connect_more("a", **lasting)
        assert said(more) == ["PUBLISH t=2 q1 #1 dup"]

    def test_is_owed_to_one_member_alone_after_a_crash(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        lasting = {"session_expiry_interval": 60, "clean_start": False}
        one, two = [engine.connect(name, receive_maximum=1, **lasting) for name in "ab"]
        for member in (one, two):
            member.subscribe("$share/g/t", qos=2)
        writer = engine.connect("w")
        for n in range(4):
            writer.publish("t", b"%d" % n, 2, packet_id=n + 1)
            writer.send(PubRel(n + 1))
        store.at_once = False
        one.drop()
        store.crash(kept=1)  # The group with what was handed over, and none behind it.
        store.at_once = True
        engine = Engine.restart(store)
        got = [payload for name in "ab" for payload in drained(engine, name, lasting)]
        assert sorted(got) == [b"0", b"1", b"2", b"3"]

    def test_is_left_to_its_publisher_where_it_had_not_been_taken_at_all(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        lasting = {"session_expiry_interval": 60, "clean_start": False}
        one = engine.connect("a", receive_maximum=1, **lasting)
        two = engine.connect("b", **lasting)
        for member in (one, two):
            member.subscribe("$share/g/t", qos=2)
        writer = engine.connect("w", **lasting)
        store.at_once = False
        packets = [publish("t", b"%d" % n, 2, packet_id=n + 1) for n in range(4)]
        assert writer.send(*packets) == []
        one.drop()
        engine.complete(OSError("full"))
        store.at_once = True
        engine.wait(1)
        engine.complete_all()
        again = engine.connect("w", **lasting)
        packets = [publish("t", b"%d" % n, 2, packet_id=n + 1, dup=True) for n in range(4)]
        assert said(again.send(*packets)) == [f"PUBREC #{n + 1}" for n in range(4)]
        got = [payload for name in "ab" for payload in drained(engine, name, lasting)]
        assert sorted(got) == [b"0", b"1", b"2", b"3"]


def drained(engine: Engine, client_id: str, asked: dict[str, int]) -> list[bytes]:
    """What a client gets with QoS 2 when it is back, to the end."""
    peer, packets = engine.connect_more(client_id, **asked)
    found = []
    while packets:
        answers: list[Packet] = []
        for packet in packets:
            if isinstance(packet, Publish):
                found.append(packet.payload)
                answers.append(PubRec(packet.packet_id))
            elif isinstance(packet, PubRel):
                answers.append(PubComp(packet.packet_id))
        packets = peer.send(*answers)
    return found
