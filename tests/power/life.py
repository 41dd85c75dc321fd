"""One life of a store, in a process of its own whose disk is watched: open, commit, fail, end.

It marks in the journal what it begins (``begin 7.0``), what it was told is done (``done 7.0``), and what it
was told has failed (``failed 7.0``); those marks are what a client's acknowledgement hangs on. The store's
own bounds are small here, so that its log is emptied, cut and begun anew every few groups.
"""

import asyncio
import ctypes
import json
import os
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rookery.records import position_of
from rookery.store import database, writer
from rookery.store.faults import StoreFault
from tests.power.groups import Name, State
from tests.power.shim import Faults
from tests.support.stores import SteppedClock, commit, read, sqlite_store

FAULTS: Final = (
    "sync -wal EIO",
    "sync * EIO",
    "sync .db EIO",
    "write -wal ENOSPC",
    "write -wal EIO",
    "write * ENOSPC",
    "write * short",
    "write * EROFS",
)
STEP_SECONDS: Final = 0.3
"""By which the clock goes on with each group, so that every few groups the store ticks."""
OF_SYNCS: Final = "sync "
WRONG: Final = 3
"""The exit code after a line on standard error that tells of a broken promise."""


@dataclass
class Orders:
    """What a life is to do; passes as JSON."""

    directory: str
    durability: str
    seed: int
    life: int
    groups: int
    taken: list[tuple[int, int]]
    """The groups that are in the store already."""
    faults: str = ""
    """The file that says which operations fail; empty for a disk without faults."""
    synchronous: str = ""
    """To see that the run would notice: ``OFF`` takes the syncs away from SQLite."""

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


class Life:
    """A store under seeded work."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._chance = random.Random(f"{orders.seed}/life/{orders.life}")
        taken = [Name(*each) for each in orders.taken]
        self._state = State(orders.seed, taken)
        self._clock = SteppedClock()
        self._store = self._new_store()
        self._faults = Faults(Path(orders.faults)) if orders.faults else None
        self._reads = self._chance.random() < 0.5
        """Whether a second connection looks at the database meanwhile."""
        self._broken_for = 0

    async def run(self) -> None:
        """Open, commit, and end in one way or another."""
        mark("open")
        await self._store.open()
        mark("opened")
        first = self._state.taken[-1].number + 1 if self._state.taken else 1
        for number in range(first, first + self._orders.groups):
            await self._commit(number)
            if self._reads and self._chance.random() < 0.3:
                await self._read()
            if self._chance.random() < 0.02:
                await self._begin_anew()
        if self._chance.random() < 0.5:
            await self._store.close()
        sys.stderr.flush()
        os._exit(0)

    async def _commit(self, number: int) -> None:
        """Try until it works. An attempt that failed has used up its block, as in a node."""
        attempt = first_attempt(self._orders.life)
        while True:
            name = Name(number, attempt)
            self._break_or_heal()
            self._clock.now += STEP_SECONDS
            mark(f"begin {name}")
            error = await commit(self._store, self._state.group(name))
            if error is None:
                mark(f"done {name}")
                self._state.take(name)
                return
            if self._faults is None:
                wrong(f"group {name} failed on a disk without faults: {error}")
            mark(f"failed {name}")
            attempt += 1

    def _break_or_heal(self) -> None:
        if self._faults is None:
            return
        if self._broken_for:
            self._broken_for -= 1
            if not self._broken_for:
                self._faults.heal()
        elif self._chance.random() < 0.1:
            # A level that waits for no sync cannot know that one failed, and does not promise to.
            waits = self._orders.durability == "fsync"
            lines = [each for each in FAULTS if waits or not each.startswith(OF_SYNCS)]
            self._faults.set([self._chance.choice(lines)])
            self._broken_for = self._chance.randint(1, 3)

    async def _read(self) -> None:
        if self._broken_for:
            return  # It is tried again until the disk works, which is not before the next group.
        blocks = self._state.entries()
        if not blocks:
            return
        block = self._chance.choice(sorted(blocks))
        found = await read(self._store, position_of(block, 0))
        if found != [blocks[block][0] or None]:  # Nothing is left of one that was trimmed.
            wrong(f"block {block} does not begin with its first entry")

    async def _begin_anew(self) -> None:
        """Stop in good order and open again."""
        if self._broken_for:
            return
        await self._store.close()
        mark("closed")
        self._store = self._new_store()
        mark("open")
        loaded = await self._store.open()
        mark("opened")
        blocks = sorted(self._state.entries())
        found = dict(zip(blocks, await self._store.read_blocks(blocks), strict=True))
        if differences := self._state.differences(loaded, found):
            wrong(f"after group {self._state.taken[-1]} the store was opened with {differences}")

    def _new_store(self):
        orders = self._orders
        return sqlite_store(Path(orders.directory), orders.durability, clock=self._clock)


def first_attempt(life: int) -> int:
    """Each life counts its attempts from another number: what the one before tried is another group."""
    return life % 8 * 8


def mark(text: str) -> None:
    """Put a line into the journal."""
    ctypes.CDLL(None).power_mark(text.encode())


def wrong(text: str) -> None:
    """End here, and say why."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    os._exit(WRONG)


def main() -> None:
    """Live."""
    orders = Orders(**json.loads(sys.argv[1]))
    database.CHECKPOINT_PAGES = 60
    database.WAL_BYTES_KEPT = 100_000
    database.BUSY_SECONDS = 0.2
    writer.FREE_BYTES_KEPT = 100_000
    writer.SHRINK_PAGES = 8
    writer.TICK_SECONDS = 1.0
    if orders.synchronous:
        writer.SYNCHRONOUS = dict.fromkeys(database.SYNCHRONOUS, orders.synchronous)
    try:
        asyncio.run(Life(orders).run())
    except StoreFault as fault:
        wrong(str(fault))


if __name__ == "__main__":
    main()
