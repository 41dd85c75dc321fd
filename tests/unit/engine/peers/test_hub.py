from rookery.engine.stats import DROP_PEER_DOWN
from rookery.mqtt.packets import PubRel, Subscribe, SubscriptionRequest, Unsubscribe
from tests.support.engine import publish, said
from tests.support.peers import Cluster, hub_of

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


class TestRoutes:
    def test_a_suback_leaves_when_every_node_knows_the_filter(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far")
        packet = Subscribe(5, [SubscriptionRequest("t", 1)], None)
        far.engine.turn((far, far.encode(packet)))
        far.engine.settle()
        assert far.take() == []
        assert cluster.taken(far) == ["SUBACK 0x01"]
        assert hub_of(cluster.engines["a"]).nodes["b"].routes.keys() == {"t"}

    def test_a_node_that_comes_later_is_told_all(self):
        cluster = Cluster("a")
        cluster.subscribe(cluster.connect("a", "one"), "t/#", "$share/g/s")
        cluster.settle()
        cluster.add("b")
        assert hub_of(cluster.engines["b"]).nodes["a"].routes.keys() == {"t/#", "$share/g/s"}
        assert hub_of(cluster.engines["b"]).nodes["a"].synced

    def test_what_was_given_up_while_the_link_was_down_is_forgotten(self):
        cluster = Cluster("a", "b")
        one = cluster.connect("a", "one")
        cluster.subscribe(one, "t", "u", qos=1)
        cluster.settle()
        cluster.cut("a", "b")
        one.send(Unsubscribe(7, ["t"]))
        cluster.join("a", "b")
        cluster.settle()
        assert hub_of(cluster.engines["b"]).nodes["a"].routes.keys() == {"u"}
        assert cluster.engines["b"].broker.router.match("t").recipients == []


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

    def test_what_comes_behind_what_was_lost_is_not_taken_before_it(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "t", qos=2)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        store = cluster.stores["b"]
        store.at_once = False
        cluster.send(writer, publish("t", b"1", 2, packet_id=1))
        store.complete(OSError("no leader"))
        assert cluster.links["b", "a"].closed
        store.at_once = True
        cluster.send(writer, publish("t", b"2", 2, packet_id=2))  # The link is not down yet.
        cluster.engines["b"].wait(2)
        cluster.settle()
        cluster.cut("a", "b")
        cluster.join("a", "b")
        cluster.settle()
        _, told = cluster.connect_more("b", "far", clean_start=False, **LASTING)
        assert [each[:14] for each in told] == [
            "CONNACK present"[:14],
            "PUBLISH t=1 q2",
            "PUBLISH t=2 q2",
        ]

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


class TestShares:
    def test_one_member_in_the_whole_cluster_gets_each_message(self):
        cluster = Cluster("a", "b", "c")
        members = [cluster.connect(name, f"m{name}") for name in "abc"]
        for member in members:
            cluster.subscribe(member, "$share/g/t", qos=1)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        for number in range(9):
            acked = cluster.send(writer, publish("t", b"%d" % number, 1, packet_id=number + 1))
            assert acked == [f"PUBACK #{number + 1}"]
        got = [said(member.take()) for member in members]
        assert sorted(len(each) for each in got) == [3, 3, 3]

    def test_members_without_a_link_come_last(self):
        cluster = Cluster("a", "b")
        far = cluster.connect("b", "far", **LASTING)
        cluster.subscribe(far, "$share/g/t", qos=1)
        near = cluster.connect("a", "near", **LASTING)
        cluster.subscribe(near, "$share/g/t", qos=1)
        cluster.settle()
        far.drop()
        cluster.settle()
        writer = cluster.connect("b", "writer")
        for number in range(4):
            cluster.send(writer, publish("t", b"%d" % number, 1, packet_id=number + 1))
        assert len(near.take()) == 4

    def test_those_here_first_if_so_configured(self):
        cluster = Cluster("a", "b", shared_prefer_local=True)
        far, near = cluster.connect("b", "far"), cluster.connect("a", "near")
        cluster.subscribe(far, "$share/g/t", qos=1)
        cluster.subscribe(near, "$share/g/t", qos=1)
        cluster.settle()
        writer = cluster.connect("a", "writer")
        for number in range(4):
            cluster.send(writer, publish("t", b"%d" % number, 1, packet_id=number + 1))
        assert (len(near.take()), len(far.take())) == (4, 0)


class TestASubackWhileAMemberHasNoLink:
    def subscribe(self, cluster: Cluster):
        client = cluster.connect("a", "reader")
        hub_of(cluster.engines["a"]).set_members({"a": 1, "b": 1})
        cluster.cut("a", "b")
        packet = Subscribe(5, [SubscriptionRequest("t", 1)], None)
        assert cluster.send(client, packet) == []
        return client

    def test_waits_until_that_knows_the_filter(self):
        cluster = Cluster("a", "b")
        client = self.subscribe(cluster)
        assert cluster.engines["a"].settle() == 0, "nothing is done meanwhile"
        cluster.join("a", "b")
        assert cluster.taken(client) == ["SUBACK 0x01"]
        assert hub_of(cluster.engines["b"]).nodes["a"].routes.keys() == {"t"}

    def test_waits_no_longer_for_one_that_is_none_any_more(self):
        cluster = Cluster("a", "b")
        client = self.subscribe(cluster)
        hub_of(cluster.engines["a"]).set_members({"a": 1})
        assert cluster.taken(client) == ["SUBACK 0x01"]
