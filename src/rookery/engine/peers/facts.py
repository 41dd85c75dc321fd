"""What a node remembers of the cells it takes over, as facts beside the rows of its store.

===================== ==================================================================================
``adopting/CELL/N``   session numbers: they came from this cell, and their adoption is not complete
``adopted/CELL``      the epoch of the adoption, and the numbers of the sessions it brought
``reaching/CELL``     the position from which on these sessions' own subscriptions hold here; empty as
                      long as they do not
===================== ==================================================================================

The first kind goes in the group that brings the second, so a store that has it was left in the middle. The third
stays until the subscriptions' rows say the same.
"""

from collections.abc import Mapping
from typing import Final

from rookery.records import SessionRow, pack_numbers, unpack_numbers

ADOPTING: Final = "adopting/"
ADOPTED: Final = "adopted/"
REACHING: Final = "reaching/"
INTEGER_BYTES: Final = 8


def adopting_fact(cell: str, part: int) -> str:
    """Names a part of an adoption that is not complete."""
    return f"{ADOPTING}{cell}/{part}"


def adopted_fact(cell: str) -> str:
    """Names an adoption that is complete."""
    return f"{ADOPTED}{cell}"


def reaching_fact(cell: str) -> str:
    """Names the position from which on the sessions of a cell are reachable."""
    return f"{REACHING}{cell}"


def adopted_value(epoch: int, numbers: list[int]) -> bytes:
    """What is remembered of a complete adoption; the numbers ascend."""
    return epoch.to_bytes(INTEGER_BYTES, "big") + pack_numbers(numbers)


def epoch_of(value: bytes) -> int:
    """The epoch of a complete adoption."""
    return int.from_bytes(value[:INTEGER_BYTES], "big")


def numbers_of(value: bytes) -> list[int]:
    """The sessions it brought; some may have ended since."""
    return unpack_numbers(value[INTEGER_BYTES:])


def reaching_value(position: int) -> bytes:
    """What is remembered of the moment at which a cell's sessions became reachable."""
    return position.to_bytes(INTEGER_BYTES, "big")


class Inheritance:
    """What the facts of a store say of the sessions in it."""

    def __init__(self, facts: Mapping[str, bytes], end: int) -> None:
        """``end`` is the position behind the log: what was not reachable is so from there on."""
        self.provisional: set[int] = set()
        """Sessions of adoptions that were left in the middle: as if they were not there."""
        self.cells: dict[int, str] = {}
        """By session: the cell it was adopted from."""
        self.began: dict[int, int] = {}
        """By session: the position before which none of its own subscriptions holds."""
        self.settled: list[str] = []
        """The facts that say nothing any more once the rows follow them."""
        for name, value in facts.items():
            if name.startswith(ADOPTING):
                self.provisional.update(unpack_numbers(value))
                self.settled.append(name)
            elif name.startswith(ADOPTED):
                cell = name.removeprefix(ADOPTED)
                for number in numbers_of(value):
                    self.cells[number] = cell
        for name, value in facts.items():
            if name.startswith(REACHING):
                self._reach(name.removeprefix(REACHING), value, end)
                self.settled.append(name)

    def left_behind(self, sessions: list[SessionRow]) -> set[int]:
        """The sessions to forget: provisional ones, and adopted ones whose client has another here."""
        own = {
            row.client_id
            for row in sessions
            if row.number not in self.cells and row.number not in self.provisional
        }
        doubles = {
            row.number for row in sessions if row.number in self.cells and row.client_id in own
        }
        return self.provisional | doubles

    def _reach(self, cell: str, value: bytes, end: int) -> None:
        position = int.from_bytes(value, "big") if value else end
        for number, its_cell in self.cells.items():
            if its_cell == cell:
                self.began[number] = position
