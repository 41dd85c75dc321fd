"""What a node concludes from the registers: who is alive, whose cell is to be adopted and by whom, who steps down. Pure.

Clocks of different machines are never compared. A cell is silent for as long as *we* have seen the same in the
registers: from the end of the read that first showed it to the beginning of the last one that still did. So a read
that fails lets nobody appear silent, and a node that was paused itself begins anew (``begin_again``).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rookery.cluster.cells import CellRecord, Sighting

SILENCE_SECONDS: Final = 2.5
"""After so long the holder of a cell is dead. More than a lease lasts, and than a claim may take."""
TURN_SECONDS: Final = 1.0
"""How much longer each further node waits before it claims a dead one's cell: the first may be dying itself."""
APART_SECONDS: Final = 3.0
"""How long a node may be without links to the others that have them, before it steps down."""
HELD: Final = frozenset(("joining", "up", "leaving"))
"""The states in which a node has its own cell."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has changed."""

    kind: Literal["joined", "changed", "dead", "adopted"]
    record: CellRecord


class Silences:
    """Since when the registers say the same of each cell."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[tuple[int, ...], float]] = {}
        self._now = 0.0

    def look(self, sightings: Mapping[str, Sighting], began: float, ended: float) -> None:
        """Take what a read brought that began and ended then."""
        self._now = began
        for cell, seen in sightings.items():
            known = self._since.get(cell)
            if known is None or known[0] != seen.marks:
                self._since[cell] = (seen.marks, ended)

    def begin_again(self, now: float) -> None:
        """Let nobody have been silent."""
        self._since = {cell: (marks, now) for cell, (marks, _) in self._since.items()}

    def of(self, cell: str) -> float:
        """How long a cell is silent; 0 for one that was never seen."""
        known = self._since.get(cell)
        return 0.0 if known is None else max(0.0, self._now - known[1])


class Views:
    """One node's view of all cells."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._silences = Silences()
        self._sightings: dict[str, Sighting] = {}
        self._told: dict[str, CellRecord] = {}
        """What was last told of each cell that was alive then."""
        self._apart_since: float | None = None
        self._apart_seconds = 0.0

    @property
    def sightings(self) -> Mapping[str, Sighting]:
        """What the registers said last."""
        return self._sightings

    def look(self, sightings: Mapping[str, Sighting], began: float, ended: float) -> list[Event]:
        """Take what a read brought that began and ended then; what has changed by it, other cells than ours."""
        events = []
        self._silences.look(sightings, began, ended)
        before = self._sightings
        self._sightings = dict(sightings)
        for cell, seen in sorted(sightings.items()):
            if cell != self._node_id:
                events += self._compare(cell, seen, before.get(cell))
        self._look_at_links(began)
        return events

    def begin_again(self, now: float) -> None:
        """Forget how long anybody was silent: we could not have noticed a sign of life, or not have acted."""
        self._silences.begin_again(now)
        self._apart_since = None
        self._apart_seconds = 0.0

    def living(self) -> list[CellRecord]:
        """The records of the nodes that have their own cell and are alive, ours with them, by name."""
        return [
            seen.record
            for cell, seen in sorted(self._sightings.items())
            if self._alive(cell, seen.record)
        ]

    def to_adopt(self, adopting: Collection[str]) -> list[Sighting]:
        """The cells that are ours to claim now; ``adopting`` names those we are at already."""
        return [
            seen
            for cell, seen in sorted(self._sightings.items())
            if cell != self._node_id and cell not in adopting and self._is_ours_to_claim(seen)
        ]

    def must_step_down(self) -> bool:
        """Whether we have been without links to the others for too long."""
        return self._apart_seconds >= APART_SECONDS

    def _alive(self, cell: str, record: CellRecord) -> bool:
        held = record.holder == cell and record.state in HELD
        return held and self._silences.of(cell) < SILENCE_SECONDS

    def _compare(self, cell: str, seen: Sighting, before: Sighting | None) -> list[Event]:
        record = seen.record
        told = self._told.get(cell)
        if self._alive(cell, record):
            self._told[cell] = record
            if told is None:
                return [Event("joined", record)]
            return [Event("changed", record)] if differs(told, record) else []
        self._told.pop(cell, None)
        events = [] if told is None else [Event("dead", record)]
        if record.state == "adopted" and (before is None or before.record.state != "adopted"):
            events.append(Event("adopted", record))
        return events

    def _is_ours_to_claim(self, seen: Sighting) -> bool:
        record = seen.record
        able = [each.node_id for each in self.living() if each.state == "up"]
        if record.state == "adopted" or self._node_id not in able:
            return False
        silence = self._silences.of(record.node_id)
        if record.state == "adopting" and record.holder == self._node_id:
            # A claim of ours of which we learnt too late, or of a run before.
            return silence >= SILENCE_SECONDS
        if record.state == "adopting" and record.holder in {each.node_id for each in self.living()}:
            return False
        return silence >= SILENCE_SECONDS + able.index(self._node_id) * TURN_SECONDS

    def _look_at_links(self, now: float) -> None:
        sees = {each.node_id: each.sees for each in self.living() if each.state == "up"}
        if self._node_id not in sees or self._node_id in largest_connected(sees):
            self._apart_since = None
        elif self._apart_since is None:
            self._apart_since = now
        self._apart_seconds = 0.0 if self._apart_since is None else now - self._apart_since


def differs(one: CellRecord, other: CellRecord) -> bool:
    """Whether more has changed than that the node has shown that it lives."""
    return any(
        getattr(one, name) != getattr(other, name)
        for name in CellRecord.__slots__
        if name not in {"beat", "term"}
    )


def largest_connected(sees: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The largest set of nodes of which each is linked to each other, by name; of several the first in order.

    A link counts when both ends say so. Clusters have few nodes, so all sets are looked at.
    """
    linked = {
        node: {other for other in others if other != node and node in sees.get(other, ())}
        for node, others in sees.items()
    }
    best: tuple[str, ...] = ()

    def extend(chosen: tuple[str, ...], candidates: list[str]) -> None:
        nonlocal best
        # In order, so that of sets of one size the first is found first.
        if len(chosen) > len(best):
            best = chosen
        for position, node in enumerate(candidates):
            if len(chosen) + len(candidates) - position > len(best):
                rest = [other for other in candidates[position + 1 :] if other in linked[node]]
                extend((*chosen, node), rest)

    extend((), sorted(linked))
    return best
