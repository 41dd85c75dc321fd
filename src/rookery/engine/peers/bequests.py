"""What a dead node still had to tell others, and what it had heard: its adopter goes on with both.

A node keeps in its log what another node's sessions are owed until that node has it, and its publishers were
acknowledged. The adopter keeps it on, in its own log, by the number that it had in the other one: so it is told once
though both may have told it. That is why none of this is provisional: an adoption that is begun again tells no more.

What others keep for the dead node's sessions comes to the adopter from where it was left: the dead node's marks say
which of it is among what these sessions brought with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.peers.departed import DEPARTED_FACT
from rookery.engine.peers.items import RETAINED, item, u64_at
from rookery.engine.peers.marks import RECEIVED_FACT, marks_of
from rookery.engine.peers.remote_node import PEER_FACT
from rookery.message import Message
from rookery.records import Entry, Group, Loaded, ProgressRow, decode_message, position_of

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub

NO_CELLS: Final[set[str]] = set()


class Bequest:
    """What was kept for one cell: how far that had come."""

    def __init__(self, cell: str, epoch: int, adopter: str) -> None:
        self.cell = cell
        self.epoch = epoch
        self.adopter = adopter
        """Who has adopted it, as far as the dead node knew; empty where it lives."""
        self._cursor: int = 0
        self._done: frozenset[int] = frozenset()

    def start_at(self, row: ProgressRow) -> None:
        """What was acknowledged."""
        self._cursor = row.cursor
        self._done = frozenset(row.done)

    def was_finished(self, position: int) -> bool:
        """Whether the cell has an entry."""
        return position < self._cursor or position in self._done


class Bequests:
    """What one dead node kept for others."""

    def __init__(self, hub: Hub, cell: str, epoch: int, loaded: Loaded) -> None:
        self.passed_on: int = 0
        """How many messages we keep in its place, or took ourselves."""
        self._hub = hub
        self._cell = cell
        self._origin = f"{cell}/{epoch}"
        self._marks = marks_of(loaded)
        self._kept: dict[int, Bequest] = {}
        """By the number that stands for a cell in the dead node's log."""
        for name, fact in loaded.facts.items():
            self._learn(name, fact)
        for row in loaded.progress:
            if row.number in self._kept:
                self._kept[row.number].start_at(row)

    def _learn(self, name: str, fact: bytes) -> None:
        if name.startswith(PEER_FACT):
            found = Bequest(name.removeprefix(PEER_FACT), u64_at(fact, 8), "")
        elif name.startswith(DEPARTED_FACT):
            of = name.removeprefix(DEPARTED_FACT).rpartition("/")[0]
            found = Bequest(of, u64_at(fact, 8), fact[16:].decode())
        else:
            return
        self._kept.setdefault(u64_at(fact, 0), found)

    def take_late(self, group: Group) -> list[Entry]:
        """Go on with a group that came to light after the adoption; the entries that are for the dead node's sessions."""
        for name, fact in group.facts.items():
            if fact is None:
                continue
            self._learn(name, fact)
            if name.startswith(RECEIVED_FACT):
                self._marks[name.removeprefix(RECEIVED_FACT)] = int.from_bytes(fact, "big")
        own: list[Entry] = []
        wall_minus_monotonic = self._hub.broker.committer.wall_minus_monotonic
        for index, data in enumerate(group.entries):
            entry = decode_message(data, wall_minus_monotonic)
            if self.has(entry):
                self.take(position_of(group.block, index), entry)
            elif not self._hub.departed.was_handed(self._cell, entry):
                own.append(entry)
        self.take_marks()
        return own

    def has(self, entry: Entry) -> bool:
        """Whether the dead node kept an entry for others, and for nobody else."""
        return len(entry.targets) > 0 and entry.targets[0] in self._kept

    def take(self, position: int, entry: Entry) -> int:
        """Go on with such an entry, where it was not done with; the bytes that takes of our log."""
        size_bytes = 0
        for number in entry.targets:
            bequest = self._kept.get(number)
            if bequest is not None and not bequest.was_finished(position):
                size_bytes += self._pass_on(bequest, entry, position)
        return size_bytes

    def take_marks(self) -> None:
        """Know what the dead node had of all that others kept for its sessions; these are ours now."""
        marks = self._hub.marks
        for origin, number in self._marks.items():
            mark = f"{self._cell}<{origin}"
            if "<" not in origin and marks.is_new(mark, number):
                marks.note(mark, number)

    def tell_retained(self, message: Message) -> None:
        """Tell the others a retained message that they may not have: it was the dead node's to tell."""
        data = item(RETAINED, self._hub.entry_of(message, ""))
        for node in self._hub.nodes.values():
            if node.link is not None:
                node.put(data)

    def _pass_on(self, bequest: Bequest, entry: Entry, position: int) -> int:
        hub = self._hub
        cell, epoch = bequest.cell, bequest.epoch
        origin = entry.origin or self._origin
        number = entry.number or position
        self.passed_on += 1
        if cell == hub.node_id:
            self._take_ourselves(entry, origin, number)
        elif bequest.adopter or hub.departed.is_gone(cell, epoch):
            stand_in = hub.departed.stand_in(cell, epoch, bequest.adopter)
            return stand_in.keep_from(entry, origin, number)
        else:
            return hub.node(cell).keep_from(entry, origin, number)
        return len(entry.message.payload)

    def _take_ourselves(self, entry: Entry, origin: str, number: int) -> None:
        if self._hub.marks.is_new(origin, number):
            node = self._hub.nodes.get(self._cell)
            asleep = NO_CELLS if node is None else node.asleep
            publishing = self._hub.broker.publishing
            publishing.receive_from_peer(entry.message, entry.share, asleep)
            self._hub.marks.note(origin, number)
