from rookery.mqtt.packets import Subscribe, SubscriptionRequest, Unsubscribe
from tests.support.engine import publish, said
from tests.support.peers import Cluster, hub_of

LASTING = {"session_expiry_interval": 3_600}


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

    def test_does_not_wait_for_one_that_serves_nobody_yet(self):
        cluster = Cluster("a", "b")
        client = self.subscribe(cluster)
        hub_of(cluster.engines["a"]).set_members({"a": 1, "b": 1}, ["b"])
        assert cluster.taken(client) == ["SUBACK 0x01"]

    def test_waits_no_longer_for_one_that_is_none_any_more(self):
        cluster = Cluster("a", "b")
        client = self.subscribe(cluster)
        hub_of(cluster.engines["a"]).set_members({"a": 1})
        assert cluster.taken(client) == ["SUBACK 0x01"]
