"""A node dies that had promised to tell others: its adopter keeps that promise, once."""

import pytest

from rookery.engine.peers.adoption import Summary
from rookery.engine.peers.bequests import Bequests
from rookery.mqtt.packets import PubAck, PubComp, PubRec, PubRel
from rookery.records import Group
from tests.support.adopting import adopt, survivor_of
from tests.support.engine import FakeStore, publish
from tests.support.peers import Cluster, hub_of

LASTING = {"session_expiry_interval": 3_600, "clean_start": False}
EPOCH = 1


def four(*subscribed: tuple[str, str]) -> Cluster:
    """Nodes a, b, c and d; on some of them sessions whose clients are away."""
    cluster = Cluster("a", "b", "c", "d")
    for node, client_id in subscribed:
        reader = cluster.connect(node, client_id, **LASTING)
        cluster.subscribe(reader, "t", qos=2)
        reader.drop()
    cluster.settle()
    return cluster


def kill(cluster: Cluster, name: str = "a") -> FakeStore:
    cluster.kill(name)
    return survivor_of(cluster.stores[name])


def adopted(cluster: Cluster, dead: FakeStore, by: str = "b", cell: str = "a") -> Summary:
    engine = cluster.engines[by]
    hub = hub_of(engine)
    summary = adopt(
        engine,
        dead,
        cell,
        reachable=lambda: hub.departed.adopted_here(cell, EPOCH),
        epoch=EPOCH,
    )
    cluster.settle()
    return summary


def payloads(cluster: Cluster, node: str, client_id: str, qos: int = 2) -> list[bytes]:
    """What a client gets when it is back, to the end."""
    peer = cluster.begin(node, client_id, **LASTING)
    cluster.settle()
    connack, *packets = peer.take()
    assert connack.session_present
    got = []
    while packets:
        got += [each.payload for each in packets if hasattr(each, "payload")]
        answers = {"Publish": PubRec if qos == 2 else PubAck, "PubRel": PubComp}
        peer.engine.turn(
            (peer, peer.encode(*[answers[type(p).__name__](p.packet_id) for p in packets]))
        )
        cluster.settle()
        packets = peer.take()
    return got


def published(cluster: Cluster, *payloads: bytes, node: str = "a", retain: bool = False) -> None:
    """Publish with QoS 2; the node says that it has taken it."""
    writer = cluster.connect(node, "writer")
    for number, payload in enumerate(payloads, start=1):
        told = cluster.send(writer, publish("t", payload, 2, packet_id=number, retain=retain))
        assert told[0].split(" 0x10")[0] == f"PUBREC #{number}"


