"""The load of a run: who the clients are and where they begin, decided by the seed alone.

Publishers, readers and watchers are spread evenly over the nodes; the many sessions that are mostly idle begin where
the scenario says. All of them run in the loop of the run. A publisher sends at a steady rate whatever the nodes do,
as far as its window goes.
"""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rookery.mqtt.types import V3_1_1, V5
from tests.cluster.clients import (
    Client,
    Contender,
    Looker,
    Mortal,
    Prober,
    Publisher,
    Subscriber,
    World,
)
from tests.cluster.history import History, Sending
from tests.support.ledger import Stream

TICK_SECONDS: Final = 0.02
PROBE_SECONDS: Final = 0.2
SIGN_SECONDS: Final = 0.05
CONNECTING_MAX: Final = 100
"""How many idle sessions are begun at once."""
READY_SECONDS_MAX: Final = 60.0
QUIET_SECONDS_MAX: Final = 10.0
"""What is owed counts as lost when nothing has come for so long."""
DRAIN_SECONDS_MAX: Final = 60.0
LOOK_QUIET_SECONDS: Final = 0.5
"""Retained messages come at once; so long after the last one there is none left."""
LOOK_SECONDS_MAX: Final = 10.0
IDLE_PING_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Plan:
    """What a scenario wants of the load."""

    sessions: int = 60
    """Sessions that are mostly idle."""
    sessions_at: tuple[str, ...] = ()
    """The nodes they begin at; none stands for all."""
    publishers_per_node: int = 2
    messages_per_second: float = 120.0
    """Of all publishers together."""
    own_per_second: float = 30.0
    """Messages to the idle sessions, all together."""
    mortals_per_node: int = 4
    twins: int = 2
    """Client ids that several programs contend for."""
    twin_pause_seconds: float = 1.5
    shared_topics: int = 2
    """Retained topics that all publishers write."""


