"""The groups a run commits, and the state they lead to.

What a group holds follows from the seed, its number, the attempt and the state before it. So whoever knows
which groups were taken knows what a store must hold, in every detail; the store in memory, which keeps to
the same contract, reckons it.
"""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from rookery.records import (
    Group,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
    block_of,
    position_of,
)
from rookery.store.memory import MemoryStore
from tests.support.stores import contents

ATTEMPTS_MAX: Final = 64
BLOCKS_KEPT: Final = 12
MARKER: Final = 1
"""The number of the session whose client id names the last group taken."""
SESSIONS: Final = 6
TOPICS: Final = 8


class Name(NamedTuple):
    """A group: which step of the run, and the how manyeth attempt at it."""

    number: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.number}.{self.attempt}"

    @property
    def block(self) -> int:
        """The block its entries lie in; as in a node, an attempt that failed has used one up."""
        return self.number * ATTEMPTS_MAX + self.attempt


def name_of(text: str) -> Name:
    """The group of this name."""
    number, attempt = text.split(".")
    return Name(int(number), int(attempt))


class State:
    """What a store holds after some groups."""

    def __init__(self, seed: int, taken: Sequence[Name] = ()) -> None:
        self.seed = seed
        self.taken: list[Name] = []
        self.block_max = 0
        self.session_max = 0
        self._store = MemoryStore()
        for name in taken:
            self.take(name)

    def copy(self) -> "State":
        """One that goes its own way."""
        other = State(self.seed)
        for name, value in vars(self._store).items():
            setattr(other._store, name, _containers_of(value))
        other.taken = list(self.taken)
        other.block_max, other.session_max = self.block_max, self.session_max
        return other

    def take(self, name: Name) -> None:
        """Add a group."""
        group = self.group(name)
        self._store.commit(group, lambda error: None)
        self.taken.append(name)
        if group.entries:
            self.block_max = max(self.block_max, group.block)
        self.session_max = max(self.session_max, *group.sessions)

    def loaded(self) -> Loaded:
        """What opening it brings."""
        try:
            self._store.open().send(None)
        except StopIteration as end:
            found: Loaded = end.value
            return found
        raise AssertionError("the store in memory waits for nothing")

    def entries(self) -> dict[int, list[bytes]]:
        """The entries by block."""
        return {block: self._store._whole(block) for block in self.loaded().blocks}

    def group(self, name: Name) -> Group:
        """The group of this name, as it follows upon this state."""
        return _group_of(random.Random(f"{self.seed}/{name}"), name, self.loaded(), self.entries())

    def differences(self, loaded: Loaded, blocks: dict[int, list[bytes | None]]) -> list[str]:
        """Where a store's contents are not these."""
        wanted, found = contents(self.loaded()), contents(loaded)
        wrong = [
            f"{table}: {found[table]} instead of {wanted[table]}"
            for table in wanted
            if found[table] != wanted[table]
        ]
        if blocks != self.entries():
            wrong.append("the entries of the log are others")
        if loaded.next_block <= self.block_max:
            wrong.append(f"block {loaded.next_block} would be used twice")
        if loaded.next_number <= self.session_max:
            wrong.append(f"the session number {loaded.next_number} would be used twice")
        return wrong


def _containers_of(value: Any) -> Any:
    """The same rows and bytes, which nobody changes, in dictionaries, sets and lists of its own."""
    if isinstance(value, dict):
        return {key: _containers_of(each) for key, each in value.items()}
    return copy.copy(value) if isinstance(value, list | set) else value


def last_taken(loaded: Loaded) -> Name | None:
    """The last group whose session rows are there."""
    for row in loaded.sessions:
        if row.number == MARKER:
            return name_of(row.client_id)
    return None


