"""Claims and renewals against registers in memory: one owner at most, whatever is late or lost."""

import asyncio
import random
from dataclasses import replace

import pytest

from rookery.cluster.cells import CellRecord, decode_record
from rookery.cluster.jetstream import NoAnswer, Stored
from rookery.cluster.names import register_subject
from rookery.cluster.registers import CLAIM_SECONDS_MAX, Registers
from tests.support.engine import FakeClock
from tests.support.register_streams import TRAVEL_STEPS_MAX, FakeRegisterStreams

RACES = 150
STEPS_OF_A_CLAIM_MAX = 2 * TRAVEL_STEPS_MAX + 20
"""There and back, and some more."""


def record(holder: str, cell: str = "a") -> CellRecord:
    return CellRecord(cell, holder, f"boot of {holder}")


def held(streams: FakeRegisterStreams, index: int, cell: str = "a") -> CellRecord:
    return decode_record(streams.held[index][register_subject(index, cell)].data)


class World:
    """Registers in memory, and a node that uses them."""

    def __init__(self) -> None:
        self.streams = FakeRegisterStreams()
        self.clock = FakeClock()
        self.registers = Registers(self.streams, self.clock)

    def another(self) -> Registers:
        return Registers(self.streams, self.clock)


def test_a_cell_is_claimed_seen_and_renewed():
    async def main() -> None:
        world = World()
        assert await world.registers.read_all() == {}
        won = await world.registers.claim("a", None, record("a"))
        assert won == replace(record("a"), term=1)
        seen = (await world.another().read_all())["a"]
        assert seen.record == won
        assert seen.confirmed
        renewal = await world.registers.renew(replace(won, beat=1))
        assert renewal.succeeded
        assert renewal.higher is None
        assert (await world.another().read_all())["a"].record.beat == 1

    asyncio.run(main())


def test_of_two_claims_on_the_same_one_succeeds():
    async def main() -> None:
        world = World()
        one, two = world.registers, world.another()
        await one.claim("a", None, record("a"))
        seen, as_seen = (await one.read_all())["a"], (await two.read_all())["a"]
        assert await one.claim("a", seen, record("b")) is not None
        assert await two.claim("a", as_seen, record("c")) is None
        assert (await two.read_all())["a"].record.holder == "b"

    asyncio.run(main())


def test_a_renewal_since_the_cell_was_seen_keeps_it():
    async def main() -> None:
        world = World()
        owner, other = world.registers, world.another()
        won = await owner.claim("a", None, record("a"))
        assert won is not None
        seen = (await other.read_all())["a"]
        assert (await owner.renew(replace(won, beat=1))).succeeded
        assert await other.claim("a", seen, record("b")) is None
        assert (await owner.renew(replace(won, beat=2))).succeeded

    asyncio.run(main())


@pytest.mark.parametrize("down", [0, 1, 2])
def test_one_register_may_be_missing(down: int):
    async def main() -> None:
        world = World()
        world.streams.down = {down}
        won = await world.registers.claim("a", None, record("a"))
        assert won is not None
        assert (await world.registers.renew(replace(won, beat=1))).succeeded
        assert (await world.another().read_all())["a"].confirmed
        # When it is back it is told of the cell, without another claim.
        world.streams.down = set()
        assert (await world.registers.renew(replace(won, beat=2))).succeeded
        await world.registers.stop()
        assert held(world.streams, 0).beat == 2
        assert held(world.streams, 1).beat == 2

    asyncio.run(main())


def test_two_missing_registers_are_too_many():
    async def main() -> None:
        world = World()
        won = await world.registers.claim("a", None, record("a"))
        assert won is not None
        world.streams.down = {0, 2}
        assert not (await world.registers.renew(replace(won, beat=1))).succeeded
        assert await world.registers.claim("b", None, record("b", "b")) is None
        with pytest.raises(NoAnswer, match="2 of 3 registers"):
            await world.registers.read_all()

    asyncio.run(main())


def test_a_claim_that_partly_succeeded_is_in_nobodys_way():
    async def main() -> None:
        world = World()
        world.streams.down = {0, 1}
        assert await world.registers.claim("a", None, record("a")) is None
        world.streams.down = set()
        seen = (await world.registers.read_all())["a"]
        assert not seen.confirmed
        won = await world.another().claim("a", seen, record("b"))
        assert won is not None
        assert won.term == 2

    asyncio.run(main())


