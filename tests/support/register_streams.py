"""Registers in memory that keep the rules of JetStream's compare-and-set, and can be made slow, deaf and forgetful."""

import asyncio
import random
from collections.abc import Mapping

from rookery.cluster.jetstream import NoAnswer, Refusal, Stored
from rookery.cluster.names import REGISTERS
from rookery.cluster.registers import EXPECTED_LAST

TRAVEL_STEPS_MAX = 40
"""How many steps of the loop a message may be on its way."""


class FakeRegisterStreams:
    """Three registers. Each answers at once, unless it is down or ``chance`` makes answers late, or lost."""

    def __init__(self, chance: random.Random | None = None, lost: float = 0.0) -> None:
        self.down: set[int] = set()
        self.deaf: set[int] = set()
        """Those that are read and take no writes."""
        self.held: list[dict[str, Stored]] = [{} for _ in range(REGISTERS)]
        self.sequences = [0] * REGISTERS
        self._chance = chance
        self._lost = lost

    async def put(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, seconds: float = 1
    ) -> int:
        index = int(subject.split(".")[1])
        await self._travel(index)
        if index in self.deaf:
            raise NoAnswer(f"register {index} takes nothing")
        assert headers is not None
        held = self.held[index].get(subject)
        now = 0 if held is None else held.sequence
        if int(headers[EXPECTED_LAST]) != now:
            raise Refusal(10071, f"wrong last sequence: {now}")
        self.sequences[index] += 1
        sequence = self.sequences[index]
        self.held[index][subject] = Stored(sequence, subject, data)
        await self._travel(index)
        return sequence

    async def get(
        self, stream: str, asked: Mapping[str, object], seconds: float = 1
    ) -> list[Stored]:
        index = int(stream.removeprefix("REG_"))
        await self._travel(index)
        subjects = asked["multi_last"]
        assert isinstance(subjects, list) and len(subjects) == 1
        found = sorted(self.held[index].values(), key=lambda each: each.sequence)
        wanted = str(subjects[0])
        await self._travel(index)
        return [each for each in found if wanted.endswith("*") or each.subject == wanted]

    async def _travel(self, index: int) -> None:
        if index in self.down:
            raise NoAnswer(f"register {index} is down")
        if self._chance is not None:
            for _ in range(self._chance.choice((0, 0, 1, 2, 5, 10, TRAVEL_STEPS_MAX))):
                await asyncio.sleep(0)
            if self._chance.random() < self._lost:
                raise NoAnswer("lost on the way")