class TestWhatItKeptForAnother:
    @pytest.mark.parametrize("restarted", [False, True])
    def test_is_told_by_its_adopter(self, restarted):
        cluster = four(("c", "far"))
        cluster.cut("a", "c")
        published(cluster, b"1", b"2")
        dead = kill(cluster)
        if restarted:
            cluster.cut("b", "c")
        adopted(cluster, dead)
        if restarted:
            cluster.kill("b")
            cluster.add("b")
        assert payloads(cluster, "c", "far") == [b"1", b"2"]

    def test_is_told_once_though_it_was_told_before(self):
        cluster = four(("c", "far"))
        published(cluster, b"1")
        store = survivor_of(cluster.stores["a"])
        cluster.cut("a", "c")
        published(cluster, b"2")
        assert any(store.content.blocks.values()), "it does not know yet that the first one arrived"
        later = kill(cluster)
        later.content.progress.clear()
        for block, entries in store.content.blocks.items():
            later.content.blocks.setdefault(block, entries)
        adopted(cluster, later)
        assert payloads(cluster, "c", "far") == [b"1", b"2"]

    def test_is_kept_for_one_that_is_not_reached_yet_and_its_adopter_may_die_as_well(self):
        cluster = four(("c", "far"))
        cluster.cut("a", "c")
        published(cluster, b"1")
        cluster.cut("b", "c")
        adopted(cluster, kill(cluster))
        adopted(cluster, kill(cluster, "b"), "c", "b")
        assert payloads(cluster, "c", "far") == [b"1"]

    def test_is_known_by_its_first_number_however_often_it_is_passed_on(self):
        cluster = four(("c", "far"))
        for n in range(9):
            cluster.engines["b"].publish_kept(f"{n}")  # Its positions are others.
        cluster.settle()
        cluster.cut("a", "c")
        published(cluster, b"1")
        cluster.cut("b", "c")
        adopted(cluster, kill(cluster))
        kept = survivor_of(cluster.stores["b"])
        cluster.join("b", "c")
        cluster.settle()
        kill(cluster, "b")
        assert adopted(cluster, kept, "d", "b").passed_on == 1
        assert payloads(cluster, "c", "far") == [b"1"]

    def test_is_not_passed_on_when_it_was_acknowledged(self):
        cluster = four(("c", "far"), ("a", "keeps the block"))
        published(cluster, b"1", b"2")
        cluster.engines["a"].wait(1)
        dead = kill(cluster)
        assert adopted(cluster, dead).passed_on == 0
        assert payloads(cluster, "c", "far") == [b"1", b"2"]

    def test_reaches_the_adopters_own_sessions(self):
        cluster = four(("b", "near"))
        cluster.cut("a", "b")
        published(cluster, b"1")
        dead = kill(cluster)
        adopted(cluster, dead)
        assert payloads(cluster, "b", "near") == [b"1"]

    def test_is_not_taken_twice_by_an_adopter_that_begins_again(self):
        cluster = four(("b", "near"), ("c", "far"))
        cluster.cut("a", "b")
        cluster.cut("a", "c")
        published(cluster, b"1", b"2", b"3")
        dead = kill(cluster)
        cut_short = survivor_of(dead)
        assert len(cut_short.content.blocks) > 2
        for block in sorted(cut_short.content.blocks)[2:]:
            cut_short.content.blocks[block] = [b"\xff"]
        adopted(cluster, cut_short)
        adopted(cluster, dead)
        assert payloads(cluster, "b", "near") == [b"1", b"2", b"3"]
        assert payloads(cluster, "c", "far") == [b"1", b"2", b"3"]

    def test_of_a_cell_that_its_adopter_has_reaches_the_sessions_from_there(self):
        cluster = four(("c", "far"), ("b", "near"))
        cluster.cut("a", "c")
        published(cluster, b"1")
        gone = kill(cluster, "c")
        dead = kill(cluster)
        adopted(cluster, gone, "b", "c")
        adopted(cluster, dead)
        assert payloads(cluster, "b", "far") == [b"1"]
        assert payloads(cluster, "b", "near") == [b"1"]

    @pytest.mark.parametrize("told", [False, True])
    def test_of_a_cell_that_another_has_is_handed_to_that_one(self, told):
        cluster = four(("c", "far"))
        cluster.cut("a", "c")
        published(cluster, b"1")
        gone = kill(cluster, "c")
        dead = kill(cluster)
        adopted(cluster, gone, "b", "c")
        if told:
            fact = dead.content.facts.pop("peer/c")
            number = int.from_bytes(fact[:8], "big")
            dead.content.facts[f"departed/c/{number}"] = fact + b"b"
        adopted(cluster, dead, "d")
        assert payloads(cluster, "b", "far") == [b"1"]

    def test_of_a_share_group_goes_to_a_member_there(self):
        cluster = four()
        reader = cluster.connect("c", "far", **LASTING)
        cluster.subscribe(reader, "$share/g/t", qos=2)
        reader.drop()
        cluster.cut("a", "c")
        published(cluster, b"1")
        adopted(cluster, kill(cluster))
        assert payloads(cluster, "c", "far") == [b"1"]


@pytest.mark.parametrize("adopter", ["b", "c"])
def test_what_others_keep_for_its_sessions_does_not_come_to_them_twice(adopter):
    cluster = four(("a", "reader"))
    # What the acknowledgement says is done, and it never arrives.
    writer = cluster.connect("c", "writer")
    writer.engine.turn((writer, writer.encode(publish("t", b"1", 2, packet_id=1))))
    cluster.settle(lambda link: (link.source, link.target) != ("a", "c"))
    assert not hub_of(cluster.engines["c"]).nodes["a"].is_idle()
    cluster.cut("a", "c")
    adopted(cluster, kill(cluster), adopter)
    published(cluster, b"2", node="c")
    assert payloads(cluster, adopter, "reader") == [b"1", b"2"]


