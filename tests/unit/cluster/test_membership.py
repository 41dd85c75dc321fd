"""A node's watch over the others, on registers in memory and with a clock that the test moves."""

import asyncio
from dataclasses import replace

import pytest

from rookery.cluster import lease as lease_module
from rookery.cluster import membership as module
from rookery.cluster.cells import CellRecord
from rookery.cluster.lease import Lease
from rookery.cluster.membership import Membership
from rookery.cluster.registers import Registers
from tests.support.engine import FakeClock
from tests.support.register_streams import FakeRegisterStreams

LONG = 3_600.0


class Node:
    """A node of a cluster without links: its lease and its membership, and what it was told."""

    def __init__(self, world: "World", node_id: str, boot: str = "1") -> None:
        self.node_id = node_id
        self.said: list[str] = []
        self.registers = Registers(world.streams, world.clock)
        self.lease = Lease(self.registers, world.clock, self)
        self.record = CellRecord(node_id, node_id, boot)
        self.world = world
        self.alive = True

    async def start(self) -> None:
        await self.lease.acquire(self.record, self.empty)
        self.lease.tell(state="up", sees=self.world.names)
        await self.lease.renew()
        self.membership = Membership(self.registers, self.lease, self.world.clock, self)

    async def empty(self) -> None:
        self.said.append("emptied")

    def take_said(self) -> list[str]:
        taken, self.said = self.said, []
        return taken

    def lease_lost(self) -> None:
        self.said.append("lost")

    def lease_regained(self) -> None:
        self.said.append("regained")

    def lease_taken(self, record: CellRecord) -> None:
        self.said.append(f"taken by {record.holder}")

    def cell_joined(self, record: CellRecord) -> None:
        self.said.append(f"joined {record.node_id}")

    def cell_changed(self, record: CellRecord) -> None:
        self.said.append(f"changed {record.node_id}")

    def cell_dead(self, record: CellRecord) -> None:
        self.said.append(f"dead {record.node_id}")

    def cell_adopted(self, record: CellRecord) -> None:
        self.said.append(f"adopted {record.node_id} by {record.holder}")

    def adopt(self, record: CellRecord) -> None:
        self.said.append(f"adopt {record.node_id}")

    def step_down(self) -> None:
        self.said.append("step down")


