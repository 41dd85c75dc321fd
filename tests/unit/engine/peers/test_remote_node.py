"""What is told another node, what is kept for it, and what becomes of both when a link or a node goes down."""

import pytest

from rookery.engine.peers.remote_node import READ_AT_A_TIME
from rookery.engine.stats import DROP_PEER_DOWN
from rookery.mqtt.packets import (
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionRequest,
)
from tests.support.engine import Peer, publish, said
from tests.support.peers import Cluster, FakeLink, hub_of

LASTING = {"session_expiry_interval": 3_600}


class TestALinkThatIsDown:
    def test_what_durable_sessions_are_owed_waits_in_our_log(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=1)
        cluster.settle()
        cluster.cut("a", "b")
        writer = cluster.connect("a", "writer")
        for number in range(3):
            acked = cluster.send(writer, publish("t", b"%d" % number, 1, packet_id=number + 1))
            assert acked == [f"PUBACK #{number + 1}"]
        assert said(far.take()) == []
        cluster.join("a", "b")
        assert cluster.taken(far) == [f"PUBLISH t={number} q1 #{number + 1}" for number in range(3)]
        cluster.engines["a"].wait(2)
        assert cluster.stores["a"].content.blocks == {}

    def test_what_was_told_and_not_acknowledged_is_kept_and_told_again(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=1)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        writer.engine.turn((writer, writer.encode(publish("t", b"x", 1, packet_id=1))))
        cluster.cut("a", "b")
        assert cluster.taken(writer) == ["PUBACK #1"]
        cluster.join("a", "b")
        assert cluster.taken(far) == ["PUBLISH t=x q1 #1"]

    def test_what_was_told_stays_before_what_was_kept_beside_qos_2(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=2)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        store = cluster.stores["a"]
        store.at_once = False  # What has QoS 2 is told when it is durable here.
        for number, qos in ((1, 1), (2, 2), (3, 1)):
            packet = publish("t", b"%d" % number, qos, packet_id=number)
            writer.engine.turn((writer, writer.encode(packet)))
        cluster.cut("a", "b")
        store.at_once = True
        while store.waiting:
            store.complete()
        cluster.join("a", "b")
        cluster.settle()
        payloads = [packet.payload for packet in far.take() if packet.qos == 1]
        assert payloads == [b"1", b"3"]

    def test_it_outlives_our_own_restart(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=1)
        cluster.settle()
        cluster.cut("a", "b")
        writer = cluster.connect("a", "writer")
        assert cluster.send(writer, publish("t", b"x", 1, packet_id=1)) == ["PUBACK #1"]
        cluster.kill("a")
        cluster.add("a")
        assert cluster.taken(far) == ["PUBLISH t=x q1 #1"]
        cluster.kill("a")
        cluster.add("a")
        assert cluster.taken(far) == []

    def test_others_are_not_owed_it(self):
        cluster = Cluster("a", "b")
        cluster.subscribe(cluster.connect("b", "far"), "t", qos=1)
        cluster.settle()
        cluster.cut("a", "b")
        writer = cluster.connect("a", "writer")
        assert cluster.send(writer, publish("t", b"x", 1, packet_id=1)) == ["PUBACK #1"]
        assert cluster.engines["a"].stats.dropped[DROP_PEER_DOWN] == 1

    def test_what_comes_meanwhile_stays_behind_what_was_kept(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=1)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        cluster.cut("a", "b")
        cluster.send(writer, publish("t", b"0", 1, packet_id=1))
        cluster.join("a", "b")
        writer.engine.turn((writer, writer.encode(publish("t", b"1", 1, packet_id=2))))
        assert cluster.taken(far) == ["PUBLISH t=0 q1 #1", "PUBLISH t=1 q1 #2"]
        assert cluster.taken(writer) == ["PUBACK #2"]


class TestExactlyOnce:
    def test_however_often_the_link_breaks(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=2)
        cluster.settle()
        writer = cluster.connect("a", "writer", **LASTING)
        writer.engine.turn((writer, writer.encode(publish("t", b"x", 2, packet_id=1))))
        writer.engine.settle()
        # It reaches b, whose acknowledgement is lost.
        cluster.settle(lambda link: link.source == "a")
        cluster.cut("a", "b")
        cluster.join("a", "b")
        assert cluster.taken(far) == ["PUBLISH t=x q2 #1"]
        assert cluster.taken(writer) == ["PUBREC #1"]
        assert cluster.send(writer, PubRel(1)) == ["PUBCOMP #1"]

    def test_over_a_restart_of_the_receiver(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=2)
        cluster.settle()
        writer = cluster.connect("a", "writer", **LASTING)
        writer.engine.turn((writer, writer.encode(publish("t", b"x", 2, packet_id=1))))
        writer.engine.settle()
        cluster.settle(lambda link: link.source == "a")
        cluster.kill("b")
        cluster.add("b")
        _, more = cluster.connect_more("b", "far", clean_start=False, **LASTING)
        present, told = more
        assert present == "CONNACK present"
        assert told in ("PUBLISH t=x q2 #1 dup", "PUBLISH t=x q2 #1")


