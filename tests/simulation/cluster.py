"""Three nodes whose links break and whose processes die, and the referee of the simulation.

Durable subscribers have their sessions where they began them, and come back wherever they like. A node that dies
is started again on what it left, or another one adopts its cell and it comes back with an empty one. Subscriptions are
made while all is well: what is promised of those made while nodes do not see each other is less.
"""

import random
from typing import Any

from rookery.engine.broker import Broker
from rookery.mqtt.types import V3_1_1, V5
from tests.simulation.client import Client
from tests.simulation.ledger import Broken, Ledger, Seen
from tests.simulation.world import _raise
from tests.support.adopting import adopt, survivor_of
from tests.support.engine import FakeStore
from tests.support.peers import Cluster, FakeLink, hub_of

NODES = ("a", "b", "c")
ROUNDS_MAX = 2_000
WIDE = {"queue_messages_max": 1_000_000, "queue_bytes_max": 1_000_000_000}
OFTEN = {
    "publish": 30,
    "carry": 40,
    "commit": 25,
    "attach": 8,
    "drop": 3,
    "cut": 3,
    "join": 5,
    "kill": 1,
    "start": 3,
    "adopt": 1,
    "time": 3,
    "read": 4,
    "reads": 1,
}
"""How often each kind of event comes."""
FILTERS = (
    ("n/#", "", 2),
    ("n/a", "", 1),
    ("n/+", "", 2),
    ("n/#", "", 1),
    ("s/#", "g", 2),
    ("s/#", "g", 1),
)
"""What each of the durable subscribers asks for."""


class ClusterLedger(Ledger):
    """Between nodes QoS 1 comes at least once: a copy that another node tells again is a new message there."""

    def check_first(self, seen: Seen, payload: str) -> None:
        """DUP says what one node sent to a client, and no more."""


