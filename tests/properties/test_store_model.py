"""The embedded store against plain dictionaries, closed, crashed and opened again at any moment."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rookery.records import (
    ENTRIES_PER_BLOCK_MAX,
    Group,
    OutboundRow,
    ProgressRow,
    SessionRow,
    position_of,
)
from tests.support.stores import (
    cells,
    commit,
    contents,
    copy_files,
    group,
    read,
    sqlite_store,
    subscription,
)

NUMBERS = st.integers(1, 5)
FILTERS = st.sampled_from(["a", "a/#", "+/é", "$share/g/a"])
IDS = st.sampled_from([1, 2, 65535])
POSITIONS = st.integers(0, position_of(40, 3))
LARGE = b"L"
MANY = b"M"
ENTRIES = st.lists(st.binary(min_size=1, max_size=8) | st.sampled_from([LARGE, MANY]), max_size=4)


class Model:
    """What the port says, in the plainest way."""

    def __init__(self) -> None:
        self.rows: dict[str, dict] = {
            kind: {}
            for kind in (
                "sessions",
                "subscriptions",
                "progress",
                "inbound",
                "outbound",
                "retained",
                "facts",
            )
        }
        self.blocks: dict[int, list[bytes]] = {}
        self.trimmed: set[int] = set()
        self.block_max = 0
        self.number_max = 0

    def apply(self, made: Group) -> None:
        if made.entries:
            for block in range(made.block, made.next_block()):
                self.blocks[block] = made.block_entries(block)
            self.block_max = max(self.block_max, made.next_block() - 1)
        for kind, rows in self.rows.items():
            for key, row in getattr(made, kind).items():
                if row is None or row is False:
                    rows.pop(key, None)
                else:
                    rows[key] = row
        for number, row in made.sessions.items():
            self.number_max = max(self.number_max, number)
            if row is None:
                self.rows["progress"].pop(number, None)
                for kind in ("subscriptions", "inbound", "outbound"):
                    for key in [key for key in self.rows[kind] if key[0] == number]:
                        del self.rows[kind][key]
        self.trimmed |= made.trimmed.keys()
        for block, kept in made.trimmed.items():
            entries = self.blocks.get(block, [])
            for index in range(len(entries)):
                if position_of(block, index) not in kept:
                    entries[index] = b""
            while entries and entries[-1] == b"":
                entries.pop()
            if not entries:
                self.blocks.pop(block, None)
        for block in made.finished_blocks:
            self.blocks.pop(block, None)

    def contents(self) -> dict:
        found = {
            kind: sorted(cells(row) for row in self.rows[kind].values())
            for kind in ("sessions", "subscriptions", "progress", "outbound")
        }
        found["inbound"] = sorted(self.rows["inbound"])
        found["retained"] = sorted(self.rows["retained"].items())
        found["facts"] = sorted(self.rows["facts"].items())
        found["blocks"] = sorted(self.blocks)
        return found


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.directory = Path(self.folder.name) / "0"
        self.directories = 1
        self.model = Model()
        self.next_block = 1

    @initialize(durability=st.sampled_from(["fsync", "os"]))
    def begin(self, durability):
        self.durability = durability
        self.open()

    def open(self) -> None:
        self.store = sqlite_store(self.directory, self.durability)
        loaded = self.runner.run(self.store.open())
        assert contents(loaded) == self.model.contents()
        assert loaded.next_block > self.model.block_max
        assert loaded.next_number > self.model.number_max
        assert self.store.problems() == []

    def new_directory(self) -> Path:
        self.directories += 1
        return Path(self.folder.name) / str(self.directories)

    def put(self, made: Group) -> None:
        assert self.runner.run(commit(self.store, made)) is None
        self.model.apply(made)
        self.next_block = made.next_block() + 1

    @rule(
        data=st.data(),
        entries=ENTRIES,
        sessions=st.dictionaries(
            NUMBERS, st.none() | st.tuples(st.text("ab", max_size=2), st.none() | st.binary())
        ),
        subscriptions=st.dictionaries(st.tuples(NUMBERS, FILTERS), st.none() | POSITIONS),
        progress=st.dictionaries(NUMBERS, st.tuples(POSITIONS, POSITIONS, st.lists(POSITIONS))),
        inbound=st.dictionaries(st.tuples(NUMBERS, IDS), st.booleans()),
        outbound=st.dictionaries(
            st.tuples(NUMBERS, IDS), st.none() | st.tuples(POSITIONS, st.booleans())
        ),
        retained=st.dictionaries(st.sampled_from("tuv"), st.none() | POSITIONS),
        facts=st.dictionaries(st.sampled_from("fgh"), st.none() | st.binary(max_size=4)),
    )
    def commit_any(
        self, data, entries, sessions, subscriptions, progress, inbound, outbound, retained, facts
    ):
        entries = [LARGE * 70_000 if entry == LARGE else entry for entry in entries]
        if MANY in entries:
            entries = [b"%d" % index for index in range(ENTRIES_PER_BLOCK_MAX)] + entries
        made = group(self.next_block, *entries, inbound=inbound, retained=retained, facts=facts)
        made.sessions = {
            number: row and SessionRow(number, row[0], 60, 1.5, row[1], 2)
            for number, row in sessions.items()
        }
        made.subscriptions = {
            key: None if began is None else subscription(*key, began)
            for key, began in subscriptions.items()
        }
        made.progress = {number: ProgressRow(number, *row) for number, row in progress.items()}
        made.outbound = {key: row and OutboundRow(*key, *row) for key, row in outbound.items()}
        if self.model.blocks:
            blocks = st.lists(st.sampled_from(sorted(self.model.blocks)), unique=True, max_size=3)
            made.finished_blocks = data.draw(blocks)
            for block in data.draw(blocks):
                indexes = range(len(self.model.blocks[block]))
                kept = data.draw(st.sets(st.sampled_from(indexes), max_size=4))
                made.trimmed[block] = [position_of(block, index) for index in sorted(kept)]
        self.put(made)

    @rule(data=st.data())
    def commit_what_cannot_be(self, data):
        """A group that fails leaves nothing behind."""
        whole = sorted(self.model.blocks.keys() - self.model.trimmed)
        if whole:
            block = data.draw(st.sampled_from(whole))
            made = group(block, b"x", inbound={(1, 7): True}, retained={"w": 1}, facts={"w": b""})
            assert self.runner.run(commit(self.store, made)) is not None

    @rule()
    def close_and_open(self):
        self.runner.run(self.store.close())
        self.open()

    @rule()
    def crash(self):
        """What was promised is in the files at once; whoever comes later finds it there."""
        target = copy_files(self.directory, self.new_directory())
        self.runner.run(self.store.close())
        self.directory = target
        self.open()

    @rule(index=st.integers(0, 4), blocks=st.lists(st.integers(0, 20), max_size=6))
    def read_some(self, index, blocks):
        found = self.runner.run(read(self.store, *(position_of(each, index) for each in blocks)))
        for block, entry in zip(blocks, found, strict=True):
            entries = self.model.blocks.get(block, [])
            assert entry == (entries[index] or None if index < len(entries) else None)

    @invariant()
    def blocks_are_as_written(self):
        if hasattr(self, "store"):
            blocks = sorted(self.model.blocks)
            found = self.runner.run(self._whole(blocks))
            assert dict(zip(blocks, found, strict=True)) == self.model.blocks

    async def _whole(self, blocks):
        return await self.store.read_blocks(blocks)

    def teardown(self):
        if hasattr(self, "store"):
            self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()


TestStore = pytest.mark.timeout(120)(StoreMachine.TestCase)
TestStore.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
