"""The lease of a node, on registers in memory and with a clock that the test moves."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

import pytest

from rookery.cluster import lease as module
from rookery.cluster.cells import CellRecord, Sighting, State
from rookery.cluster.lease import ABANDONED_SECONDS, LEASE_SECONDS, Lease
from rookery.cluster.registers import Registers
from rookery.cluster.views import SILENCE_SECONDS
from tests.support.engine import FakeClock
from tests.support.register_streams import FakeRegisterStreams

LONG = 3_600.0


class Told:
    """Notes what becomes of a lease."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def lease_lost(self) -> None:
        self.said.append("lost")

    def lease_regained(self) -> None:
        self.said.append("regained")

    def lease_taken(self, record: CellRecord) -> None:
        self.said.append(f"taken by {record.holder}")


class World:
    """Registers, and node ``a`` with its lease, whose tasks leave the work to the test."""

    def __init__(self) -> None:
        self.streams = FakeRegisterStreams()
        self.clock = FakeClock()
        self.told = Told()
        self.lease = self.new_lease()
        self.emptied = 0

    def new_lease(self) -> Lease:
        return Lease(Registers(self.streams, self.clock), self.clock, self.told)

    async def empty(self) -> None:
        self.emptied += 1

    async def acquire(self, boot: str = "1") -> CellRecord:
        return await self.lease.acquire(CellRecord("a", "a", boot), self.empty)

    async def seen(self, cell: str = "a") -> Sighting:
        return (await Registers(self.streams, self.clock).read_all())[cell]

    async def claim(self, holder: str, state: State = "adopting", cell: str = "a") -> bool:
        """Another node's claim on a cell, over whatever is there."""
        registers = Registers(self.streams, self.clock)
        seen = (await registers.read_all()).get(cell)
        base = CellRecord(cell, holder, "") if seen is None else seen.record
        wanted = replace(base, holder=holder, boot=f"boot of {holder}", state=state)
        won = await registers.claim(cell, seen, wanted)
        await registers.stop()
        return won is not None

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.lease.look(self.clock.now)

    def valid(self) -> bool:
        return self.lease.valid(self.clock.monotonic())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "RENEW_SECONDS", LONG)
    monkeypatch.setattr(module, "WATCH_SECONDS", LONG)
    monkeypatch.setattr(module, "ACQUIRE_SECONDS", 0.0)
    return World()


def run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(work)


def test_it_lasts_from_the_beginning_of_a_renewal(world: World):
    async def main() -> None:
        await world.acquire()
        world.pass_time(1.5)
        assert world.valid()
        began = world.clock.now
        put = world.streams.put

        async def slow(*asked, **named):
            world.clock.now = began + 0.4
            return await put(*asked, **named)

        world.streams.put = slow
        await world.lease.renew()
        assert world.lease.valid(began + LEASE_SECONDS - 0.01)
        assert not world.lease.valid(began + LEASE_SECONDS)

    run(main())


def test_it_is_lost_and_regained(world: World):
    async def main() -> None:
        await world.acquire()
        world.streams.down = {0, 1}
        await world.lease.renew()
        world.pass_time(LEASE_SECONDS)
        world.pass_time(1.0)
        assert world.told.said == ["lost"]
        await world.lease.renew()
        assert not world.valid()
        world.streams.down = {0}
        await world.lease.renew()
        assert world.valid()
        assert world.told.said == ["lost", "regained"]

    run(main())


def test_a_renewal_that_came_too_late_is_none(world: World):
    async def main() -> None:
        await world.acquire()
        world.pass_time(LEASE_SECONDS)
        put = world.streams.put

        async def slow(*asked, **named):
            world.clock.now += LEASE_SECONDS
            return await put(*asked, **named)

        world.streams.put = slow
        await world.lease.renew()
        assert world.told.said == ["lost"]

    run(main())


def test_who_took_the_cell_is_told_and_it_is_over(world: World):
    async def main() -> None:
        await world.acquire()
        assert await world.claim("b")
        await world.lease.renew()
        assert world.told.said == ["taken by b"]
        assert not world.valid()
        world.pass_time(LONG)
        assert world.told.said == ["taken by b"]
        await world.lease.release()
        assert (await world.seen()).record.holder == "b"

    run(main())


def test_a_failed_claim_is_passed_when_it_can_win_no_more(world: World):
    async def main() -> None:
        await world.acquire()
        world.streams.deaf = {0, 1}
        assert not await world.claim("b")
        world.streams.deaf = set()
        began = world.clock.now
        while world.clock.now - began < SILENCE_SECONDS + 1.0:
            assert world.lease.record.term == 1 or world.clock.now - began >= SILENCE_SECONDS
            await world.lease.renew()
            assert world.valid()
            world.pass_time(0.5)
        assert world.lease.record.term == 3
        # Now any of the registers may fail.
        for down in range(3):
            world.streams.down = {down}
            await world.lease.renew()
            assert world.valid()
            world.pass_time(1.9)
        assert world.told.said == []

    run(main())


