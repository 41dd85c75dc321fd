from rookery.engine.settings import Rates
from tests.support.engine import publish
from tests.support.peers import Cluster
from tests.unit.engine.peers.test_relay import BACK, away


class TestBounds:
    def test_a_client_is_not_read_from_while_the_link_to_its_owner_is_full(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        cluster.links["b", "a"].unsent_bytes = 5_000_000
        cluster.send(peer, publish("t", b"x"))
        assert peer.io.paused
        cluster.links["b", "a"].unsent_bytes = 0
        peer.engine.turn()
        assert not peer.io.paused

    def test_a_client_that_may_not_send_so_much_waits_here_for_its_bytes(self):
        rates = Rates(bytes_per_second_max=1_000.0, burst_seconds=1.0)
        cluster = Cluster("a", "b", client=rates)
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        cluster.send(peer, publish("t", b"x" * 5_000))
        assert peer.io.paused
        cluster.clock.now += 10
        for engine in cluster.engines.values():
            engine.turn()
        cluster.settle()
        assert not peer.io.paused


class TestTheDeadline:
    def test_of_a_connect_ends_when_the_owner_has_taken_it(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.begin("b", "c", **BACK)
        cluster.settle(lambda link: link.source == "b")
        cluster.links["a", "b"].carry()
        cluster.engines["b"].wait(11)
        assert cluster.taken(peer) == ["CONNACK 0x88"]
        assert peer.closed
        assert not cluster.engines["a"].broker.registry.actors["c"].attached
        peer = cluster.connect("b", "c", **BACK)
        for engine in cluster.engines.values():
            engine.wait(11)
        assert not peer.closed