def owing(qos: int, *more: str) -> tuple[Cluster, Peer, Peer]:
    """A publisher at a, and a durable subscriber at b that is there."""
    cluster = Cluster("a", "b", *more)
    far = cluster.connect("b", "far", **LASTING)
    cluster.subscribe(far, "t", qos=qos)
    cluster.settle()
    return cluster, cluster.connect("a", "writer", **LASTING), far


def publish_some(writer: Peer, numbers: range, qos: int) -> None:
    """Publish without a look at the answers, nor at what other nodes do."""
    packets = [publish("t", b"%d" % n, qos, packet_id=n + 1) for n in numbers]
    writer.engine.turn((writer, writer.encode(*packets)))
    writer.engine.settle()


def taken_in_order(cluster: Cluster, far: Peer) -> list[int]:
    """All that a subscriber gets, which it acknowledges to the end."""
    found: list[int] = []
    while True:
        cluster.settle()
        packets = far.take()
        if not packets:
            return found
        answers: list[Packet] = []
        for packet in packets:
            if isinstance(packet, Publish):
                found.append(int(packet.payload))
                kind = PubAck if packet.qos == 1 else PubRec
                answers.append(kind(packet.packet_id))
            elif isinstance(packet, PubRel):
                answers.append(PubComp(packet.packet_id))
        far.engine.turn((far, far.encode(*answers)))


def to_b(link: FakeLink) -> bool:
    return link.target == "b"


def never(_link: FakeLink) -> bool:
    return False


class TestALinkThatFlaps:
    @pytest.mark.parametrize("qos", [1, 2])
    @pytest.mark.parametrize("reached", [never, to_b, None])
    def test_loses_nothing_and_changes_no_order_at_whatever_point(self, qos, reached):
        """Before it is sent, before its acknowledgement comes, and after that."""
        cluster, writer, far = owing(qos)
        for first in range(0, 12, 4):
            publish_some(writer, range(first, first + 4), qos)
            if reached is None:
                cluster.settle()
            else:
                cluster.settle(reached)
            cluster.cut("a", "b")
            publish_some(writer, range(first + 2, first + 4), 0)  # Nobody waits for these.
            cluster.join("a", "b")
        got = taken_in_order(cluster, far)
        if qos == 2:
            assert got == list(range(12))
        assert sorted(set(got)) == list(range(12))
        assert [n for at, n in enumerate(got) if n not in got[:at]] == list(range(12))
        cluster.engines["a"].wait(1)
        assert hub_of(cluster.engines["a"]).kept_positions() == []

    def test_while_its_messages_are_read_lets_none_of_them_fall_between(self):
        cluster, writer, far = owing(2)
        store = cluster.stores["a"]
        cluster.cut("a", "b")
        publish_some(writer, range(3), 2)
        cluster.settle()
        store.at_once = False
        publish_some(writer, range(3, 5), 2)
        cluster.join("a", "b")
        writer.engine.settle()  # The first three are told, not the two that are not durable yet.
        store.reads_at_once = False
        store.complete()
        writer.engine.settle()
        assert store.reading == 1
        cluster.cut("a", "b")
        store.at_once = True
        cluster.join("a", "b")
        while store.reading:
            store.complete_read()
            cluster.settle()
        store.reads_at_once = True
        assert taken_in_order(cluster, far) == list(range(5))

    def test_while_its_messages_are_read_makes_none_of_them_seem_done(self):
        cluster, writer, far = owing(2)
        store = cluster.stores["a"]
        cluster.cut("a", "b")
        publish_some(writer, range(3), 2)
        cluster.settle()
        store.at_once = False
        publish_some(writer, range(3, 5), 2)
        cluster.join("a", "b")
        writer.engine.settle()
        store.reads_at_once = False
        store.complete()
        writer.engine.settle()
        cluster.cut("a", "b")
        store.at_once = True
        cluster.engines["a"].wait(1)
        cluster.kill("a")
        store.reads_at_once = True
        cluster.add("a")
        assert taken_in_order(cluster, far) == list(range(5))


