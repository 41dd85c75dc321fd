"""Work is done at once as long as a slice lasts, then in line, and never too much of it at a stretch."""

import asyncio
from collections.abc import Awaitable

import pytest

from rookery.auth.slices import SLICE_SECONDS, LineFull, Slices
from tests.support.sources import TurnedClock

WORK_SECONDS = SLICE_SECONDS / 3.9


class Work:
    """Takes its time by the clock, and notes in which turn of the loop it was done."""

    def __init__(self, clock: TurnedClock) -> None:
        self._clock = clock
        self.turn = 0
        self.done: list[tuple[int, int]] = []

    def __call__(self, number: int) -> int:
        self._clock.now += WORK_SECONDS
        self.done.append((self.turn, number))
        return number

    async def count_turns(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


def test_a_crowd_is_served_in_slices_and_in_order():
    async def main() -> None:
        clock = TurnedClock()
        work, slices = Work(clock), Slices[int](clock, 100)
        counter = asyncio.get_running_loop().create_task(work.count_turns())
        begun = [slices.run(lambda number=number: work(number)) for number in range(20)]
        assert begun[:4] == [0, 1, 2, 3]
        waiting = [each for each in begun[4:] if isinstance(each, Awaitable)]
        assert await asyncio.gather(*waiting) == list(range(4, 20))
        counter.cancel()
        assert [number for _, number in work.done] == list(range(20))
        by_turn = [turn for turn, _ in work.done]
        assert max(by_turn.count(turn) for turn in set(by_turn)) <= 4
        # The line is empty, so the next one is done at once again.
        assert slices.run(lambda: work(99)) == 99

    asyncio.run(main())


def test_a_line_has_an_end():
    async def main() -> None:
        clock = TurnedClock()
        work, slices = Work(clock), Slices[int](clock, 1)
        for number in range(4):
            slices.run(lambda number=number: work(number))
        last = slices.run(lambda: work(5))
        with pytest.raises(LineFull):
            slices.run(lambda: work(6))
        assert isinstance(last, Awaitable)
        assert await last == 5

    asyncio.run(main())


def test_who_left_the_line_is_passed_over():
    async def main() -> None:
        clock = TurnedClock()
        slices = Slices[int](clock, 10)
        done = []

        def work(number: int) -> int:
            clock.now += 2 * SLICE_SECONDS  # So that one fits into each turn.
            done.append(number)
            return number

        slices.run(lambda: work(0))
        loop = asyncio.get_running_loop()
        first, gone, stays = (
            loop.create_task(slices.run(lambda number=number: work(number))) for number in (1, 2, 3)
        )
        assert await first == 1
        gone.cancel()
        assert await stays == 3
        assert done == [0, 1, 3]

    asyncio.run(main())


def test_a_fault_reaches_whoever_waits():
    async def main() -> None:
        clock = TurnedClock()
        slices = Slices[float](clock, 10)

        def fail() -> float:
            clock.now += 2 * SLICE_SECONDS
            return 1 / 0

        with pytest.raises(ZeroDivisionError):
            slices.run(fail)
        waiting = slices.run(fail)
        assert isinstance(waiting, Awaitable)
        with pytest.raises(ZeroDivisionError):
            await waiting

    asyncio.run(main())
