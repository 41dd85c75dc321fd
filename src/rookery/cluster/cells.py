"""Who has which cell: the record of it, and what several registers together say. Pure.

A cell is the durable state of the sessions of one node, and bears its name for ever, whoever has it. Its record
stands in three registers. Whoever wants the cell, for the first time, after a start, or because its node is dead,
*claims* it: writes a record with a higher ``term`` to at least two registers, each only if it still holds what was
read there. Two claims of the same term never both succeed, and no register's term ever falls. Whoever has the cell
renews its record, with a rising ``beat``, for as long as two registers let it.

``epoch`` is another matter. It rises only when another node has taken over all that was in the cell, so it tells a
node whether the files it has are of the cell as it is now. Only who has the cell raises it: a claim that failed
and left its record in one register changes nothing.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from rookery.cluster.names import REGISTERS

State = Literal["joining", "up", "leaving", "left", "adopting", "adopted"]
STATES: Final[frozenset[str]] = frozenset(get_args(State))
MAJORITY: Final = REGISTERS // 2 + 1
FORMAT: Final = 1


class RecordFault(Exception):
    """What a register holds cannot be read; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class CellRecord:
    """What is known of a cell and of the node that has it."""

    node_id: str
    """The cell, by the node it began at."""
    holder: str
    """The node that has it now, or had it last."""
    boot: str
    """Which run of the holder; another one after each start."""
    epoch: int = 1
    """Rises when the cell was adopted: what was in it under the epoch before is elsewhere now."""
    term: int = 0
    """Rises with every claim; given by the registers."""
    beat: int = 0
    """Rises with every renewal."""
    state: State = "joining"
    """``adopting`` while another node takes the cell's sessions over, ``adopted`` when it has all of them."""
    address: str = ""
    """``host:port`` where the node's peers reach it."""
    server_reference: str = ""
    """``host:port`` where clients reach it."""
    sees: tuple[str, ...] = ()
    """The nodes it is linked to, sorted."""
    version: str = ""
    """Of the program."""
    protocol: int = 1
    """Of the streams between nodes."""
    emptied: bool = False
    """Whether clients are to connect to other nodes than this one."""

    @property
    def claim(self) -> tuple[int, str, str]:
        """What tells one claim from another; renewals leave it as it is."""
        return self.term, self.holder, self.boot

    def encode(self) -> bytes:
        """As it stands in a register."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":")).encode()


def decode_record(data: bytes) -> CellRecord:
    """Read a record; fields that a later program of the same format has added are passed over.

    Raises ``RecordFault``.
    """
    try:
        told: dict[str, Any] = json.loads(data)
        found = told["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordFault(f"a register holds no record of a cell: {data[:80]!r}") from error
    if found != FORMAT:
        raise RecordFault(
            f"a register holds a record of format {found}, and this program knows {FORMAT}:"
            " run the version of rookery that the other nodes run"
        )
    values = {name: told[name] for name in CellRecord.__slots__ if name in told}
    if values.get("state") not in STATES or not {"node_id", "holder", "boot"} <= set(values):
        raise RecordFault(f"a register holds no record of a cell: {data[:80]!r}")
    return CellRecord(**{**values, "sees": tuple(values.get("sees", ()))})


@dataclass(frozen=True, slots=True)
class Entry:
    """What one register holds of one cell."""

    sequence: int
    """Of the record in the register's stream; 0 for none."""
    record: CellRecord | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the registers said of a cell at one time. A claim is made against exactly that."""

    record: CellRecord
    entries: tuple[Entry | None, ...]
    """By register; ``None`` where it is not known."""
    confirmed: bool
    """Whether a majority holds the claim of ``record``."""

    @property
    def marks(self) -> tuple[int, ...]:
        """What differs after any change in any register."""
        return tuple(-1 if entry is None else entry.sequence for entry in self.entries)

    def contested_by_others(self, node_id: str, boot: str) -> bool:
        """Whether a register holds a claim, not of this run of this node, that may be on its way to win."""
        floor = self.record.term if self.confirmed else -1
        return any(
            entry.record.term > floor and entry.record.claim[1:] != (node_id, boot)
            for entry in self.entries
            if entry and entry.record
        )

    @property
    def term_max(self) -> int:
        """The highest term in any register."""
        return max(entry.record.term for entry in self.entries if entry and entry.record)

    def may_be_held_by_others(self, node_id: str) -> bool:
        """Whether a claim of another node may stand in a majority, as far as is known."""
        claims = Counter(entry.record.claim for entry in self.entries if entry and entry.record)
        unknown = sum(entry is None for entry in self.entries)
        return any(
            count + unknown >= MAJORITY and holder != node_id
            for (_, holder, _), count in claims.items()
        )


def sighting(entries: Sequence[Entry | None]) -> Sighting | None:
    """What several registers together say of a cell; ``None`` where none has a record."""
    records = [entry.record for entry in entries if entry is not None and entry.record is not None]
    if not records:
        return None
    claims = Counter(record.claim for record in records)
    # A claim in a majority is what counts, though another that failed may have the higher term.
    confirmed = [record for record in records if claims[record.claim] >= MAJORITY]
    chosen = max(confirmed or records, key=lambda record: (record.term, record.beat))
    return Sighting(chosen, tuple(entries), bool(confirmed))
