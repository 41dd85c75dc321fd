"""A run: lives of a store on a disk that is watched, and all the ends they could have had.

After each life its journal is gone through. At many places the disk is made as it would be if the process had
been killed there, and as it might be if the power had been cut there; the real store opens what is left, and
what it finds is held against what was promised. One of these ends is the beginning of the next life.
"""

import asyncio
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rookery.records import Loaded
from rookery.store.faults import StoreFault
from tests.power.disk import Disk, Operation, lay_out, operations
from tests.power.groups import Name, State, last_taken, name_of
from tests.power.life import Orders
from tests.power.shim import Faults, environment
from tests.support.stores import sqlite_store

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = "store"
"""The name of the store's directory, which the store makes itself."""
LIFE_SECONDS_MAX: Final = 60.0
GROUPS: Final = 60
LIVES_PER_DISK: Final = 6
"""After so many lives the next one begins with an empty disk."""
RARE_WEIGHT: Final = 6
"""How much likelier an end is beside anything but a write to the log, which is most of what happens."""


@dataclass
class Promised:
    """What must be on the disk at some moment, and what may be."""

    state: State
    """After all that was told to be done."""
    attempts: list[Name] = field(default_factory=list)
    """Begun since then: any one of them may be there, and whole."""
    earlier: list[State] = field(default_factory=list)
    """The states before, for a level that may lose the last of them."""

    def step(self, mark: str, start: State) -> None:
        """The store or its user said something."""
        what, _, name = mark.partition(" ")
        if what == "begin":
            self.attempts.append(name_of(name))
        elif what == "done":
            self.earlier.append(self.state)
            self.state = self.state.copy()
            self.state.take(name_of(name))
            self.attempts.clear()
        elif what == "opened" and self.attempts:
            # What a node has loaded it builds upon, so it must not go away any more.
            self.state = start.copy()
            self.attempts.clear()


@dataclass
class Found:
    """What one end of a life left."""

    state: State | None
    """``None`` when it is no state at all."""
    lost: int = 0
    """Groups that were told to be done."""
    wrong: str = ""


@dataclass
class Options:
    """What a run is to do."""

    seed: int
    durability: str = "fsync"
    cuts: int = 100
    """Places in each life where the power is cut."""
    groups: int = GROUPS
    faults: bool = True
    """Whether the disk fails now and then meanwhile, too."""
    synchronous: str = ""


@dataclass
class Violation:
    """A broken promise, and where."""

    life: int
    place: str
    text: str