def _group_of(
    chance: random.Random, name: Name, before: Loaded, entries: dict[int, list[bytes]]
) -> Group:
    group = Group(name.block)
    count = chance.choice((0, 1, 1, 2, 5))
    group.entries = [chance.randbytes(_size(chance)) for _ in range(count)]
    group.entry_bytes = sum(map(len, group.entries))
    group.sessions[MARKER] = SessionRow(MARKER, str(name), 60, None, None, 0)
    parts: Sequence[Callable[[random.Random, Name, Loaded, Group], None]] = (
        _add_session,
        _add_subscription,
        _add_progress,
        _add_identifiers,
        _add_retained,
    )
    for add in parts:
        if chance.random() < 0.4:
            add(chance, name, before, group)
    _finish_blocks(chance, before, group)
    _trim_blocks(chance, before, entries, group)
    return group


def _size(chance: random.Random) -> int:
    low, high = chance.choices(
        ((1, 60), (60, 700), (3_000, 9_000), (60_000, 90_000)), (6, 6, 2, 1)
    )[0]
    return chance.randint(low, high)


def _number(chance: random.Random) -> int:
    return MARKER + chance.randint(1, SESSIONS)


def _add_session(chance: random.Random, name: Name, before: Loaded, group: Group) -> None:
    number = _number(chance)
    if chance.random() < 0.3:
        group.sessions[number] = None
        return
    will = chance.randbytes(chance.randint(1, 300)) if chance.random() < 0.5 else None
    detached = None if chance.random() < 0.5 else chance.uniform(0, 2e9)
    group.sessions[number] = SessionRow(
        number, f"c{number}", chance.randint(0, 99), detached, will, 3
    )


def _add_subscription(chance: random.Random, name: Name, before: Loaded, group: Group) -> None:
    number = _number(chance)
    topic_filter = f"f/{chance.randint(0, 5)}/#"
    row: SubscriptionRow | None = None
    if chance.random() < 0.7:
        began = position_of(name.block, 0)
        row = SubscriptionRow(number, topic_filter, chance.randint(0, 2), True, False, 0, began)
    group.subscriptions[number, topic_filter] = row


def _add_progress(chance: random.Random, name: Name, before: Loaded, group: Group) -> None:
    number = _number(chance)
    cursor = position_of(name.block, chance.randint(0, 4))
    done = [cursor + step for step in range(2, chance.randint(2, 40), 2)]
    group.progress[number] = ProgressRow(number, cursor, cursor, done)


def _add_identifiers(chance: random.Random, name: Name, before: Loaded, group: Group) -> None:
    key = (_number(chance), chance.randint(1, 30))
    group.inbound[key] = chance.random() < 0.6
    other = (_number(chance), chance.randint(1, 30))
    position = position_of(name.block, 0)
    row = OutboundRow(*other, position, chance.random() < 0.5)
    group.outbound[other] = row if chance.random() < 0.6 else None


def _add_retained(chance: random.Random, name: Name, before: Loaded, group: Group) -> None:
    for topic in chance.sample([f"t/{index}" for index in range(TOPICS)], 2):
        there = group.entries and chance.random() < 0.8
        group.retained[topic] = position_of(name.block, 0) if there else None


def _finish_blocks(chance: random.Random, before: Loaded, group: Group) -> None:
    """Some of the blocks that no topic retained refers to."""
    retained: dict[str, Any] = {**dict(before.retained), **group.retained}
    held = {block_of(position) for position in retained.values() if position is not None}
    free = [block for block in before.blocks if block not in held]
    if len(before.blocks) > BLOCKS_KEPT or chance.random() < 0.1:
        group.finished_blocks = chance.sample(free, len(free) // 2)


def _trim_blocks(
    chance: random.Random, before: Loaded, entries: dict[int, list[bytes]], group: Group
) -> None:
    """Of some blocks a part of the entries, and what topics retained refer to."""
    retained: dict[str, Any] = {**dict(before.retained), **group.retained}
    held = {position for position in retained.values() if position is not None}
    for block in before.blocks:
        if block in group.finished_blocks or chance.random() > 0.1:
            continue
        there = [position_of(block, index) for index, entry in enumerate(entries[block]) if entry]
        kept = [each for each in there if each in held or chance.random() < 0.4]
        if kept:
            group.trimmed[block] = kept
