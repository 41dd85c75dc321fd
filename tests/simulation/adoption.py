"""The same scripts in a world whose nodes do not come back: another one takes over the cell of each that dies.

Some adopters die as well, in the middle of it: what they left must be as if they had not begun.
"""

import random

from tests.simulation.ledger import Broken
from tests.simulation.world import LIMITS, World
from tests.support.adopting import Killed, adopt, neighbour, survivor_of
from tests.support.engine import Engine, FakeStore

BYSTANDER = "bystander"
LASTING = {"session_expiry_interval": 1_000_000, "clean_start": False}
KILLED_GROUPS_MAX = 12


class AdoptingWorld(World):
    """A world in which every crash ends in an adoption or, now and then, in a start of the same node."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.adoptions = 0
        self.killed = 0
        super().__init__()

    def crash(self, kept: int) -> None:
        if self.chance.random() < 0.25:
            super().crash(kept)
            return
        for client in self.clients:
            client.lost()
        self.store.crash(kept)
        dead = survivor_of(self.store)
        engine = neighbour(dead, at_once=False, **LIMITS)
        self._await_bystander(engine)
        for _ in range(2):
            if self.chance.random() < 0.4:
                engine = self._die_in_the_middle(engine, dead)
        before = self._owed_to_bystander(engine)
        adopt(engine, dead, f"node-{self.adoptions}", self.chance.choice((1, 4, 500)))
        self.adoptions += 1
        if self._owed_to_bystander(engine) != before:
            raise Broken("a session of the adopting node was given what it had its copy of")
        engine.broker.registry.end_session(engine.broker.registry.actors[BYSTANDER])
        engine.wait(1)
        engine.complete_all()
        self._use(engine)

    def _use(self, engine: Engine) -> None:
        store = engine.store
        assert isinstance(store, FakeStore)
        self.engine = engine
        self.store = store
        self._watch()

    def _await_bystander(self, engine: Engine) -> None:
        """A session of the adopter's own that everything published there is for."""
        store = engine.store
        assert isinstance(store, FakeStore)
        store.at_once = True
        peer = engine.connect(BYSTANDER, **LASTING)
        peer.subscribe("#", qos=2)
        peer.drop()
        engine.connect("writer").publish("x", b"own", 1, packet_id=1)
        store.at_once = False

    def _owed_to_bystander(self, engine: Engine) -> int:
        actor = engine.broker.registry.actors[BYSTANDER]
        return actor.session.outbound.backlog_count()

    def _die_in_the_middle(self, engine: Engine, dead: FakeStore) -> Engine:
        store = engine.store
        assert isinstance(store, FakeStore)
        sessions = dict(store.content.sessions)
        groups_max = len(store.groups) + self.chance.randint(1, KILLED_GROUPS_MAX)

        def kill(step: int) -> None:
            complete = any(name.startswith("adopted/") for name in store.content.facts)
            if len(store.groups) >= groups_max and not complete:
                raise Killed

        try:
            adopt(engine, dead, f"node-{self.adoptions}", self.chance.choice((1, 4)), kill)
        except Killed:
            self.killed += 1
        else:
            # It was complete before it could be killed: begin with another node.
            engine = neighbour(dead, at_once=False, **LIMITS)
            self._await_bystander(engine)
            return engine
        left = survivor_of(store)
        left.crash(0)
        engine = Engine.restart(left, **LIMITS)
        engine.complete_all()
        engine.wait(1)
        engine.complete_all()
        if left.content.sessions.keys() != sessions.keys() or left.content.facts:
            raise Broken(f"left: {left.content.sessions} {left.content.facts}")
        return engine