def test_what_another_kept_for_its_adopter_before_it_knew_is_not_for_its_sessions():
    cluster = four(("a", "far"), ("b", "near"))
    dead = kill(cluster)
    store = cluster.stores["c"]
    store.at_once = (
        False  # It is told when it is durable there, and kept for the dead node as well.
    )
    writer = cluster.connect("c", "writer")
    assert cluster.send(writer, publish("t", b"1", 2, packet_id=1)) == []
    adopted(cluster, dead)
    store.at_once = True
    while store.waiting:
        store.complete()
    cluster.settle()
    published(cluster, b"2", node="d")
    assert payloads(cluster, "b", "near") == [b"1", b"2"]
    assert payloads(cluster, "b", "far") == [b"1", b"2"]


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_kept_for_its_sessions_comes_to_them_before_what_is_published_later(qos):
    cluster = four(("a", "far"))
    dead = kill(cluster)
    store = cluster.stores["c"]
    store.at_once = False
    writer = cluster.connect("c", "writer")
    assert cluster.send(writer, publish("t", b"1", qos, packet_id=1)) == []
    adopted(cluster, dead)
    assert cluster.send(writer, publish("t", b"2", qos, packet_id=2)) == []
    store.at_once = True
    while store.waiting:
        store.complete()
    cluster.settle()
    assert payloads(cluster, "b", "far", qos) == [b"1", b"2"]


class TestWhatComesToLightLate:
    def late(self, before: FakeStore, after: FakeStore) -> Group:
        """What one store has and the other had not, as the group that it came with."""
        old, new = before.content, after.content
        block = min(new.blocks.keys() - old.blocks.keys())
        group = Group(block)
        group.entries = [entry for entry in new.blocks[block] if entry]
        group.facts = {name: fact for name, fact in new.facts.items() if name not in old.facts}
        return group

    def bequests(self, cluster: Cluster, dead: FakeStore) -> Bequests:
        return Bequests(hub_of(cluster.engines["b"]), "a", EPOCH, dead.content.loaded())

    @pytest.mark.parametrize("node", ["b", "c"])
    def test_reaches_those_it_was_kept_for(self, node):
        cluster = four((node, "far"))
        cluster.cut("a", node)
        before = survivor_of(cluster.stores["a"])
        published(cluster, b"1")
        after = kill(cluster)
        adopted(cluster, before)
        assert self.bequests(cluster, before).take_late(self.late(before, after)) == []
        cluster.engines["b"].turn()
        cluster.settle()
        assert payloads(cluster, node, "far") == [b"1"]

    def test_of_its_own_sessions_is_left_to_them(self):
        cluster = four(("a", "reader"))
        before = survivor_of(cluster.stores["a"])
        published(cluster, b"1")
        after = kill(cluster)
        adopted(cluster, before)
        (entry,) = self.bequests(cluster, before).take_late(self.late(before, after))
        assert entry.message.payload == b"1"

    def told_and_not_acknowledged(self, cluster: Cluster) -> FakeStore:
        """What node a leaves, which took a message that c keeps for it, and could not tell it so."""
        writer = cluster.connect("c", "writer")
        writer.engine.turn((writer, writer.encode(publish("t", b"1", 2, packet_id=1))))
        cluster.settle(lambda link: (link.source, link.target) != ("a", "c"))
        cluster.cut("a", "c")
        return kill(cluster)

    def test_says_what_had_arrived(self):
        cluster = four(("a", "reader"))
        before = survivor_of(cluster.stores["a"])
        after = self.told_and_not_acknowledged(cluster)
        late = self.late(before, after)
        cluster.cut("b", "c")  # Else it would be told again, and known by that.
        adopted(cluster, before)
        bequests = self.bequests(cluster, before)
        bequests.take_late(late)
        ((origin, number),) = [
            (name.removeprefix("received/"), int.from_bytes(fact, "big"))
            for name, fact in late.facts.items()
            if name.startswith("received/") and fact is not None
        ]
        assert not hub_of(cluster.engines["b"]).marks.is_new(f"a<{origin}", number)

    @pytest.mark.parametrize("handed", [True, False])
    def test_of_what_others_kept_for_it_is_for_its_sessions_unless_these_had_it_from_there(
        self, handed
    ):
        cluster = four(("a", "reader"))
        before = survivor_of(cluster.stores["a"])
        after = self.told_and_not_acknowledged(cluster)
        if not handed:
            cluster.cut("b", "c")
        adopted(cluster, before)
        bequests = self.bequests(cluster, before)
        own = bequests.take_late(self.late(before, after))
        departed = hub_of(cluster.engines["b"]).departed
        for entry in own:
            departed.deliver("a", entry)
        assert len(own) == (0 if handed else 1)
        if not handed:
            cluster.join("b", "c")
            cluster.settle()
        assert payloads(cluster, "b", "reader") == [b"1"]
        departed.sealed("a")
        assert len(bequests.take_late(self.late(before, after))) == 1