def test_a_claim_that_failed_in_one_register_does_not_end_the_lease_and_is_told():
    async def main() -> None:
        world = World()
        owner, other = world.registers, world.another()
        won = await owner.claim("a", None, record("a"))
        assert won is not None
        seen = (await other.read_all())["a"]
        world.streams.down = {0, 1}
        assert await other.claim("a", seen, record("b")) is None
        world.streams.down = set()
        for beat in (1, 2):
            renewal = await owner.renew(replace(won, beat=beat))
            assert renewal.succeeded
        assert renewal.higher is not None
        assert renewal.higher.holder == "b"
        assert held(world.streams, 2).holder == "b", "a higher term is never overwritten by a lower"
        third = world.another()
        passed = await third.claim("a", (await third.read_all())["a"], record("c"))
        assert passed is not None
        assert passed.term == 3, "above all, also what failed"

    asyncio.run(main())


def test_whoever_lost_a_race_in_a_register_learns_what_is_there():
    async def main() -> None:
        world = World()
        owner = world.registers
        won = await owner.claim("a", None, record("a"))
        assert won is not None
        other = world.another()
        assert await other.claim("a", (await other.read_all())["a"], record("b")) is not None
        renewal = await owner.renew(replace(won, beat=1))
        assert not renewal.succeeded
        assert renewal.higher is not None
        assert renewal.higher.holder == "b"

    asyncio.run(main())


def test_a_claim_that_took_too_long_has_failed():
    async def main() -> None:
        world = World()
        put = world.streams.put

        async def slow(*asked, **named):
            world.clock.now += CLAIM_SECONDS_MAX
            return await put(*asked, **named)

        world.streams.put = slow
        assert await world.registers.claim("a", None, record("a")) is None

    asyncio.run(main())


def test_what_cannot_be_read_is_not_overwritten():
    async def main() -> None:
        world = World()
        for index in range(2):
            subject = register_subject(index, "a")
            world.streams.held[index][subject] = Stored(4, subject, b'{"format":2}')
        with pytest.raises(NoAnswer):
            await world.registers.read_all()
        assert not (await world.registers.renew(replace(record("a"), term=9))).succeeded

    asyncio.run(main())


class Race:
    """Nodes that claim a cell whenever they like, over what they see, and renew what they won."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.streams = FakeRegisterStreams(self.chance, lost=self.chance.choice([0.0, 0.02, 0.1]))
        self.clock = FakeClock()
        self.won: list[CellRecord] = []
        self.renewals = 0
        self.overtaken: list[tuple[CellRecord, CellRecord]] = []

    async def contend(self, name: str) -> None:
        registers = Registers(self.streams, self.clock)
        waited: tuple[int, ...] = ()
        for _ in range(12):
            try:
                seen = (await registers.read_all()).get("a")
            except NoAnswer:
                continue
            if seen is not None and waited != seen.marks:
                # Whoever sees a claim waits until it is over: not all need to be told yet that it succeeded.
                waited = seen.marks
                for _ in range(STEPS_OF_A_CLAIM_MAX):
                    await asyncio.sleep(0)
                continue
            mine = await registers.claim("a", seen, record(name))
            if mine is not None:
                self.won.append(mine)
                await self.renew(registers, mine)

    async def renew(self, registers: Registers, mine: CellRecord) -> None:
        for beat in range(self.chance.randrange(4)):
            before = list(self.won)
            if (await registers.renew(replace(mine, beat=beat + 1))).succeeded:
                self.renewals += 1
                self.overtaken += [(mine, each) for each in before if each.term > mine.term]

    async def run(self) -> None:
        await asyncio.gather(*(self.contend(name) for name in ("a", "b", "c")))


def test_each_term_is_won_once_and_in_order_and_no_beaten_owner_renews(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("rookery.cluster.registers.STRAGGLER_SECONDS", 0.0)
    won = renewals = 0
    for seed in range(RACES):
        race = Race(seed)
        asyncio.run(race.run())
        terms = [each.term for each in race.won]
        assert terms == sorted(set(terms)), (seed, race.won)
        assert race.overtaken == [], seed
        won += len(terms)
        renewals += race.renewals
    # Else nothing was shown.
    assert won > RACES
    assert renewals > RACES