class TestALongBacklog:
    def test_is_told_in_order_and_never_all_at_once(self):
        cluster, writer, far = owing(1)
        cluster.cut("a", "b")
        count = 2 * READ_AT_A_TIME + 50
        publish_some(writer, range(count), 1)
        cluster.settle()
        cluster.join("a", "b")
        node = hub_of(cluster.engines["a"]).nodes["b"]
        got: list[int] = []
        while node.owed.backlog.count:
            before = node.owed.backlog.count
            writer.engine.settle()
            assert before - node.owed.backlog.count <= READ_AT_A_TIME
            got += taken_in_order(cluster, far)
        assert got == list(range(count))

    def test_lets_what_comes_meanwhile_wait_behind_it(self):
        cluster, writer, far = owing(1)
        cluster.cut("a", "b")
        count = READ_AT_A_TIME + 10
        publish_some(writer, range(count), 1)
        cluster.settle()
        cluster.join("a", "b")
        writer.engine.settle()
        publish_some(writer, range(count, count + 3), 1)
        assert taken_in_order(cluster, far) == list(range(count + 3))

    def test_outlives_trimming(self):
        cluster, writer, far = owing(1)
        engine, store = cluster.engines["a"], cluster.stores["a"]
        near = cluster.connect("a", "near", **LASTING)
        cluster.subscribe(near, "x", qos=1)
        cluster.cut("a", "b")
        for n in range(3):
            dead = [publish("x", b"y" * 400, 1, packet_id=100 + other) for other in range(63)]
            writer.send(publish("t", b"%d" % n, 1, packet_id=1), *dead)
        while got := [each for each in near.take() if isinstance(each, Publish)]:
            near.send(*[PubAck(each.packet_id) for each in got])
        engine.broker.trimmer.loose_bytes_min = 1
        engine.wait(3)
        assert sum(len(group.trimmed) for group in store.groups) >= 2
        assert len([entry for block in store.blocks.values() for entry in block if entry]) == 3
        cluster.join("a", "b")
        assert taken_in_order(cluster, far) == [0, 1, 2]


class TestWhatIsWaitedForWhenTheLinkIsGone:
    def told_and_kept(self) -> tuple[Cluster, Peer, Peer]:
        """A message was told, its link went down, and it is not durable here yet."""
        cluster, writer, far = owing(1)
        publish_some(writer, range(1), 1)
        cluster.stores["a"].at_once = False
        cluster.cut("a", "b")
        assert writer.take() == []
        return cluster, writer, far

    def test_is_not_what_a_new_link_tells(self):
        cluster, writer, _ = self.told_and_kept()
        cluster.join("a", "b")
        other = cluster.connect("b", "other")
        cluster.subscribe(other, "brief", qos=1)
        packet = publish("brief", b"x", 1, packet_id=9)
        writer.engine.turn((writer, writer.encode(packet)))
        writer.engine.settle()
        assert writer.take() == []
        writer.engine.complete_all()
        assert said(writer.take()) == ["PUBACK #1"]
        assert cluster.taken(writer) == ["PUBACK #9"]

    def test_is_kept_as_long_as_the_link_flaps(self):
        cluster, writer, _ = self.told_and_kept()
        cluster.join("a", "b")
        cluster.cut("a", "b")
        assert writer.take() == []
        writer.engine.complete_all()
        assert said(writer.take()) == ["PUBACK #1"]

    def test_is_no_more_what_could_not_be_kept_once(self):
        cluster, writer, _ = self.told_and_kept()
        writer.engine.complete(OSError("full"))
        assert writer.closed
        cluster.stores["a"].at_once = True
        writer.engine.wait(1)
        writer.engine.complete_all()
        cluster.join("a", "b")
        passing = cluster.connect("b", "passing")
        cluster.subscribe(passing, "brief", qos=1)
        again = cluster.connect("a", "again")
        again.engine.turn((again, again.encode(publish("brief", b"1", 1, packet_id=1))))
        passing.drop()
        cluster.cut("a", "b")
        assert cluster.taken(again) == ["PUBACK #1"]


