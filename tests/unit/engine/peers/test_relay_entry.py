from collections.abc import Callable
from contextlib import suppress

from rookery.engine.peers.hub import Hub
from rookery.engine.settings import Rates
from rookery.mqtt.packets import Disconnect, Publish, Subscribe, SubscriptionRequest
from tests.support.engine import connect, publish, said
from tests.support.network import network
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


class Wire:
    """A link to another node of this process."""

    unsent_bytes = 0

    def __init__(self, source: str, target: Hub) -> None:
        self.source = source
        self.target = target

    def send(self, frame: bytes) -> None:
        self.target.peer_frames(self.source, [frame])

    def close(self, reason: str) -> None:
        raise AssertionError(reason)


class TestOverSockets:
    def test_nothing_is_lost_and_no_more_is_held_than_may_be(self):
        output_bytes_max = 200_000
        limits = {"output_bytes_max": output_bytes_max, "queue_bytes_max": 10_000_000}
        with network(**limits) as owner, network(**limits) as here:
            hubs = []
            for name, each in (("a", owner), ("b", here)):
                each.broker.peers = Hub(each.broker, name)
                hubs.append(each.broker.peers)
            hubs[0].peer_up("b", "1-x", Wire("a", hubs[1]))
            hubs[1].peer_up("a", "1-x", Wire("b", hubs[0]))

            def both(there: Callable[[], object]) -> None:
                here.until(lambda: (owner.turn(), there())[1])

            first, _ = owner.link()
            first.put(connect("c", session_expiry_interval=100))
            both(lambda: (first.read(), first.packets)[1])
            first.put(Disconnect())
            both(lambda: (first.read(), first.ended)[1])
            far, io = here.link(buffer_bytes=8_192)
            subscribe = Subscribe(1, [SubscriptionRequest("t", 1)], None)
            far.put(connect("c", clean_start=False, session_expiry_interval=100), subscribe)
            both(lambda: (far.read(), len(far.packets) == 2)[1])
            assert said(far.packets) == ["CONNACK present", "SUBACK 0x01"]
            far.packets.clear()
            payloads = [b"%03d" % number + b"x" * 10_000 for number in range(100)]
            for number, payload in enumerate(payloads):
                assert far.link.send(publish("t", payload, 1, packet_id=number + 1))
            waiting = memoryview(far.link.take_output())
            held = 0

            def write() -> bool:
                nonlocal waiting, held
                with suppress(BlockingIOError):
                    waiting = waiting[far.sock.send(waiting) :]
                held = max(held, io.unsent_bytes)
                return not waiting

            for _ in range(300):  # It writes what it can, and reads nothing.
                owner.turn()
                here.turn()
                write()
            # What a commit lets go of is sent beside what may be unsent already.
            assert held <= 2 * (output_bytes_max + 10_100)
            both(lambda: (far.read(), write(), len(far.packets) == 200)[2])
            assert [each.payload for each in far.packets if isinstance(each, Publish)] == payloads
            far.put(Disconnect())
            both(lambda: (far.read(), far.ended)[1])
            assert hubs[0].relays.more_connected() == hubs[1].relays.count == 0
