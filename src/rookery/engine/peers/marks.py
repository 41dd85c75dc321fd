"""Which kept messages of each origin have arrived, so that none is taken twice.

A kept message is known by the node whose log kept it first and its position there. They come in ascending order,
so one number per origin is enough; it is durable with what the message did. Where that could not be made durable the
number goes back with it: the message comes again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.committer import Waiter
from rookery.records import Loaded

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

RECEIVED_FACT: Final = "received/"


def marks_of(loaded: Loaded) -> dict[str, int]:
    """The marks of the node that a store belongs to."""
    return {
        name.removeprefix(RECEIVED_FACT): int.from_bytes(fact, "big")
        for name, fact in loaded.facts.items()
        if name.startswith(RECEIVED_FACT)
    }


class Marks(Waiter):
    """The last kept message of each origin, by what it was told for: this node, or a cell it adopted."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._marks: dict[str, int] = {}
        self._durable: dict[str, int] = {}
        self._noted: dict[int, dict[str, int]] = {}
        """By commit group that is not durable yet: the marks in it."""

    def restore(self, loaded: Loaded) -> None:
        """Take up the facts of our last process."""
        self._marks = marks_of(loaded)
        self._durable = dict(self._marks)

    def is_new(self, origin: str, number: int) -> bool:
        """Whether it is the first time that this message comes."""
        return number > self._marks.get(origin, 0)

    def group_of(self, origin: str, number: int) -> int:
        """The commit group with which a message that came before is kept; 0 when that is durable."""
        for group, noted in self._noted.items():
            if noted.get(origin, 0) >= number:
                return group
        return 0

    def note(self, origin: str, number: int) -> int:
        """It is taken with the open group; the number of that."""
        committer = self._broker.committer
        group = committer.must_keep()
        self._marks[origin] = number
        committer.group.facts[RECEIVED_FACT + origin] = number.to_bytes(8, "big")
        if group not in self._noted:
            self._noted[group] = {}
            committer.wait(group, self)
        self._noted[group][origin] = number
        return group

    def committed(self, group: int, error: Exception | None) -> None:
        """What the marks of a group stand for is durable, or was never taken."""
        for origin, number in self._noted.pop(group, {}).items():
            if error is None:
                self._durable[origin] = number
            else:
                self._take_back(origin)

    def room(self) -> None:
        """Never asked for."""

    def _take_back(self, origin: str) -> None:
        before = self._durable.get(origin, 0)
        self._marks[origin] = before
        fact = before.to_bytes(8, "big") if before else None
        self._broker.committer.group.facts[RECEIVED_FACT + origin] = fact

    def forget(self, origin: str) -> None:
        """The origin begins anew: its positions do as well."""
        self._durable.pop(origin, None)
        for noted in self._noted.values():
            noted.pop(origin, None)
        if self._marks.pop(origin, 0):
            self._broker.committer.group.facts[RECEIVED_FACT + origin] = None
