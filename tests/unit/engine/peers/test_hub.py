from tests.support.engine import publish, said
from tests.support.peers import Cluster

LASTING = {"session_expiry_interval": 3_600}


class TestMessages:
    def test_reach_the_sessions_of_other_nodes_once(self):
        cluster = Cluster("a", "b", "c")
        near = cluster.connect("a", "near")
        far = cluster.connect("b", "far")
        cluster.subscribe(near, "t/#", qos=1)
        cluster.subscribe(far, "t/+", "t/1", qos=1)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        assert cluster.send(writer, publish("t/1", b"x", 1, packet_id=1)) == ["PUBACK #1"]
        assert cluster.taken(near) == ["PUBLISH t/1=x q1 #1"]
        assert cluster.taken(far) == ["PUBLISH t/1=x q1 #1"]
        assert cluster.engines["a"].stats.messages_forwarded == 1
        assert cluster.engines["c"].stats.messages_from_peers == 0

    def test_keep_their_properties_and_their_order(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far")
        cluster.subscribe(far, "t", qos=0, retain_as_published=True)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        for number in range(3):
            user = [("k", str(number))]
            cluster.send(
                writer, publish("t", b"%d" % number, content_type="c", user_properties=user)
            )
        packets = far.take()
        assert [packet.payload for packet in packets] == [b"0", b"1", b"2"]
        assert [packet.properties.user_properties for packet in packets] == [
            [("k", "0")],
            [("k", "1")],
            [("k", "2")],
        ]
        assert packets[0].properties.content_type == "c"

    def test_are_acknowledged_when_the_other_node_has_them(self):
        cluster = Cluster("a", "b")
        cluster.subscribe(cluster.connect("b", "far"), "t", qos=1)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        writer.engine.turn((writer, writer.encode(publish("t", b"x", 1, packet_id=1))))
        writer.engine.settle()
        assert writer.take() == []
        assert cluster.taken(writer) == ["PUBACK #1"]

    def test_are_acknowledged_when_what_a_session_there_is_owed_is_durable(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=1)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        store = cluster.stores["b"]
        store.at_once = False
        assert cluster.send(writer, publish("t", b"x", 1, packet_id=1)) == []
        store.at_once = True
        while store.waiting:
            store.complete()
        assert cluster.taken(writer) == ["PUBACK #1"]
        assert cluster.stores["a"].content.blocks == {}

    def test_nobody_waits_for_qos_0_or_for_a_node_where_nobody_gets_more(self):
        cluster = Cluster("a", "b")
        cluster.subscribe(cluster.connect("b", "far"), "t", qos=0)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        assert said(writer.publish("t", b"x", 1, packet_id=1)) == ["PUBACK #1"]

    def test_of_the_node_itself_stay_here(self):
        cluster = Cluster("a", "b")
        cluster.subscribe(cluster.connect("b", "far"), "$SYS/#")
        cluster.settle()
        cluster.engines["a"].broker.publish("$SYS/x", b"1", True)
        cluster.settle()
        assert cluster.engines["b"].stats.messages_from_peers == 0
