import pytest

from rookery.engine.peers.items import (
    ASLEEP,
    HOLDING,
    KEPT,
    PUBLISH,
    ROUTE,
    SWITCHED,
    item,
    kept_item,
)
from rookery.message import Message
from rookery.mqtt.encode import topic_to_wire
from rookery.records import encode_message
from tests.support.engine import publish, said
from tests.support.peers import Cluster, hub_of

LASTING = {"session_expiry_interval": 3_600}


class TestRetained:
    def test_is_on_every_node(self):
        cluster = Cluster("a", "b")
        writer = cluster.connect("a", "writer")
        cluster.send(writer, publish("t", b"x", 1, packet_id=1, retain=True))
        reader = cluster.connect("b", "reader")
        assert cluster.subscribe(reader, "t") == ["PUBLISH t=x q1 #1 retain"]
        cluster.add("c")
        late = cluster.engines["c"].broker.retained.get("t")
        assert late is not None
        assert late.payload == b"x"

    def test_the_later_one_wins_everywhere_and_one_node_keeps_it(self):
        cluster = Cluster("a", "b")
        one, two = cluster.connect("a", "one"), cluster.connect("b", "two")
        # Both at once: neither knows of the other's.
        one.engine.turn((one, one.encode(publish("t", b"a", 1, packet_id=1, retain=True))))
        two.engine.turn((two, two.encode(publish("t", b"b", 1, packet_id=1, retain=True))))
        cluster.settle()
        found = {engine.broker.retained.get("t").payload for engine in cluster.engines.values()}
        assert len(found) == 1
        cluster.clock.now += 2
        cluster.settle()
        keepers = [name for name, store in cluster.stores.items() if "t" in store.content.retained]
        assert len(keepers) == 1

    def test_cleared_stays_cleared(self):
        cluster = Cluster("a", "b")
        one, two = cluster.connect("a", "one"), cluster.connect("b", "two")
        cluster.send(one, publish("t", b"x", 1, packet_id=1, retain=True))
        cluster.send(two, publish("t", b"", 1, packet_id=1, retain=True))
        assert all(engine.broker.retained.count == 0 for engine in cluster.engines.values())
        assert cluster.stores["a"].content.retained == {}

    def test_reaches_a_node_that_was_away(self):
        cluster = Cluster("a", "b")
        cluster.cut("a", "b")
        one = cluster.connect("a", "one")
        cluster.send(one, publish("t", b"x", 1, packet_id=1, retain=True))
        cluster.join("a", "b")
        cluster.settle()
        assert cluster.engines["b"].broker.retained.get("t").payload == b"x"


class Told:
    """A node, and another one that a test plays."""

    def __init__(self) -> None:
        self.cluster = Cluster("a", "b")
        self.engine = self.cluster.engines["a"]
        self.node = hub_of(self.engine).nodes["b"]
        self.far = self.cluster.connect("a", "far", **LASTING)
        self.cluster.subscribe(self.far, "t", qos=2)
        self.link = self.cluster.links["a", "b"]

    def tell(self, *items: bytes) -> None:
        hub_of(self.engine).peer_frames("b", [b"".join(items)])
        self.engine.settle()

    def acknowledged(self) -> int:
        """Up to which of the items that were told the node says that it is done."""
        return self.node.acknowledged

    def taken(self) -> list[str]:
        return said(self.far.take())


def kept(number: int, payload: bytes, origin: str = "b/1") -> bytes:
    message = Message("t", topic_to_wire("t"), payload, 2, False, None, "w", 0.0)
    return kept_item(origin, number, encode_message(message, 0.0, ()))


class TestWhatIsKeptElsewhere:
    def test_is_taken_once_by_its_number_and_acknowledged_each_time(self):
        told = Told()
        before = told.acknowledged()
        told.tell(kept(5, b"x"))
        told.tell(kept(5, b"x"), kept(4, b"w"))
        assert told.taken() == ["PUBLISH t=x q2 #1"]
        assert told.acknowledged() == before + 3
        told.tell(kept(5, b"y", origin="b/2"))
        assert told.taken() == ["PUBLISH t=y q2 #2"]

    def test_is_acknowledged_when_the_first_copy_is_durable_though_another_link_brings_it_again(
        self,
    ):
        told = Told()
        store = told.cluster.stores["a"]
        store.at_once = False
        told.tell(kept(5, b"x"))
        told.cluster.cut("a", "b")
        told.cluster.join("a", "b")
        told.cluster.settle()
        told.tell(kept(5, b"x"))
        assert told.acknowledged() < told.node.received
        told.engine.complete_all()
        assert told.acknowledged() == told.node.received

    def test_comes_again_when_it_could_not_be_made_durable(self):
        told = Told()
        store = told.cluster.stores["a"]
        store.at_once = False
        told.tell(kept(5, b"x"))
        before = told.acknowledged()
        told.engine.complete(OSError("full"))
        assert told.link.closed == "what was told could not be made durable"
        store.at_once = True
        told.tell(kept(6, b"y"))  # It was on its way: what comes behind must not seem to have come.
        told.engine.wait(2)
        assert told.acknowledged() == before
        told.cluster.cut("a", "b")
        told.cluster.join("a", "b")
        told.cluster.settle()
        told.tell(kept(5, b"x"), kept(6, b"y"))
        told.cluster.settle()
        _, more = told.cluster.connect_more("a", "far", clean_start=False, **LASTING)
        assert [each.split(" q2")[0] for each in more[1:]] == ["PUBLISH t=x", "PUBLISH t=y"]


class TestWhatMakesNoSense:
    @pytest.mark.parametrize(
        "bad",
        [
            item(99, b""),
            item(KEPT, b"\0\3b/1\0"),
            item(PUBLISH, b""),
            item(ROUTE, b"\0\0"),
            item(HOLDING, b"\0\1a\0"),
            item(SWITCHED, b"\0\2\xff\xff"),
            b"\0\0\0\x09" + item(99, b"")[4:],
        ],
        ids=["kind", "number", "message", "route", "holding", "text", "length"],
    )
    def test_ends_the_link_with_nothing_behind_it_taken(self, bad):
        told = Told()
        before = told.acknowledged()
        told.tell(kept(5, b"x"), bad, kept(6, b"y"))
        told.tell(kept(7, b"z"))
        assert told.taken() == ["PUBLISH t=x q2 #1"]
        assert "makes no sense" in told.link.closed
        told.engine.wait(1)
        assert told.acknowledged() <= before + 1
        assert not told.engine.broker.draining


def test_what_a_cell_is_asleep_for_is_not_for_its_sessions_until_it_is_awake():
    told = Told()
    told.far.actor.adopted_from = "c"
    told.tell(item(ASLEEP, topic_to_wire("c")), kept(1, b"x"))
    assert told.taken() == []
    told.tell(item(SWITCHED, topic_to_wire("c")), kept(2, b"y"))
    assert told.taken() == ["PUBLISH t=y q2 #1"]