class World:
    def __init__(self, *names: str) -> None:
        self.names = names
        self.streams = FakeRegisterStreams()
        self.clock = FakeClock()
        self.nodes = {name: Node(self, name) for name in names}

    async def start(self) -> None:
        for node in self.nodes.values():
            await node.start()
        await self.pass_time(0.5)
        for node in self.nodes.values():
            node.take_said()

    async def pass_time(self, seconds: float) -> None:
        """Half a second after the other: who is alive renews and polls."""
        for _ in range(round(seconds / 0.5)):
            self.clock.now += 0.5
            living = [node for node in self.nodes.values() if node.alive]
            for node in living:
                node.lease.look(self.clock.now)
                await node.lease.renew()
            for node in living:
                await node.membership.poll()


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the work of the tasks to the test."""
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", LONG)
    monkeypatch.setattr(lease_module, "WATCH_SECONDS", LONG)
    monkeypatch.setattr(lease_module, "ACQUIRE_SECONDS", 0.0)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)


def test_a_dead_node_is_adopted_by_one_and_the_others_are_told():
    async def main() -> None:
        world = World("a", "b", "c")
        await world.start()
        a, b, c = world.nodes.values()
        assert a.membership.record_of("b") is not None
        c.alive = False
        await world.pass_time(5.0)
        assert a.take_said() == ["dead c", "adopt c"]
        assert b.take_said() == ["dead c"]
        assert [each.node_id for each in b.membership.living()] == ["a", "b"]
        assert await a.membership.adopted("c")
        await world.pass_time(5.0)
        assert a.take_said() == b.take_said() == ["adopted c by a"]
        record = b.membership.record_of("c")
        assert record is not None
        assert (record.state, record.epoch) == ("adopted", 2)

    asyncio.run(main())


def test_who_was_adopted_empties_its_cell_and_is_one_of_them_again():
    async def main() -> None:
        world = World("a", "b")
        await world.start()
        a, b = world.nodes.values()
        b.alive = False
        await world.pass_time(3.0)
        await a.membership.adopted("b")
        b.alive = True
        await b.lease.renew()
        assert b.take_said() == ["taken by a"]
        world.nodes["b"] = Node(world, "b", "2")
        await world.nodes["b"].start()
        assert world.nodes["b"].take_said() == ["emptied"]
        await world.pass_time(0.5)
        assert a.take_said()[-1] == "joined b"

    asyncio.run(main())


def test_when_the_adopter_dies_the_next_one_goes_on():
    async def main() -> None:
        world = World("a", "b", "c")
        await world.start()
        a, b, c = world.nodes.values()
        c.alive = False
        await world.pass_time(3.0)
        assert a.take_said() == ["dead c", "adopt c"]
        a.alive = False
        await world.pass_time(4.0)
        assert b.take_said() == ["dead c", "dead a", "adopt a", "adopt c"]
        a.alive = True
        await a.lease.renew()
        await a.membership.poll()
        assert not await a.membership.adopted("c")
        assert await b.membership.adopted("c")

    asyncio.run(main())


def test_an_adoption_that_is_given_up_is_claimed_again():
    async def main() -> None:
        world = World("a", "b")
        await world.start()
        a, b = world.nodes.values()
        b.alive = False
        await world.pass_time(3.0)
        a.membership.abandon("b")
        await world.pass_time(3.0)
        assert a.take_said() == ["dead b", "adopt b", "adopt b"]

    asyncio.run(main())


def test_while_nobody_can_renew_nobody_is_dead():
    async def main() -> None:
        world = World("a", "b", "c")
        await world.start()
        world.streams.deaf = {0, 1, 2}
        await world.pass_time(10.0)
        world.streams.deaf = set()
        # The first that can renew again sees others that could not yet.
        await world.nodes["a"].lease.renew()
        await world.nodes["a"].membership.poll()
        await world.pass_time(5.0)
        for node in world.nodes.values():
            assert [each for each in node.take_said() if "adopt" in each] == []
            assert len(node.membership.living()) == 3

    asyncio.run(main())


def test_a_node_that_was_paused_takes_nobody_for_dead():
    async def main() -> None:
        world = World("a", "b")
        await world.start()
        a, b = world.nodes.values()
        # Both were, as the guests of one machine are; it wakes first.
        world.clock.now += 60.0
        await a.lease.renew()
        await a.membership.poll()
        assert a.take_said() == []
        await world.pass_time(5.0)
        assert [each for each in a.said + b.said if "adopt" in each] == []

    asyncio.run(main())


def test_a_node_without_a_lease_claims_nothing():
    async def main() -> None:
        world = World("a", "b")
        await world.start()
        a, b = world.nodes.values()
        b.alive = False
        a.lease._until = float("-inf")
        for _ in range(20):
            world.clock.now += 0.5
            await a.membership.poll()
        assert "adopt b" not in a.said

    asyncio.run(main())


def test_a_node_without_links_is_told_to_step_down_once():
    async def main() -> None:
        world = World("a", "b", "c")
        await world.start()
        world.nodes["c"].lease.tell(sees=("b",))
        await world.pass_time(10.0)
        assert world.nodes["c"].take_said() == ["step down"]
        assert world.nodes["a"].take_said() == ["changed c"]

    asyncio.run(main())


def test_its_task_polls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)

    async def main() -> None:
        world = World("a", "b")
        a, b = world.nodes.values()
        await a.start()
        a.membership.start()
        await b.start()
        async with asyncio.timeout(30):
            while a.said != ["joined b"]:
                await asyncio.sleep(0)
        await a.membership.stop()

    asyncio.run(main())


def test_records_of_cells_nobody_spoke_of():
    async def main() -> None:
        world = World("a")
        await world.start()
        assert world.nodes["a"].membership.record_of("z") is None
        assert world.nodes["a"].membership.cells() == sorted(world.nodes)
        assert replace(world.nodes["a"].lease.record, beat=0).state == "up"

    asyncio.run(main())