class Run:
    """Lives, one after the other."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self._folder = folder
        self._work = folder / "disk"
        self._disk: Disk | None = None
        self._promised = Promised(State(options.seed))
        self._start = self._promised.state

    def life(self, number: int) -> None:
        """One life and its ends."""
        chance = random.Random(f"{self.options.seed}/run/{number}")
        if self._disk is None or (number - 1) % LIVES_PER_DISK == 0:
            self._begin_disk({})
            self._promised = Promised(State(self.options.seed))
            self._start = self._promised.state
        journal = self._live(number)
        if journal is None:
            return
        last = self._last(journal, chance)
        places = set(self._places(journal[:last], chance))
        assert self._disk is not None
        for place, operation in enumerate(journal[:last]):
            self._disk.step(operation)
            if operation.kind == "M":
                self._promised.step(operation.text, self._start)
                self.counts["groups"] += operation.text.startswith("done")
            self.counts["faults"] += operation.kind == "F"
            if place in places:
                self._end(number, place, operation, chance)
        self._disk.close_all()
        self._go_on(number, chance)

    def _begin_disk(self, contents: dict[str, bytes | None]) -> None:
        self._lay_out(contents)
        self._disk = Disk(self._work)

    def _lay_out(self, contents: dict[str, bytes | None]) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        lay_out(contents, self._work, self._work)

    def _live(self, number: int) -> list[Operation] | None:
        """Let a process live on the disk; what it did."""
        options = self.options
        journal, faults = self._folder / "journal", self._folder / "faults"
        journal.unlink(missing_ok=True)
        orders = Orders(
            directory=str(self._work / FOLDER),
            durability=options.durability,
            seed=options.seed,
            life=number,
            groups=options.groups,
            taken=[tuple(name) for name in self._start.taken],
            faults=str(faults) if options.faults and number % 3 else "",
            synchronous=options.synchronous,
        )
        Faults(faults)
        done = subprocess.run(
            [sys.executable, "-m", "tests.power.life", orders.to_json()],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(self._work, journal=journal, faults=faults),
            timeout=LIFE_SECONDS_MAX,
        )
        self.counts["lives"] += 1
        if done.returncode or done.stderr:
            text = f"the process ended with {done.returncode}: {done.stderr}"
            self.violations.append(Violation(number, "while it ran", text))
            self._disk = None
            return None
        return list(operations(journal))

    def _last(self, journal: list[Operation], chance: random.Random) -> int:
        """How many of the operations took place before the next life begins.

        Often the last one is a write whose sync did not come about: what the next life reads is then not
        on the medium yet.
        """
        if chance.random() < 0.3:
            return len(journal)
        somewhere = chance.randrange(1, len(journal))
        syncs = (place for place in range(somewhere, len(journal)) if journal[place].kind == "S")
        return next(syncs, somewhere) if chance.random() < 0.6 else somewhere

    def _places(self, journal: list[Operation], chance: random.Random) -> Iterator[int]:
        """Where the life could have ended."""
        log = {each.file for each in journal if each.kind in "oO" and each.text.endswith("-wal")}
        weights = [
            0 if each.kind == "F" else 1 if each.kind == "W" and each.file in log else RARE_WEIGHT
            for each in journal
        ]
        yield from chance.choices(range(len(journal)), weights, k=self.options.cuts)
        for place, each in enumerate(journal):
            if each.kind == "M" and each.text == "opened":
                yield place

    def _end(self, number: int, place: int, operation: Operation, chance: random.Random) -> None:
        """Both ends the life could have had here."""
        assert self._disk is not None
        at = f"after operation {place} ({operation.kind} {operation.data[:40]!r})"
        kinds = {"kill": self._disk.after_kill(), "cut": self._disk.after_power_cut(chance)}
        for kind, contents in kinds.items():
            found = self._opened(contents)
            self.counts[kind] += 1
            self._judge(number, f"{kind} {at}", kind, found)

    def _judge(self, number: int, where: str, kind: str, found: Found) -> None:
        self.counts[f"lost by {kind}"] += found.lost
        may_lose = kind == "cut" and self.options.durability == "os"
        if found.wrong:
            self.violations.append(Violation(number, where, found.wrong))
        elif found.lost and not may_lose:
            text = f"{found.lost} groups that were told to be done are lost"
            self.violations.append(Violation(number, where, text))

    def _go_on(self, number: int, chance: random.Random) -> None:
        """Begin the next life where this one was killed, or what a loss of power left of it."""
        assert self._disk is not None
        killed = chance.random() < 0.4
        if killed:
            # The system lives on, with all that it has still to write.
            contents = self._disk.after_kill()
            self._lay_out(contents)
        else:
            contents = self._disk.after_power_cut(chance)
            self._begin_disk(contents)
        found = self._opened(contents)
        self._judge(number, "at its end", "kill" if killed else "cut", found)
        if found.state is None:
            self._disk = None
            return
        self._start = found.state
        if not killed:
            self._promised = Promised(found.state.copy())

    def _opened(self, contents: dict[str, bytes | None]) -> Found:
        """What the real store finds."""
        trial = self._folder / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir()
        lay_out(contents, self._work, trial)
        try:
            loaded, blocks, problems = asyncio.run(_read(trial / FOLDER, self.options.durability))
        except StoreFault as fault:
            return Found(None, wrong=f"it was not opened: {fault}")
        if problems:
            return Found(None, wrong=f"it was set aside: {problems}")
        promised = self._promised
        name = last_taken(loaded)
        state = self._state_of(name)
        if state is None:
            return Found(None, wrong=f"the last group is {name}, which nobody can have committed")
        if differences := state.differences(loaded, blocks):
            return Found(None, wrong=f"not whole after group {name}: {'; '.join(differences)}")
        return Found(state, lost=max(0, len(promised.state.taken) - len(state.taken)))

    def _state_of(self, name: Name | None) -> State | None:
        promised = self._promised
        for state in (promised.state, *reversed(promised.earlier)):
            if (state.taken[-1] if state.taken else None) == name:
                return state.copy()
        if name in promised.attempts:
            state = promised.state.copy()
            state.take(name)
            return state
        return None


async def _read(
    directory: Path, durability: str
) -> tuple[Loaded, dict[int, list[bytes | None]], list[str]]:
    store = sqlite_store(directory, durability)
    loaded = await store.open()
    try:
        found = await store.read_blocks(loaded.blocks)
        return loaded, dict(zip(loaded.blocks, found, strict=True)), store.problems()
    finally:
        await store.close()
