from rookery.mqtt.packets import Disconnect, PingReq
from tests.support.engine import publish, said, will
from tests.support.peers import Cluster
from tests.unit.engine.peers.test_relay import BACK, away, handle_of


class TestBounds:
    def test_a_slow_reader_is_sent_no_more_than_it_may_hold(self):
        cluster = Cluster("a", "b", output_bytes_max=10_000, queue_messages_max=1_000)
        away(cluster, "t", qos=1)
        peer = cluster.connect("b", "c", **BACK)
        peer.io.stalls = True
        writer = cluster.connect("a", "writer")
        for number in range(50):
            cluster.send(
                writer, publish("t", b"%d" % number + b"x" * 1_000, 1, packet_id=number + 1)
            )
        assert 10_000 < peer.io.unsent_bytes < 12_000
        got = [each.payload for each in peer.take()]
        while len(got) < 50:
            peer.read()
            cluster.settle()
            assert peer.io.unsent_bytes < 12_000
            more = peer.take()
            assert more
            got += [each.payload for each in more]
        assert got == [b"%d" % number + b"x" * 1_000 for number in range(50)]

    def test_a_client_is_not_read_from_while_its_owner_takes_nothing(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        handle = handle_of(cluster)
        handle.pause()
        data = peer.encode(publish("t", b"x" * 100_000))
        sent = 0
        while not peer.io.paused:
            sent += len(data)
            peer.engine.turn((peer, data))
            cluster.settle()
        assert sent < 400_000
        handle.resume()
        cluster.settle()
        assert not peer.io.paused

    def test_a_client_that_does_not_read_is_not_read_from(self):
        cluster = Cluster("a", "b", output_bytes_max=1_000)
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        peer.io.stalls = True
        assert len(cluster.send(peer, *[PingReq()] * 1_000)) == 1_000
        assert peer.io.unsent_bytes == 2_000
        cluster.send(peer, PingReq())
        assert peer.io.unsent_bytes == 2_000
        peer.io.stalls = False
        peer.read()
        assert cluster.taken(peer) == ["PINGRESP"]


class TestAClientThatLeaves:
    def test_keeps_what_its_client_said_before_it_left(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", will=will("t"), **BACK)
        watcher = cluster.connect("b", "watcher")
        cluster.subscribe(watcher, "#")
        handle = handle_of(cluster)
        handle.pause()
        peer.engine.turn((peer, peer.encode(publish("u", b"x"), Disconnect())))
        peer.drop()
        cluster.settle()
        handle.resume()
        assert cluster.taken(watcher) == ["PUBLISH u=x"]
        assert handle_of(cluster) is None

    def test_is_gone_once_all_is_taken_that_it_said(self):
        cluster = Cluster("a", "b", output_bytes_max=1_000)
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        watcher = cluster.connect("b", "watcher")
        cluster.subscribe(watcher, "#")
        peer.io.stalls = True
        cluster.send(peer, *[PingReq()] * 1_000)
        cluster.send(peer, publish("u", b"x"))
        assert said(watcher.take()) == []
        peer.drop()
        assert cluster.taken(watcher) == ["PUBLISH u=x"]
        assert handle_of(cluster) is None

    def test_while_its_packets_are_held_is_gone_after_them(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        handle = handle_of(cluster)
        handle.pause()
        peer.drop()
        cluster.settle()
        assert handle_of(cluster) is handle
        handle.resume()
        cluster.settle()
        assert handle_of(cluster) is None