class TestWhatCannotBeKept:
    @pytest.mark.parametrize("qos", [1, 2])
    def test_is_acknowledged_to_nobody(self, qos):
        cluster, writer, far = owing(qos)
        store = cluster.stores["a"]
        store.at_once = False
        if qos == 1:
            publish_some(writer, range(1), qos)  # It is told, and nobody knows whether it arrived.
            cluster.cut("a", "b")
        else:
            cluster.cut("a", "b")
            publish_some(writer, range(1), qos)
        writer.engine.settle()
        assert writer.take() == []
        writer.engine.complete(OSError("full"))
        assert said(writer.take()) == ["DISCONNECT 0x80"]
        assert writer.closed
        store.at_once = True
        writer.engine.wait(1)
        while store.waiting:
            writer.engine.complete()
        again = cluster.connect("a", "writer", clean_start=False, **LASTING)
        cluster.join("a", "b")
        told = cluster.send(again, publish("t", b"0", qos, packet_id=1, dup=True))
        assert told == [f"{'PUBACK' if qos == 1 else 'PUBREC'} #1"]
        assert taken_in_order(cluster, far) == [0]

    def test_is_acknowledged_to_nobody_though_its_node_is_gone_meanwhile(self):
        cluster, writer, _ = owing(1, "c")
        store = cluster.stores["a"]
        store.at_once = False
        publish_some(writer, range(1), 1)
        hub = hub_of(cluster.engines["a"])
        hub.departed.adopted("b", 1, hub.nodes["c"])
        writer.engine.settle()
        assert writer.take() == []
        writer.engine.complete(OSError("full"))
        assert said(writer.take()) == ["DISCONNECT 0x80"]


def test_the_number_a_node_is_kept_under_is_never_given_to_a_session():
    cluster, writer, far = owing(1)
    cluster.cut("a", "b")
    publish_some(writer, range(1), 1)
    cluster.settle()
    number = hub_of(cluster.engines["a"]).nodes["b"].number
    cluster.kill("a")
    engine = cluster.add("a")
    others = [cluster.connect("a", f"c{n}", **LASTING) for n in range(number + 1)]
    assert number not in {other.actor.number for other in others}
    assert taken_in_order(cluster, far) == [0]
    engine.wait(1)
    cluster.kill("a")
    cluster.add("a")
    _, more = cluster.connect_more("a", "c0", clean_start=False, **LASTING)
    assert more == ["CONNACK present"]


class TestANodeThatDoesNotAcknowledge:
    def stalled(self) -> tuple[Cluster, Peer, Peer]:
        """A node with a durable session that cannot commit, and a client of another that publishes."""
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=1)
        cluster.settle()
        cluster.stores["b"].at_once = False
        writer = cluster.connect("a", "writer")
        assert cluster.send(writer, publish("t", b"1", 1, packet_id=1)) == []
        return cluster, far, writer

    def look(self, cluster: Cluster, after_seconds: float = 1.0) -> None:
        cluster.clock.now += after_seconds
        hub_of(cluster.engines["a"]).look()
        cluster.settle()

    def go_on(self, cluster: Cluster) -> None:
        store = cluster.stores["b"]
        store.at_once = True
        while store.waiting:
            store.complete()
        cluster.settle()

    def test_nobody_waits_for_it_once_what_it_is_owed_is_kept(self):
        cluster, far, writer = self.stalled()
        self.look(cluster, 0.5)
        assert cluster.taken(writer) == []
        self.look(cluster)
        assert cluster.taken(writer) == ["PUBACK #1"]
        assert cluster.send(writer, publish("t", b"2", 1, packet_id=2)) == ["PUBACK #2"]
        self.go_on(cluster)
        payloads = [each.payload for each in far.take() if isinstance(each, Publish)]
        assert payloads == [b"1", b"1", b"2"]

    def test_what_it_is_owed_reaches_it_though_it_dies(self):
        cluster, _, _ = self.stalled()
        self.look(cluster)
        cluster.kill("b")
        cluster.stores["b"].at_once = True
        cluster.add("b")
        told = cluster.connect_more("b", "far", clean_start=False, **LASTING)[1]
        assert told == ["CONNACK present", "PUBLISH t=1 q1 #1"]

    def test_it_is_told_at_once_again_when_it_has_caught_up(self):
        cluster, _, writer = self.stalled()
        self.look(cluster)
        self.go_on(cluster)
        cluster.send(writer, publish("t", b"2", 1, packet_id=2))
        kept = cluster.engines["a"].stats.messages_kept_for_peers
        assert cluster.send(writer, publish("t", b"3", 1, packet_id=3)) == ["PUBACK #3"]
        assert cluster.engines["a"].stats.messages_kept_for_peers == kept == 1

    def test_a_suback_waits_for_it_all_the_same(self):
        cluster, _, writer = self.stalled()
        near = cluster.connect("a", "near")
        packet = Subscribe(5, [SubscriptionRequest("u", 1)], None)
        assert cluster.send(near, packet) == []
        self.look(cluster)
        assert cluster.taken(writer) == ["PUBACK #1"]
        assert cluster.taken(near) == []
        self.go_on(cluster)
        assert cluster.taken(near) == ["SUBACK 0x01"]