def test_a_release_is_seen_and_final(world: World):
    async def main() -> None:
        await world.acquire()
        world.lease.tell(state="up", sees=("b",))
        await world.lease.renew()
        assert (await world.seen()).record.sees == ("b",)
        await world.lease.release()
        assert not world.valid()
        assert (await world.seen()).record.state == "left"
        world.pass_time(LONG)
        assert world.told.said == []

    run(main())


class TestAcquiring:
    def test_a_cell_that_nobody_had(self, world: World):
        async def main() -> None:
            record = await world.acquire()
            assert (record.epoch, record.term, record.state) == (1, 1, "joining")
            assert world.valid()
            assert world.emptied == 0

        run(main())

    def test_after_a_restart_the_epoch_is_kept_and_the_run_before_is_out(self, world: World):
        async def main() -> None:
            await world.acquire("1")
            before, world.lease = world.lease, world.new_lease()
            record = await world.acquire("2")
            assert (record.epoch, record.term) == (1, 2)
            await before.renew()
            assert world.told.said == ["taken by a"]
            assert world.valid()
            assert world.emptied == 0

        run(main())

    def test_a_cell_that_was_adopted_is_emptied_first(self, world: World):
        async def main() -> None:
            await world.acquire("1")
            await world.claim("b", "adopted")
            registers = Registers(world.streams, world.clock)
            adopted = (await registers.read_all())["a"].record
            await registers.renew(replace(adopted, epoch=2))

            async def fails() -> None:
                raise ConnectionError

            world.lease = world.new_lease()
            with pytest.raises(ConnectionError):
                await world.lease.acquire(CellRecord("a", "a", "2"), fails)
            assert (await world.seen()).record.state == "adopted", "it is emptied again next time"
            record = await world.acquire("2")
            assert (record.epoch, record.holder, record.state) == (2, "a", "joining")
            assert world.emptied == 1

        run(main())

    def test_while_another_adopts_it_is_waited_for(self, world: World):
        async def main() -> None:
            await world.acquire("1")
            await world.claim("b", cell="b", state="up")
            await world.claim("b")
            world.lease = world.new_lease()
            acquiring = asyncio.get_running_loop().create_task(world.acquire("2"))
            for _ in range(30):
                world.clock.now += 1.0
                await world.claim("b", cell="b", state="up")
                await asyncio.sleep(0)
            assert not acquiring.done()
            await world.claim("b", "adopted")
            await acquiring
            assert world.emptied == 1

        run(main())

    def test_who_died_while_adopting_is_not_waited_for_for_ever(self, world: World):
        async def main() -> None:
            await world.acquire("1")
            await world.claim("b", cell="b", state="up")
            await world.claim("b")
            world.lease = world.new_lease()
            acquiring = asyncio.get_running_loop().create_task(world.acquire("2"))
            began = world.clock.now
            while not acquiring.done():
                world.clock.now += 0.01
                await asyncio.sleep(0)
            assert world.clock.now - began >= ABANDONED_SECONDS
            assert (await acquiring).epoch == 1
            assert world.emptied == 0

        run(main())

    def test_a_claim_that_may_be_on_its_way_is_waited_for(self, world: World):
        async def main() -> None:
            world.streams.deaf = {0, 1}
            assert not await world.claim("b")
            world.streams.deaf = set()
            acquiring = asyncio.get_running_loop().create_task(world.acquire())
            began = world.clock.now
            while not acquiring.done():
                world.clock.now += 0.01
                await asyncio.sleep(0)
            assert world.clock.now - began >= SILENCE_SECONDS
            assert (await acquiring).term == 2

        run(main())

    def test_a_claim_of_its_own_that_partly_succeeded_is_not(self, world: World):
        async def main() -> None:
            world.streams.deaf = {0, 1}
            acquiring = asyncio.get_running_loop().create_task(world.acquire())
            while not world.streams.held[2]:
                await asyncio.sleep(0)
            world.streams.deaf = set()
            assert (await acquiring).term >= 2
            assert world.valid()

        run(main())


def test_its_tasks_renew_and_watch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.001)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.001)

    async def main() -> None:
        world = World()
        await world.acquire()
        async with asyncio.timeout(30):
            while world.lease.record.beat < 3:
                await asyncio.sleep(0)
            world.streams.down = {0, 1, 2}
            while not world.told.said:
                world.clock.now += 0.01
                await asyncio.sleep(0)
            assert world.told.said == ["lost"]
            world.streams.down = set()
            while world.told.said != ["lost", "regained"]:
                await asyncio.sleep(0)
        await world.lease.release()

    run(main())
