"""Which kept messages of each origin have arrived, so that none is taken twice.

A kept message is known by the node whose log kept it first and its position there. They come in ascending order,
so one number per origin is enough; it is durable with what the message did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.records import Loaded

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

RECEIVED_FACT: Final = "received/"


class Marks:
    """The last kept message of each origin, by what it was told for: this node, or a cell it adopted."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._marks: dict[str, int] = {}

    def restore(self, loaded: Loaded) -> None:
        """Take up the facts of our last process."""
        for name, fact in loaded.facts.items():
            if name.startswith(RECEIVED_FACT):
                self._marks[name[len(RECEIVED_FACT) :]] = int.from_bytes(fact, "big")

    def is_new(self, origin: str, number: int) -> bool:
        """Whether it is the first time that this message comes."""
        return number > self._marks.get(origin, 0)

    def note(self, origin: str, number: int) -> int:
        """It is taken with the open group; the number of that."""
        committer = self._broker.committer
        self._marks[origin] = number
        committer.group.facts[RECEIVED_FACT + origin] = number.to_bytes(8, "big")
        return committer.must_keep()

    def forget(self, origin: str) -> None:
        """The origin begins anew: its positions do as well."""
        if self._marks.pop(origin, 0):
            self._broker.committer.group.facts[RECEIVED_FACT + origin] = None
