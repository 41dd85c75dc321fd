"""Where in our log it stands that a cell's sessions are with another node.

From the moment we know it, what is published goes to these sessions with all others of the node that adopted them.
What our log kept for that node before is not for them: they had a copy of their own, which is with them or is handed
to them. It may be told long after, though, even by our next process, so it is told with the cell asleep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.peers.items import u64_at
from rookery.records import Loaded

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub

SWITCH_FACT: Final = "switch/"
"""By node and cell: the epoch in which it adopted the cell, and the position in our log at which we knew."""
INTEGER_BYTES: Final = 8


class Switch:
    """One node has adopted one cell."""

    def __init__(self, node_id: str, cell: str, epoch: int, before: int) -> None:
        self.node_id = node_id
        self.cell = cell
        self.epoch = epoch
        self.before = before
        """What is kept for the node at lower positions is not for the cell's sessions."""


class Switches:
    """All of them that we were told of: one for a node and a cell."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._switches: list[Switch] = []

    def restore(self, loaded: Loaded) -> None:
        """Take up what our last process knew."""
        for name, fact in loaded.facts.items():
            if name.startswith(SWITCH_FACT):
                node_id, _, cell = name.removeprefix(SWITCH_FACT).rpartition("/")
                before = u64_at(fact, INTEGER_BYTES)
                self._switches.append(Switch(node_id, cell, u64_at(fact, 0), before))

    def note(self, node_id: str, cell: str, epoch: int) -> None:
        """A node has adopted a cell; it says so with every link, and the first time counts."""
        for known in self._switches:
            if known.node_id == node_id and known.cell == cell:
                if known.epoch >= epoch:
                    return
                self._switches.remove(known)
                break
        committer = self._hub.broker.committer
        switch = Switch(node_id, cell, epoch, committer.end())
        self._switches.append(switch)
        committer.group.facts[f"{SWITCH_FACT}{node_id}/{cell}"] = epoch.to_bytes(
            INTEGER_BYTES, "big"
        ) + switch.before.to_bytes(INTEGER_BYTES, "big")

    def apart(self, node_id: str, position: int) -> list[str]:
        """The cells whose sessions are not meant by what is kept for a node at a position."""
        return [
            each.cell
            for each in self._switches
            if each.node_id == node_id and position < each.before
        ]
