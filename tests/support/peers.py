"""Several brokers without a network between them: links that a test cuts and joins."""

from collections.abc import Callable
from typing import Any

from rookery.engine.peers.hub import Hub
from rookery.mqtt.packets import Packet, Subscribe, SubscriptionRequest
from rookery.mqtt.types import V5
from tests.support.engine import Engine, FakeClock, FakeStore, Peer, connect, said


class FakeLink:
    """One direction of a link: what is sent waits until it is carried over."""

    def __init__(self, cluster: "Cluster", source: str, target: str) -> None:
        self.cluster = cluster
        self.source = source
        self.target = target
        self.frames: list[bytes] = []
        self.unsent_bytes = 0
        self.closed = ""

    def send(self, frame: bytes) -> None:
        if not self.closed:
            self.frames.append(frame)

    def close(self, reason: str) -> None:
        self.closed = reason

    def carry(self) -> bool:
        """Hand over what was sent."""
        frames, self.frames = self.frames, []
        engine = self.cluster.engines.get(self.target)
        if engine is None:
            return False  # It was killed, and the other does not know yet.
        if self.closed or self.cluster.links[self.target, self.source].closed:
            return False  # What was not read before the link was closed is not read any more.
        if frames:
            hub_of(engine).peer_frames(self.source, frames)
            engine.settle()
        return bool(frames)


def hub_of(engine: Engine) -> Hub:
    assert engine.broker.peers is not None
    return engine.broker.peers


class Cluster:
    """Engines by their names, each linked to every other."""

    def __init__(self, *names: str, **changed: Any) -> None:
        self.clock = FakeClock()
        self.changed = changed
        self.engines: dict[str, Engine] = {}
        self.stores: dict[str, FakeStore] = {}
        self.links: dict[tuple[str, str], FakeLink] = {}
        self.epochs: dict[str, int] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> Engine:
        """Start a node with what its store holds, and link it to all others."""
        self.start(name)
        for other in self.engines:
            if other != name:
                self.join(name, other)
        self.settle()
        return self.engines[name]

    def add_anew(self, name: str) -> Engine:
        """Start a node whose cell was adopted: with nothing, in the next epoch."""
        self.empty(name)
        return self.add(name)

    def empty(self, name: str) -> None:
        """A node's cell was adopted."""
        self.stores[name] = FakeStore(at_once=self.stores[name].at_once)
        self.epochs[name] += 1

    def start(self, name: str) -> None:
        """Start a node with what its store holds, without a link yet."""
        store = self.stores.setdefault(name, FakeStore(at_once=True))
        epoch = self.epochs.setdefault(name, 1)
        self.engines[name] = Engine.started(
            store, self.clock, lambda broker: Hub(broker, name, epoch), **self.changed
        )

    def join(self, one: str, other: str) -> None:
        """Link two nodes."""
        for source, target in ((one, other), (other, one)):
            link = FakeLink(self, source, target)
            self.links[source, target] = link
        for source, target in ((one, other), (other, one)):
            boot = f"{self.epochs[target]}-boot"
            hub_of(self.engines[source]).peer_up(target, boot, self.links[source, target])

    def cut(self, one: str, other: str) -> None:
        """Lose the link between two nodes, with what is on its way."""
        for source, target in ((one, other), (other, one)):
            if self.links.pop((source, target), None) is not None and source in self.engines:
                hub_of(self.engines[source]).peer_down(target, "cut")
        self.settle()

    def kill(self, name: str) -> None:
        """Lose a node."""
        self.engines.pop(name)
        self.stores[name].crash()
        for other in self.engines:
            self.cut(name, other)

    def settle(self, carries: Callable[[FakeLink], bool] = lambda link: True) -> None:
        """Let everything come to rest."""
        for _ in range(1_000):
            moved = False
            for engine in self.engines.values():
                moved |= engine.settle() > 0
            for link in list(self.links.values()):
                if carries(link):
                    moved |= link.carry()
            if not moved:
                return
        raise AssertionError("the cluster does not come to rest")

    def connect(self, name: str, client_id: str, version: int = V5, **asked: Any) -> Peer:
        """A client at one node."""
        peer, told = self.connect_more(name, client_id, version, **asked)
        assert told in (["CONNACK"], ["CONNACK present"])
        return peer

    def connect_more(
        self, name: str, client_id: str, version: int = V5, **asked: Any
    ) -> tuple[Peer, list[str]]:
        """A client that asked to be let in at one node, and what it got, in brief."""
        peer = self.begin(name, client_id, version, **asked)
        return peer, self.taken(peer)

    def begin(self, name: str, client_id: str, version: int = V5, **asked: Any) -> Peer:
        """A client whose CONNECT has reached its node, and no more."""
        peer = self.engines[name].peer(version)
        peer.engine.turn((peer, peer.encode(connect(client_id, version, **asked))))
        return peer

    def send(self, peer: Peer, *packets: Packet) -> list[str]:
        """Send something and let the cluster come to rest; what came, in brief."""
        peer.engine.turn((peer, peer.encode(*packets)))
        return self.taken(peer)

    def taken(self, peer: Peer) -> list[str]:
        """What a client got once the cluster is at rest, in brief."""
        self.settle()
        return said(peer.take())

    def subscribe(self, peer: Peer, *filters: str, qos: int = 1, **options: Any) -> list[str]:
        """Subscribe; what came after the SUBACK, in brief."""
        requests = [SubscriptionRequest(each, qos, **options) for each in filters]
        suback, *rest = self.send(peer, Subscribe(900, requests, None))
        assert suback == " ".join(["SUBACK", *[f"0x{qos:02X}"] * len(filters)])
        return rest
