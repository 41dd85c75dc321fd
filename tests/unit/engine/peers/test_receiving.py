from tests.support.engine import publish
from tests.support.peers import Cluster

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
