"""The store that lives and ends with the process: durability ``memory``.

It keeps what it is given, so that a client which comes back finds what it is owed, and says at once
that it did: that is all it promises.
"""

from collections.abc import Callable, Sequence

from rookery.records import (
    ENTRIES_PER_BLOCK_MAX,
    Group,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
    block_of,
    index_of,
    position_of,
)


class MemoryStore:
    """Adapter of ``rookery.ports.Store``."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[bytes]] = {}
        self._kept: dict[int, bytes] = {}
        """By position: what is left of blocks that were trimmed."""
        self._bytes = 0
        self._sessions: dict[int, SessionRow] = {}
        self._subscriptions: dict[int, dict[str, SubscriptionRow]] = {}
        self._progress: dict[int, ProgressRow] = {}
        self._inbound: dict[int, set[int]] = {}
        self._outbound: dict[int, dict[int, OutboundRow]] = {}
        self._retained: dict[str, int] = {}
        self._facts: dict[str, bytes] = {}
        self._next_block = 1
        self._next_number = 1

    @property
    def durability(self) -> str:
        """The level a completed commit has reached."""
        return "memory"

    async def open(self) -> Loaded:
        """What was committed since the object was made."""
        loaded = Loaded()
        loaded.sessions = list(self._sessions.values())
        loaded.subscriptions = [
            row for rows in self._subscriptions.values() for row in rows.values()
        ]
        loaded.progress = list(self._progress.values())
        loaded.inbound = [
            (number, packet_id) for number, ids in self._inbound.items() for packet_id in ids
        ]
        loaded.outbound = [row for rows in self._outbound.values() for row in rows.values()]
        loaded.retained = list(self._retained.items())
        loaded.blocks = sorted({*self._blocks, *map(block_of, self._kept)})
        loaded.next_block = self._next_block
        loaded.next_number = self._next_number
        loaded.facts = dict(self._facts)
        return loaded

    def commit(self, group: Group, done: Callable[[Exception | None], None]) -> None:
        """Keep the group: done."""
        if group.entries:
            for block in range(group.block, group.next_block()):
                self._blocks[block] = group.block_entries(block)
            self._bytes += group.entry_bytes
            self._next_block = max(self._next_block, group.next_block())
        for topic, position in group.retained.items():
            if position is None:
                self._retained.pop(topic, None)
            else:
                self._retained[topic] = position
        for key, fact in group.facts.items():
            if fact is None:
                self._facts.pop(key, None)
            else:
                self._facts[key] = fact
        self._keep_sessions(group)
        for block, kept in group.trimmed.items():
            self._trim(block, kept)
        for block in group.finished_blocks:
            self._trim(block, ())
        done(None)

    def _trim(self, block: int, kept: Sequence[int]) -> None:
        """Keep these of a block's entries and let go of the others."""
        entries = self._whole(block)
        self._blocks.pop(block, None)
        for index, entry in enumerate(entries):
            position = position_of(block, index)
            if position in kept and entry:
                self._kept[position] = entry
            else:
                self._kept.pop(position, None)
                self._bytes -= len(entry)

    def _keep_sessions(self, group: Group) -> None:
        self._progress.update(group.progress)
        for (number, topic_filter), row in group.subscriptions.items():
            subscriptions = self._subscriptions.setdefault(number, {})
            if row is None:
                subscriptions.pop(topic_filter, None)
            else:
                subscriptions[topic_filter] = row
        for (number, packet_id), taken in group.inbound.items():
            inbound = self._inbound.setdefault(number, set())
            if taken:
                inbound.add(packet_id)
            else:
                inbound.discard(packet_id)
        for (number, packet_id), delivery in group.outbound.items():
            outbound = self._outbound.setdefault(number, {})
            if delivery is None:
                outbound.pop(packet_id, None)
            else:
                outbound[packet_id] = delivery
        for number, session in group.sessions.items():
            self._next_number = max(self._next_number, number + 1)
            if session is not None:
                self._sessions[number] = session
            else:  # Last, so that nothing stays of a session that is gone.
                self._forget(number)

    def _forget(self, number: int) -> None:
        self._sessions.pop(number, None)
        self._subscriptions.pop(number, None)
        self._progress.pop(number, None)
        self._inbound.pop(number, None)
        self._outbound.pop(number, None)

    def read(
        self, positions: Sequence[int], done: Callable[[Sequence[bytes | None]], None]
    ) -> None:
        """Give back entries, at once."""
        done([self._entry(position) for position in positions])

    def _entry(self, position: int) -> bytes | None:
        entries = self._blocks.get(block_of(position))
        if entries is None:
            return self._kept.get(position)
        index = index_of(position)
        return entries[index] if index < len(entries) else None

    async def read_blocks(self, blocks: Sequence[int]) -> list[list[bytes | None]]:
        """Give back all entries of some blocks."""
        return [list(self._whole(block)) for block in blocks]

    def _whole(self, block: int) -> list[bytes]:
        """All entries of a block, with nothing in the place of those that are gone."""
        entries = self._blocks.get(block)
        if entries is not None or not self._kept:
            return entries or []
        begin = position_of(block, 0)
        found = [self._kept.get(begin + index, b"") for index in range(ENTRIES_PER_BLOCK_MAX)]
        while found and not found[-1]:
            found.pop()
        return found

    def full(self) -> bool:
        """It never is."""
        return False

    def problems(self) -> list[str]:
        """Nothing can go wrong with it that would leave it running."""
        return []

    def bytes_used(self) -> int:
        """The bytes of the entries it keeps."""
        return self._bytes

    async def close(self) -> None:
        """Nothing to let go of."""