class Load:
    """All clients of a run."""

    def __init__(self, world: World, plan: Plan, seed: int, nodes: Sequence[str]) -> None:
        self.world = world
        self.plan = plan
        self.late_seconds_max = 0.0
        """How late this loop itself was at worst: what it explains is no node's fault."""
        self._seed = seed
        self._nodes = list(nodes)
        self.publishers = [
            self._publisher(number)
            for number in range(1, len(nodes) * plan.publishers_per_node + 1)
        ]
        self.owners = [self._owner(node) for node in nodes] if plan.sessions else []
        self.readers = [reader for node in nodes for reader in self._readers(node)]
        self.idle = [self._idle(number) for number in range(plan.sessions)]
        self.mortals = [
            Mortal(world, name, node, self._chance(name))
            for node in nodes
            for number in range(plan.mortals_per_node)
            for name in [f"m-{node}-{number}"]
        ]
        self.twins = [
            Contender(
                world,
                f"t{number}",
                node,
                self._chance(f"t{number}-{node}"),
                plan.twin_pause_seconds,
            )
            for number in range(plan.twins)
            for node in nodes
        ]
        self.probers = {node: self._prober(node) for node in nodes}

    @property
    def shared_topics(self) -> list[str]:
        """The retained topics that several publishers write."""
        return [f"state/all/{number}" for number in range(self.plan.shared_topics)]

    @property
    def senders(self) -> list[Publisher]:
        """All who publish messages that are promises."""
        return [*self.publishers, *self.owners]

    @property
    def watchers(self) -> list[str]:
        """The sessions that see every will."""
        return [reader.name for reader in self.readers if reader.topic_filter == "wills/+"]

    @property
    def lasting(self) -> list[Client]:
        """All who keep a session and are the only ones of their name."""
        return [*self.senders, *self.readers, *self.idle]

    # Who they are

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")

    def _publisher(self, number: int) -> Publisher:
        name = f"p{number}"
        streams = [
            Stream(name, f"load/{name}/{topic}", qos) for topic in range(3) for qos in (1, 2)
        ]
        retained = [Stream(name, f"state/{name}/{topic}", 1 + topic) for topic in range(2)]
        retained += [Stream(name, topic, 1) for topic in self.shared_topics]
        count = len(self._nodes) * self.plan.publishers_per_node
        return Publisher(
            self.world,
            name,
            self._nodes[(number - 1) % len(self._nodes)],
            self._chance(name),
            streams,
            retained=retained,
            per_second=self.plan.messages_per_second / count,
            version=V3_1_1 if number % 3 == 2 else V5,
        )

    def _owner(self, node: str) -> Publisher:
        name = f"o-{node}"
        streams = [
            Stream(name, f"own/{number}", 1 + number % 2) for number in range(self.plan.sessions)
        ]
        streams += [Stream(name, f"twins/t{number}", 1) for number in range(self.plan.twins)]
        per_second = self.plan.own_per_second / len(self._nodes)
        return Publisher(self.world, name, node, self._chance(name), streams, per_second=per_second)

    def _readers(self, node: str) -> Iterable[Subscriber]:
        for name, topic_filter, qos, version in (
            (f"r2-{node}", "load/#", 2, V5),
            (f"r1-{node}", "load/+/+", 1, V5),
            (f"r3-{node}", "load/p1/+", 2, V3_1_1),
            (f"w-{node}", "wills/+", 2, V5),
        ):
            chance = self._chance(name)
            yield Subscriber(self.world, name, node, chance, topic_filter, qos, version=version)

    def _idle(self, number: int) -> Subscriber:
        name, homes = f"i{number}", self.plan.sessions_at or self._nodes
        return Subscriber(
            self.world,
            name,
            homes[number % len(homes)],
            self._chance(name),
            f"own/{number}",
            1 + number % 2,
            ping_seconds=IDLE_PING_SECONDS,
        )

    def _prober(self, node: str) -> Prober:
        name = f"probe-{node}"
        return Prober(self.world, name, node, self._chance(name))

    # What they do

    async def begin(self) -> None:
        """Connect all, and publish when every subscription is granted and known everywhere."""
        for client in [*self.readers, *self.senders, *self.probers.values()]:
            client.start()
        for first in range(0, len(self.idle), CONNECTING_MAX):
            some = self.idle[first : first + CONNECTING_MAX]
            for client in some:
                client.start()
            await self._all(client.subscribed for client in some)
        await self._all(client.subscribed for client in self.readers)
        await self._all(client.attached for client in self.senders)
        for twin in self.twins:
            twin.start()
        for mortal in self.mortals:
            mortal.start()
        await self._all(mortal.attached for mortal in self.mortals)
        self.world.tasks.start("ticks", self._tick())
        await self.all_heard(self.world.now(), READY_SECONDS_MAX)
        self.publish(True)

    async def _all(self, events: Iterable[asyncio.Event]) -> None:
        async with asyncio.timeout(READY_SECONDS_MAX):
            for event in events:
                await event.wait()

    def publish(self, going_on: bool) -> None:
        """Whether the publishers publish from now on."""
        for sender in self.senders:
            sender.publishing = going_on

    def add_node(self, node: str) -> None:
        """A node joined: from now on it is probed as well, and clients may come to it."""
        prober = self.probers[node] = self._prober(node)
        prober.start()

    def remove_node(self, node: str) -> None:
        """A node is gone for good."""
        self.probers.pop(node).stop()

    async def all_heard(self, since: float, seconds_max: float) -> bool:
        """Wait until every node has heard of every other what was sent after a moment."""
        deadline = time.monotonic() + seconds_max
        while not self.hear_each_other(since):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def hear_each_other(self, since: float) -> bool:
        """Whether what was sent after a moment came from every node to every node, and was acknowledged."""
        return all(
            prober.answered_at >= since and prober.heard.get(node, -1.0) >= since
            for prober in self.probers.values()
            for node in self.probers
        )

    def deaf(self, since: float) -> list[str]:
        """Which nodes have not heard of which."""
        return [
            f"{to} of {node}"
            for to, prober in self.probers.items()
            for node in self.probers
            if prober.heard.get(node, -1.0) < since
        ]

    def unattached(self) -> list[str]:
        """Who should have a link and has none."""
        return [client.name for client in self.lasting if client.wire is None]

    def owed(self) -> list[tuple[str, Sending]]:
        """What is acknowledged and has not arrived."""
        history = self.world.history
        return history.owed(history.messages.values())

    async def drain(self) -> bool:
        """Stop publishing and wait until all is answered and arrived, or nothing moves any more."""
        self.publish(False)
        for twin in self.twins:
            if twin.home != self._nodes[0]:
                twin.stop()
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        before, since = (-1, -1), time.monotonic()
        while time.monotonic() < deadline:
            now = len(self.owed()), sum(len(sender.inflight) for sender in self.senders)
            if now == (0, 0) and not self.unattached():
                return True
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > QUIET_SECONDS_MAX:
                return False
            await asyncio.sleep(0.2)
        return False

    async def retained(self, nodes: Iterable[str]) -> dict[str, dict[str, bytes]]:
        """What every node has retained under ``state``."""
        return {node: await self._retained_at(node) for node in nodes}

    async def _retained_at(self, node: str) -> dict[str, bytes]:
        looker = Looker(self.world, node, "state/#", self._chance(f"looker-{node}"))
        looker.start()
        deadline = time.monotonic() + LOOK_SECONDS_MAX
        while time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            if looker.heard_at and self.world.now() - looker.heard_at > LOOK_QUIET_SECONDS:
                break
        looker.stop()
        return looker.found

    async def end(self) -> None:
        """Stop everything."""
        self.publish(False)
        for client in [*self.lasting, *self.mortals, *self.twins, *self.probers.values()]:
            client.stop()
        await self.world.tasks.stop()

    async def _tick(self) -> None:
        last = last_probe = last_sign = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self.late_seconds_max = max(self.late_seconds_max, now - last - TICK_SECONDS)
            for sender in self.senders:
                sender.tick(now - last)
            last = now
            if now - last_probe > PROBE_SECONDS:
                last_probe = now
                for prober in self.probers.values():
                    prober.tick()
            if now - last_sign > SIGN_SECONDS:
                last_sign = now
                for twin in self.twins:
                    twin.tick()


def world_of(
    history: History, addresses: dict[str, tuple[str, int]], failed: list[str], began: float
) -> World:
    """The world of a run; what fails in a client's task is noted."""
    from rookery.actors.tasks import Tasks

    def fail(name: str, error: BaseException) -> None:
        failed.append(f"{name}: {error!r}")

    return World(history, addresses, Tasks(fail), began)