class ClusterWorld:
    """Three nodes, their clients, and chance."""

    def __init__(self, seed: int, fails: bool = False, adopts: bool = True) -> None:
        self.chance = random.Random(seed)
        self.fails = fails
        self.adopts = adopts
        self.ledger = ClusterLedger()
        self.cluster = Cluster(*NODES, **WIDE)
        self.dead: set[str] = set()
        self._starting: set[str] = set()
        self.counted: dict[str, int] = {}
        """By kind of event: how many there were."""
        for name in NODES:
            self._watch(name)
        self._tell_members()
        self.subscribers = [
            Client(self.ledger, f"s{n}", (V5, V3_1_1)[n % 2], True, 65_535)
            for n in range(len(FILTERS))
        ]
        self.subscribers.append(Client(self.ledger, "passing", V5, False, 65_535))
        self.publishers = [Client(self.ledger, f"p{n}", V5, True, 65_535) for n in range(3)]
        self.clients = [*self.subscribers, *self.publishers]
        self._begin()

    def _watch(self, name: str) -> None:
        broker: Any = self.cluster.engines[name].broker
        assert isinstance(broker, Broker)
        watched: Any = broker
        watched.scheduler._crashed = _raise
        watched.timers._failed = _raise
        watched.trimmer.loose_bytes_min = 1
        watched.trimmer.looks_max = 3

    def _tell_members(self) -> None:
        for engine in self.cluster.engines.values():
            hub_of(engine).set_members(dict(self.cluster.epochs))

    def _begin(self) -> None:
        for number, client in enumerate(self.clients):
            client.attach(self.cluster.engines[NODES[number % 3]], fresh=False)
        self.settle()
        for client, (topic_filter, share, qos) in zip(self.subscribers, FILTERS, strict=False):
            client.subscribe(topic_filter, share, qos)
        self.subscribers[-1].subscribe("n/#", "", 2)
        self.settle()
        for store in self.cluster.stores.values():
            store.at_once = False

    def run(self, steps: int) -> None:
        """So many events, and then to the end of all that is under way; raises what went wrong."""
        for _ in range(steps):
            self.ledger.tick()
            (kind,) = self.chance.choices(list(OFTEN), list(OFTEN.values()))
            self.counted[kind] = self.counted.get(kind, 0) + 1
            getattr(self, f"_{kind}")()
            self.waiting()
            self._end_closed()
            self.pump()
        self.drain()
        self.ledger.check()
        self.check_nothing_is_left()

    # --- Events ---------------------------------------------------------------------------------

    def _publish(self) -> None:
        client = self.chance.choice(self.publishers)
        topic = self.chance.choice(("n/a", "n/b", "s/a"))
        count = self.chance.choice((1, 1, 2, 3, 40))
        client.publish(topic, self.chance.choice((0, 1, 1, 2, 2)), False, count)

    def _carry(self) -> None:
        links = [link for link in self.cluster.links.values() if link.frames]
        if links:
            self._carry_over(self.chance.choice(links))

    def _carry_over(self, link: FakeLink) -> bool:
        moved = link.carry()
        if link.target in self.cluster.engines:
            self.cluster.engines[link.target].flush()
        return moved

    def _commit(self) -> None:
        name = self.chance.choice(NODES)
        store = self.cluster.stores[name]
        if name in self.cluster.engines and store.waiting:
            fails = self.fails and self.chance.random() < 0.2
            self.ledger.commits_failed |= fails
            self.cluster.engines[name].complete(OSError("full") if fails else None)

    def _attach(self) -> None:
        client = self.chance.choice(self.clients)
        if client.peer is None:
            self._come(client)

    def _come(self, client: Client) -> None:
        ready = [name for name in self.cluster.engines if self._is_ready(name)]
        if ready:
            client.attach(self.cluster.engines[self.chance.choice(ready)], fresh=False)

    def _is_ready(self, name: str) -> bool:
        """Whether a node knows what all others ask for, or knew it: no other lets clients in."""
        return name not in self.dead and name not in self.waiting()

    def waiting(self) -> set[str]:
        """Nodes that were started and have not been told all yet."""
        for name in list(self._starting):
            engine = self.cluster.engines.get(name)
            if engine is None or not hub_of(engine).not_synced():
                self._starting.discard(name)
                if engine is not None:
                    engine.broker.closed_for = ""
                    engine.turn()
                    engine.settle()
        return self._starting

    def _drop(self) -> None:
        self.chance.choice(self.clients).drop()

    def _pair(self) -> tuple[str, str]:
        one, other = self.chance.sample(NODES, 2)
        return one, other

    def _cut(self) -> None:
        one, other = self._pair()
        if one in self.cluster.engines and other in self.cluster.engines:
            self._cut_link(one, other)

    def _cut_link(self, one: str, other: str) -> None:
        for source, target in ((one, other), (other, one)):
            if self.cluster.links.pop((source, target), None) is not None:
                engine = self.cluster.engines.get(source)
                if engine is not None:
                    hub_of(engine).peer_down(target, "cut")
                    engine.settle()

    def _end_closed(self) -> None:
        for (one, other), link in list(self.cluster.links.items()):
            if link.closed:
                self._cut_link(one, other)

    def _join(self) -> None:
        one, other = self._pair()
        engines = self.cluster.engines
        if one in engines and other in engines and (one, other) not in self.cluster.links:
            self.cluster.join(one, other)

    def _kill(self) -> None:
        if not self.dead:
            self._die(self.chance.choice(NODES), self.chance.randint(0, 1))

    def _die(self, name: str, kept: int) -> None:
        self._lose_clients(name)
        self.cluster.engines.pop(name)
        self.cluster.stores[name].crash(kept)
        self.dead.add(name)
        for other in NODES:
            self._cut_link(name, other)

    def _lose_clients(self, name: str) -> None:
        for client in self.clients:
            if client.peer is not None and client.peer.engine is self.cluster.engines[name]:
                client.lost()

    def _start(self) -> None:
        for name in list(self.dead):
            self.cluster.start(name)
            self._watch(name)
            self.cluster.engines[name].broker.closed_for = "it knows nobody yet"
            self._tell_members()
            self.dead.discard(name)
            self._starting.add(name)

    def _adopt(self) -> None:
        """A node dies for good: another one adopts its cell, and it comes back empty some time."""
        if not self.adopts or self.dead or self._has_unfinished():
            return
        name, adopter = self.chance.sample(NODES, 2)
        self._die(name, self.chance.randint(0, 1))
        dead = survivor_of(self.cluster.stores[name])
        epoch = self.cluster.epochs[name]
        engine = self.cluster.engines[adopter]
        hub = hub_of(engine)
        while self.cluster.stores[adopter].waiting or engine.broker.committer.failing:
            engine.wait(1)
            if self.cluster.stores[adopter].waiting:
                engine.complete()

        def meanwhile(_step: int) -> None:
            if self.chance.random() < 0.2:
                self._carry()
            if self.chance.random() < 0.05:
                self._publish()
            self.pump()

        adopt(
            engine,
            dead,
            name,
            self.chance.choice((1, 4, 500)),
            meanwhile,
            lambda: hub.departed.adopted_here(name, epoch),
            epoch,
        )
        self.cluster.empty(name)
        for other in self.cluster.engines.values():
            members = {each: self.cluster.epochs[each] for each in NODES if each != name}
            hub_of(other).set_members(members)

    def _has_unfinished(self) -> bool:
        """Whether a node has still to be told of what became of another: more is promised to nobody."""
        hubs = [hub_of(engine) for engine in self.cluster.engines.values()]
        return any(hub.departed.nodes for hub in hubs) or any(
            name != hub.node_id and (name not in hub.nodes or not hub.nodes[name].synced)
            for hub in hubs
            for name in NODES
        )

    def _time(self) -> None:
        self.cluster.clock.now += self.chance.choice((1, 3))
        for engine in self.cluster.engines.values():
            engine.turn()
            engine.settle()

    def _reads(self) -> None:
        store = self.cluster.stores[self.chance.choice(NODES)]
        store.reads_at_once = not store.reads_at_once

    def _read(self) -> None:
        name = self.chance.choice(NODES)
        if name in self.cluster.engines and self.cluster.stores[name].reading:
            self._read_one(name)

    def _read_one(self, name: str) -> None:
        self.cluster.stores[name].complete_read()
        self.cluster.engines[name].flush()
        self.cluster.engines[name].settle()

    # --- To the end -----------------------------------------------------------------------------

    def pump(self) -> None:
        """Let clients read and answer until nothing moves."""
        for _ in range(ROUNDS_MAX):
            moved = [client.read() for client in self.clients]
            if not any(moved):
                return
        raise Broken("the clients and the brokers go on without end")

    def settle(self) -> bool:
        """Carry and commit everything until nothing moves; whether anything did."""
        moved_ever = False
        for _ in range(ROUNDS_MAX):
            moved = [engine.settle() > 0 for engine in self.cluster.engines.values()]
            moved += [self._carry_over(link) for link in list(self.cluster.links.values())]
            for name, engine in self.cluster.engines.items():
                store = engine.store
                assert isinstance(store, FakeStore)
                if store.waiting:
                    engine.complete()
                    moved.append(True)
                while store.reading:
                    self._read_one(name)
                    moved.append(True)
            moved += [client.read() for client in self.clients]
            if not any(moved):
                return moved_ever
            moved_ever = True
        raise Broken("the cluster does not come to rest")

    def drain(self) -> None:
        """From now on everything works; wait until there is nothing left to do."""
        self._start()
        for store in self.cluster.stores.values():
            store.reads_at_once = True
        quiet = 0
        for _ in range(ROUNDS_MAX):
            self._end_closed()
            self._join_all()
            self.settle()
            time = self.ledger.time
            for client in self.clients:
                if client.peer is None:
                    self._come(client)
            self._time()
            self.settle()
            quiet = quiet + 1 if self.ledger.time == time else 0
            if quiet > 12:
                return
        raise Broken("the cluster never has nothing to do")

    def _join_all(self) -> None:
        for one in NODES:
            for other in NODES:
                if one < other and (one, other) not in self.cluster.links:
                    self.cluster.join(one, other)

    def check_nothing_is_left(self) -> None:
        """With everything acknowledged no log has anything, and no node waits for another."""
        for name, engine in self.cluster.engines.items():
            for client in self.clients:
                if client.unfinished:
                    raise Broken(f"{client.client_id} was not answered: {client.unfinished}")
            content = self.cluster.stores[name].content
            if content.blocks:
                raise Broken(f"{name} keeps {content.blocks}")
            hub = hub_of(engine)
            if hub.waiting_items() or hub.kept_positions() or hub.departed.nodes:
                raise Broken(f"{name} waits for others")
