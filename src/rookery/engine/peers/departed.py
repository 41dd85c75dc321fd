"""Nodes whose cells are adopted: what is kept for their sessions goes to who has those now.

A node keeps messages for another while that cannot be told. Once a cell is adopted they are for the
adopter, which gives them to the sessions it has from that cell and to no other: those of its own had theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.peers.facts import ADOPTED, epoch_of
from rookery.engine.peers.heirs import deliver_hint
from rookery.engine.peers.items import (
    SWITCHED,
    adopted_item,
    holding_item,
    item,
    text_of,
    u64_at,
)
from rookery.engine.peers.remote_node import PEER_FACT, RemoteNode
from rookery.engine.peers.switches import Switches
from rookery.message import Message
from rookery.mqtt.encode import topic_to_wire
from rookery.records import Entry, Loaded

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub

DEPARTED_FACT: Final = "departed/"
"""By cell and number: the number, the epoch, and who has adopted it."""
NO_CELLS: Final[set[str]] = set()
NONE_HANDED: Final[set[tuple[str, int]]] = set()


class Departed:
    """The cells that are adopted, while anything is kept for them or others may not know."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.nodes: list[RemoteNode] = []
        """For whom something is kept."""
        self._gone: dict[str, int] = {}
        """By cell: the highest epoch in which anybody has adopted it."""
        self._handed: dict[str, set[tuple[str, int]]] = {}
        """By cell of ours whose log is not sealed yet: what came, by who kept it and by which number."""
        self._here: dict[str, int] = {}
        """By cell: the epoch in which we have adopted it."""
        self._adopters: dict[str, str] = {}
        """By cell: who adopted it last, as far as we were told."""
        self.switches = Switches(hub)

    def restore(self, loaded: Loaded) -> None:
        """Take up what our last process knew."""
        hub = self._hub
        self.switches.restore(loaded)
        for name, fact in loaded.facts.items():
            if name.startswith(DEPARTED_FACT):
                cell = name[len(DEPARTED_FACT) :].rpartition("/")[0]
                node = RemoteNode(hub, cell)
                node.departed = True
                node.epoch = u64_at(fact, 8)
                hub.know_number(node, u64_at(fact, 0))
                self.nodes.append(node)
                self._go_to(node, fact[16:].decode())
            elif name.startswith(ADOPTED):
                self._here[name.removeprefix(ADOPTED)] = epoch_of(fact)
                self._gone[name.removeprefix(ADOPTED)] = epoch_of(fact)
        for cell, epoch in self._here.items():
            present = hub.nodes.get(cell)
            if present is not None and present.epoch <= epoch:
                self.leave(present)  # The last process ended before it came to that.
            self._all_go_to(cell, epoch, hub.node_id)

    def is_gone(self, cell: str, epoch: int) -> bool:
        """Whether the sessions that a cell had in an epoch are with another node."""
        return epoch <= self._gone.get(cell, -1)

    def stand_in(self, cell: str, epoch: int, adopter: str) -> RemoteNode:
        """The node for which messages are kept that a cell should have had before it was adopted.

        ``adopter`` is who adopted it as far as somebody else knew.
        """
        hub = self._hub
        for node in self.nodes:
            if node.node_id == cell and node.epoch == epoch:
                return node
        node = RemoteNode(hub, cell)
        node.departed = True
        node.epoch = epoch
        hub.know_number(node, hub.broker.committer.new_session_number())
        self.nodes.append(node)
        name = self._adopters.get(cell, adopter)
        self._go_to(node, name)
        self._note(node, name)
        return node

    def leave(self, node: RemoteNode, adopter_known: bool = True) -> None:
        """A node's cell is, or must have been, adopted: nothing more is kept for it.

        Where nobody has said yet that the sessions are with it, what they ask for is kept on until somebody has.
        """
        hub = self._hub
        if hub.nodes.get(node.node_id) is node:
            del hub.nodes[node.node_id]
        node.departed = True
        facts = hub.broker.committer.group.facts
        facts[PEER_FACT + node.node_id] = None
        if adopter_known or not hub.not_synced():
            self._forget_routes(node)
        elif node.routes and not node.number:
            hub.know_number(node, hub.broker.committer.new_session_number())
        if node.number:
            self.nodes.append(node)
            self._note(node, "")

    def all_have_spoken(self) -> None:
        """Every member has told what it has: a cell that none has adopted is nowhere."""
        if not self._hub.not_synced():
            for node in self.nodes:
                self._forget_routes(node)

    def _forget_routes(self, node: RemoteNode) -> None:
        for key in list(node.routes):
            self._hub.routes.learn(node, key, 0)

    def adopted_here(self, cell: str, epoch: int) -> None:
        """We have adopted a cell: its sessions are reachable, and the others are told."""
        hub = self._hub
        self._here[cell] = epoch
        self._handed[cell] = set()
        self._adopt(cell, epoch, None)
        hub.routes.announce()  # Whoever keeps nothing for the cell any more must know where its sessions are.
        data = adopted_item(cell, epoch)
        for node in hub.nodes.values():
            if node.link is not None:
                node.asleep.add(cell)
                node.wait_for(node.put(data))
        hub.broker.request_turn()

    def adopted(self, cell: str, epoch: int, adopter: RemoteNode) -> None:
        """Another node has adopted a cell."""
        if cell != self._hub.node_id:
            self.switches.note(adopter.node_id, cell, epoch)
            self._adopt(cell, epoch, adopter)
        adopter.put(item(SWITCHED, topic_to_wire(cell)))

    def holding(self) -> bytes:
        """What we keep, or would keep, for others, as we tell it at the start of a link."""
        cells = [(node.node_id, node.epoch) for node in self._hub.nodes.values()]
        cells += [
            (node.node_id, node.epoch)
            for node in self.nodes
            if node.adopter is None and not node.adopted_here
        ]
        return holding_item(cells)

    def holds(self, node: RemoteNode, body: bytes) -> None:
        """A node says what it keeps for others."""
        while body:
            cell, body = text_of(body)
            if u64_at(body, 0) <= self._here.get(cell, -1):
                node.asleep.add(cell)
            body = body[8:]

    def tell(self, node: RemoteNode) -> None:
        """Tell a node which cells we have adopted, when it knows our routes."""
        for cell, epoch in self._here.items():
            if cell != node.node_id:
                node.put(adopted_item(cell, epoch))

    def handed(self, cell: str, origin: str, number: int, entry: Entry) -> int:
        """A message comes that was kept for a cell of ours; the commit group it is kept in."""
        mark = f"{cell}<{origin}"
        marks = self._hub.marks
        handed = self._handed.get(cell)
        if handed is not None:
            handed.add((origin, number))
        if not marks.is_new(mark, number):
            return marks.group_of(mark, number)
        self.deliver(cell, entry)
        return marks.note(mark, number)

    def was_handed(self, cell: str, entry: Entry) -> bool:
        """Whether a message that comes to light in the log of a cell of ours came to us from who kept it for that."""
        return (entry.origin, entry.number) in self._handed.get(cell, NONE_HANDED)

    def sealed(self, cell: str) -> None:
        """Nothing more can come to light in its log."""
        self._handed.pop(cell, None)

    def deliver(self, cell: str, entry: Entry) -> None:
        """Give a message to the sessions that came from a cell."""
        if entry.share:
            self._hub.broker.publishing.receive_from_peer(entry.message, entry.share, NO_CELLS)
        else:
            deliver_hint(self._hub.broker, cell, entry.message)

    def keep(self, cell: str, message: Message) -> int:
        """Keep a message for a cell of ours that has not got all that was kept before; the group it is in."""
        for node in self.nodes:
            if node.node_id == cell and node.adopted_here and not node.is_all_read():
                if node.last_kept is message:
                    return self._hub.broker.committer.number
                node.last_kept = message
                return node.keep(message, "")
        raise AssertionError("a cell that is behind has something to read")

    def note_behind(self) -> None:
        """Have messages published here kept for the cells of ours that must get others first."""
        behind = self._hub.broker.publishing.behind
        behind.clear()
        for node in self.nodes:
            if node.adopted_here and not node.is_all_read():
                behind.add(node.node_id)

    def let_go(self) -> None:
        """Forget the nodes for which nothing is kept any more."""
        self.note_behind()
        for node in list(self.nodes):
            if node.routes or not node.is_idle() or node.inflight_count():
                continue
            self.nodes.remove(node)
            self._hub.forget_number(node)
            group = self._hub.broker.committer.group
            group.facts[f"{DEPARTED_FACT}{node.node_id}/{node.number}"] = None
            group.sessions[node.number] = None

    def _adopt(self, cell: str, epoch: int, adopter: RemoteNode | None) -> None:
        hub = self._hub
        self._gone[cell] = max(epoch, self._gone.get(cell, 0))
        self._adopters[cell] = hub.node_id if adopter is None else adopter.node_id
        present = hub.nodes.get(cell)
        if present is not None and present.epoch <= epoch:
            if present.link is not None:
                present.down()
                hub.relays.link_down(present)
            self.leave(present)
        self._all_go_to(cell, epoch, self._adopters[cell])
        self.note_behind()
        if present is not None and present.departed:
            hub.claims.members_changed()
            hub.routes.let_go_on()
        hub.broker.request_turn()

    def _all_go_to(self, cell: str, epoch: int, adopter: str) -> None:
        for node in self.nodes:
            if node.node_id == cell and node.epoch <= epoch and not node.adopted_here:
                self._forget_routes(node)
                self._go_to(node, adopter)
                self._note(node, adopter)

    def _go_to(self, node: RemoteNode, adopter: str) -> None:
        hub = self._hub
        if adopter == hub.node_id:
            node.adopted_here = True
        elif adopter:
            node.adopter = hub.node(adopter)

    def _note(self, node: RemoteNode, adopter: str) -> None:
        fact = node.number.to_bytes(8, "big") + node.epoch.to_bytes(8, "big") + adopter.encode()
        facts = self._hub.broker.committer.group.facts
        facts[f"{DEPARTED_FACT}{node.node_id}/{node.number}"] = fact