def test_who_has_just_read_all_that_was_kept_gets_the_next_message_at_once():
    cluster = four(("a", "reader"))
    store = cluster.stores["b"]
    writer = cluster.connect("b", "writer")
    cluster.cut("a", "b")
    cluster.send(writer, publish("t", b"1", 2, packet_id=1), PubRel(1))
    store.reads_at_once = False
    adopted(cluster, kill(cluster))
    assert store.reading == 1
    store.complete_read()  # Between two turns, as a store does.
    assert cluster.send(writer, publish("t", b"2", 2, packet_id=2)) == ["PUBREC #2"]
    store.reads_at_once = True
    assert payloads(cluster, "b", "reader") == [b"1", b"2"]


class TestRetained:
    def retained(self, cluster: Cluster, node: str) -> list[str]:
        peer = cluster.connect(node, "looks")
        told = cluster.subscribe(peer, "t", qos=1)
        cluster.send(peer)
        peer.drop()
        return told

    def test_one_that_the_adopter_has_from_its_node_is_its_to_keep(self):
        cluster = four()
        published(cluster, b"m", retain=True)
        adopted(cluster, kill(cluster))
        assert set(cluster.stores["b"].content.retained) == {"t"}
        cluster.kill("b")
        cluster.add("b")
        assert self.retained(cluster, "b") == ["PUBLISH t=m q1 #1 retain"]

    def test_a_later_one_of_its_adopter_stays(self):
        cluster = four()
        published(cluster, b"old", retain=True)
        cluster.cut("a", "b")
        cluster.cut("a", "c")
        cluster.clock.now += 1
        published(cluster, b"new", node="b", retain=True)
        adopted(cluster, kill(cluster))
        for node in ("b", "c"):
            assert self.retained(cluster, node) == ["PUBLISH t=new q1 #1 retain"]

    def test_one_that_nobody_was_told_of_is_told(self):
        cluster = four()
        published(cluster, b"old", node="b", retain=True)
        cluster.cut("a", "b")
        cluster.cut("a", "c")
        cluster.clock.now += 1
        published(cluster, b"new", retain=True)
        adopted(cluster, kill(cluster))
        for node in ("b", "c"):
            assert self.retained(cluster, node) == ["PUBLISH t=new q1 #1 retain"]

    def test_one_that_it_alone_has_made_durable_is_told(self):
        cluster = four()
        published(cluster, b"old", node="b", retain=True)
        cluster.clock.now += 1
        writer = cluster.connect("a", "writer")
        writer.engine.turn(
            (writer, writer.encode(publish("t", b"new", 1, packet_id=1, retain=True)))
        )
        writer.engine.settle()
        dead = survivor_of(cluster.stores["a"])
        for ends, link in cluster.links.items():
            if ends[0] == "a":
                link.frames.clear()
        cluster.kill("a")
        adopted(cluster, dead)
        for node in ("b", "c"):
            assert self.retained(cluster, node) == ["PUBLISH t=new q1 #1 retain"]
        cluster.engines["b"].wait(1)
        assert len(cluster.stores["b"].content.blocks) == 1, "of the one before nothing is left"

    def test_one_that_was_cleared_meanwhile_does_not_come_back(self):
        cluster = four()
        published(cluster, b"old", retain=True)
        cluster.cut("a", "b")
        cluster.cut("a", "c")
        cluster.clock.now += 1
        writer = cluster.connect("b", "writer")
        cluster.send(writer, publish("t", b"", 0, retain=True))
        adopted(cluster, kill(cluster))
        for node in ("b", "c"):
            assert self.retained(cluster, node) == []
