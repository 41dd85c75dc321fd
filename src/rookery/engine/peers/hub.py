"""All other nodes: what each is told this turn, what is waited for, and what came from them.

A turn's items for a peer leave as one frame. Turns with something that a client waits for are numbered; an
answer that carries such a number leaves when every peer has acknowledged what that turn, and all before
it, told it. ``Broker.forwarded`` is the last turn of which that is so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rookery.engine.committer import Waiter
from rookery.engine.peers.claims import Claims
from rookery.engine.peers.departed import Departed
from rookery.engine.peers.items import (
    ACK,
    CLIENTS,
    HEADER_BYTES,
    LIGHT,
    ack_item,
    item,
    item_end,
    u64_at,
)
from rookery.engine.peers.marks import Marks
from rookery.engine.peers.plain import LastItem
from rookery.engine.peers.receiving import Receiving
from rookery.engine.peers.relay import Relays
from rookery.engine.peers.remote_node import PEER_FACT, RemoteNode
from rookery.engine.peers.routes import Routes
from rookery.engine.peers.stamps import Stamps
from rookery.engine.peers.syncing import Syncing
from rookery.engine.stats import END_INTERNAL, END_SHUTDOWN
from rookery.message import Message
from rookery.mqtt.errors import PeerFault
from rookery.mqtt.types import ReasonCode
from rookery.ports import PeerEvents, PeerLink
from rookery.records import Loaded, encode_message
from rookery.session.backlog import BacklogWalk

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.client_link import ClientLink

NO_TARGETS: Final[tuple[int, ...]] = ()
CLIENTS_SECONDS: Final = 1.0
"""How often the number of clients is told, if it has changed."""
CLEARED_MAX: Final = 100_000
NOT_KEPT: Final = "another node could not be reached, and nothing could be kept for it"


class Incoming:
    """A frame that came, and how far it is worked off."""

    def __init__(self, node: RemoteNode, link: PeerLink, frame: bytes) -> None:
        self.node = node
        self.link = link
        self.frame = frame
        self.at: int = 0


class Hub(PeerEvents, Waiter):
    """The other nodes of this one's cluster."""

    def __init__(self, broker: Broker, node_id: str, epoch: int = 1) -> None:
        self.broker = broker
        self.node_id = node_id
        self.origin = f"{node_id}/{epoch}"
        """By what others know the messages that our log keeps for them: its positions begin anew with an epoch."""
        self.nodes: dict[str, RemoteNode] = {}
        self.number: int = 1
        """The turn that is open, among those that somebody waits for."""
        self.marks = Marks(broker)
        self.stamps = Stamps(broker.clock, node_id)
        self.routes = Routes(self)
        self.departed = Departed(self)
        self.syncing = Syncing(self)
        self.cleared: dict[str, int] = {}
        """By topic name: the stamp with which its retained message was cleared, for the last ones."""
        self.receiving = Receiving(self)
        self.claims = Claims(self)
        self.relays = Relays(self)
        self._members_known: bool = False
        self._numbers: dict[int, RemoteNode] = {}
        self._promised: bool = False
        self._clients_told: int = 0
        self._clients_told_at: float = 0.0
        self._waiters: dict[int, list[ClientLink]] = {}
        self.last_item = LastItem()
        self._incoming: deque[Incoming] = deque()
        self._entry_of: Message | None = None
        self._entry_share: str = ""
        self._entry: bytes = b""
        broker.router.changed = set()

    def node(self, node_id: str) -> RemoteNode:
        """The node of this name, known before or not."""
        node = self.nodes.get(node_id)
        if node is None:
            node = RemoteNode(self, node_id)
            self.nodes[node_id] = node
        return node

    def set_members(self, epochs: Mapping[str, int], joining: Collection[str] = ()) -> None:
        """Say whose sessions are their own: the nodes whose cells nobody has adopted, and their epochs.

        A node stops being a member when another has all its sessions, not before. Until this is
        called for the first time those that have a link are members. Those that are ``joining`` serve nobody yet.
        """
        self._members_known = True
        node_ids = {
            node_id
            for node_id, epoch in epochs.items()
            if not self.departed.is_gone(node_id, epoch)
        }
        for node_id in node_ids:
            if node_id != self.node_id:
                node = self.node(node_id)
                node.epoch = node.epoch or epochs[node_id]
        changed = False
        for node in self.nodes.values():
            member = node.node_id in node_ids
            changed |= node.member != member or node.joining != (node.node_id in joining)
            node.member = member
            node.joining = node.node_id in joining
        if changed:
            self.broker.read_clock()
            self.claims.members_changed()
            self.routes.let_go_on()
            self.departed.all_have_spoken()
        self.broker.request_turn()

    def number_of(self, node: RemoteNode) -> int:
        """The number under which our log keeps what a node is to get."""
        if node.number == 0:
            node.number = self.broker.committer.new_session_number()
            self._numbers[node.number] = node
            fact = node.number.to_bytes(8, "big") + node.epoch.to_bytes(8, "big")
            self.broker.committer.group.facts[PEER_FACT + node.node_id] = fact
        return node.number

    def forget_number(self, node: RemoteNode) -> None:
        """Nothing is kept for a node any more."""
        self._numbers.pop(node.number, None)

    def know_number(self, node: RemoteNode, number: int) -> None:
        """Our log keeps messages for a node under this number."""
        node.number = number
        self._numbers[number] = node
        self.broker.committer.never_give(number)

    def restore(self, loaded: Loaded) -> None:
        """Take up what our last process knew of the others; before the log is read."""
        for name, fact in loaded.facts.items():
            if name.startswith(PEER_FACT):
                node = self.node(name[len(PEER_FACT) :])
                node.epoch = u64_at(fact, 8)
                self.know_number(node, u64_at(fact, 0))
        self.departed.restore(loaded)
        for row in loaded.progress:
            kept_for = self._numbers.get(row.number)
            if kept_for is not None:
                kept_for.owed.start_at(row.cursor, row.done)
        self.marks.restore(loaded)

    def kept_for(self, number: int) -> RemoteNode | None:
        """The node that a target of a log entry stands for."""
        return self._numbers.get(number)

    def kept_positions(self) -> list[int]:
        """All entries of our log that are kept for other nodes."""
        found: list[int] = []
        for node in (*self.nodes.values(), *self.departed.nodes):
            backlog = node.owed.backlog
            found.extend(BacklogWalk(backlog).take(backlog.count))
            found.extend(node.owed.on_their_way())
        return found

    def entry_of(self, message: Message, share: str) -> bytes:
        """The message as it is told; made once for all nodes that it goes to."""
        if self._entry_of is not message or self._entry_share != share:
            self._entry = encode_message(
                message, self.broker.committer.wall_minus_monotonic, NO_TARGETS, share
            )
            self._entry_of = message
            self._entry_share = share
        return self._entry

    def note_cleared(self, topic: str, stamp: int) -> None:
        """Remember for a while that a retained message was cleared: an older one may still be on its way."""
        self.cleared.pop(topic, None)
        self.cleared[topic] = stamp
        if len(self.cleared) > CLEARED_MAX:
            del self.cleared[next(iter(self.cleared))]

    def ticket(self) -> int:
        """The turn that is open: somebody waits until all that it tells is acknowledged."""
        self._promised = True
        return self.number

    def wait(self, number: int, client: ClientLink) -> None:
        """Tell a link when all is acknowledged that turns up to this one told; once for each call."""
        self._promised = True
        waiters = self._waiters.get(number)
        if waiters is None:
            self._waiters[number] = [client]
        else:
            waiters.append(client)

    def note_acknowledged(self) -> None:
        """A peer has acknowledged something, or nobody waits for it any more."""
        reached = self.number - 1
        for node in (*self.nodes.values(), *self.departed.nodes):
            first = node.first_turn()
            if first:
                reached = min(reached, first - 1)
        broker = self.broker
        if reached <= broker.forwarded:
            return
        broker.forwarded = reached
        for number in [each for each in self._waiters if each <= reached]:
            for client in self._waiters.pop(number):
                client.let_go()
        broker.request_turn()

    def give_up_waiting(self) -> None:
        """What a node was told is neither acknowledged nor kept: whoever waits must send it again."""
        waiters = self._waiters
        self._waiters = {}
        for clients in waiters.values():
            for client in clients:
                client.disconnect(ReasonCode.UNSPECIFIED_ERROR, END_INTERNAL, NOT_KEPT)
        self.note_acknowledged()

    def peer_up(self, node_id: str, boot: str, link: PeerLink) -> None:
        """A link to a peer is open."""
        node = self.node(node_id)
        if node.link is not None:
            self.peer_down(node_id, "another link took its place")
        self.broker.read_clock()
        epoch = epoch_of(boot)
        adopted = node.epoch > 0 and epoch > node.epoch
        if adopted:
            self.departed.leave(node, adopter_known=False)
            node = self.node(node_id)
        node.epoch = epoch
        node.up(link)
        node.put(self.departed.holding())
        node.put(item(CLIENTS, self._clients_told.to_bytes(8, "big")))
        if not self._members_known:
            node.member = True
        self.claims.link_up(node)
        if adopted:
            self.claims.members_changed()
        self.routes.link_changed(node)
        self.syncing.begin(node)
        self.broker.request_turn()

    def peer_down(self, node_id: str, reason: str) -> None:
        """The link is gone."""
        node = self.nodes.get(node_id)
        if node is not None and node.link is not None:
            self.broker.read_clock()
            node.down()
            if not self._members_known:
                node.member = False
            self.relays.link_down(node)
            self.claims.link_down(node)
            for other in self.adopted_by(node):
                other.take_back_kept()
            self.receiving.link_lost(node)
            self.broker.request_turn()

    def peer_frames(self, node_id: str, frames: Sequence[bytes]) -> None:
        """Frames came: they are worked off in turns."""
        node = self.nodes.get(node_id)
        link = None if node is None else node.link
        if node is None or link is None:
            return
        for frame in frames:
            self._incoming.append(Incoming(node, link, frame))
        self.broker.request_turn()

    def drain(self, reason_code: ReasonCode) -> None:
        """Send the clients away that no session here has: the node is shutting down."""
        self.claims.drain()
        self.relays.send_away(self.relays.count, reason_code, END_SHUTDOWN)

    def adopted_by(self, node: RemoteNode) -> list[RemoteNode]:
        """The nodes whose cells this one has adopted, while anything is kept for them."""
        return [each for each in self.departed.nodes if each.adopter is node]

    def begin_turn(self) -> None:
        """Work off what came, as far as this turn has room."""
        self.relays.begin_turn()
        incoming = self._incoming
        broker = self.broker
        while incoming and not broker.turn_is_full():
            each = incoming[0]
            # Of a link that is gone nothing was acknowledged: it comes again.
            if each.node.refuses or each.node.link is not each.link or self._work_off(each):
                incoming.popleft()
        if incoming:
            broker.request_turn()
        self.syncing.go_on()

    def _work_off(self, incoming: Incoming) -> bool:
        """Take the items of a frame, as far as the turn has room; whether none is left."""
        node, frame = incoming.node, incoming.frame
        size = len(frame)
        broker = self.broker
        last_head = self.receiving.last_head
        try:
            while incoming.at < size:
                if broker.turn_is_full():
                    return False
                at = incoming.at
                message = last_head.message(frame, at)
                if message is not None:
                    incoming.at = last_head.end
                    node.received += 1
                    self._taken(node, last_head.kind, self.receiving.publish(node, message))
                else:
                    incoming.at = item_end(frame, at)
                    self._take(node, frame, at, incoming.at)
                if node.link is not incoming.link:
                    return True
        except (PeerFault, IndexError) as fault:
            node.refuse(f"an item makes no sense: {fault}")
            return True
        return True

    def _take(self, node: RemoteNode, frame: bytes, at: int, end: int) -> None:
        kind = frame[at + 4]
        if kind == ACK:
            node.acknowledge(u64_at(frame, at + HEADER_BYTES))
            return
        node.received += 1
        self._taken(node, kind, self.receiving.take(node, kind, frame, at + HEADER_BYTES, end))

    def _taken(self, node: RemoteNode, kind: int, group: int) -> None:
        """Note up to where we are done with what a node told, or what that waits for."""
        if kind != LIGHT:
            node.asks = True
        if group <= self.broker.committer.durable:
            if not node.unfinished:
                node.finished = node.received
                return
            group = node.unfinished[-1][1]
        if node.unfinished and node.unfinished[-1][1] == group:
            node.unfinished[-1] = (node.received, group)
            return
        node.unfinished.append((node.received, group))
        self.broker.committer.wait(group, self)

    def end_turn(self) -> None:
        """Tell every peer what this turn has for it, and what of its own is done."""
        self.claims.end_turn()
        self.relays.end_turn()
        if self.broker.now >= self._clients_told_at + CLIENTS_SECONDS:
            self._tell_clients()
        self.routes.announce()
        for node in (*self.nodes.values(), *self.departed.nodes):
            if node.owed.backlog.count:
                node.pump()
        if self.departed.nodes:
            self.departed.let_go()
        for node in self.nodes.values():
            link = node.link
            if link is None or node.refuses:
                continue
            self._acknowledge(node)
            if node.outbox:
                link.send(b"".join(node.outbox))
                node.outbox.clear()
                node.outbox_bytes = 0
            node.unsent_bytes = link.unsent_bytes
        self._entry_of = None
        self.last_item.forget()
        if self._promised:
            self._promised = False
            self.number += 1
            self.note_acknowledged()

    def _acknowledge(self, node: RemoteNode) -> None:
        durable = self.broker.committer.durable
        unfinished = node.unfinished
        while unfinished and unfinished[0][1] <= durable:
            node.finished = unfinished.popleft()[0]
        if node.asks and node.finished > node.acknowledged:
            node.acknowledged = node.finished
            node.asks = node.finished < node.received
            node.outbox.append(ack_item(node.finished))

    def committed(self, group: int, error: Exception | None) -> None:
        """What peers told is durable and can be acknowledged; or it could not be kept."""
        if error is not None:
            for node in list(self.nodes.values()):
                if any(each == group for _, each in node.unfinished):
                    node.refuse("what was told could not be made durable")
        self.broker.request_turn()

    def room(self) -> None:
        """Nothing here waits for room."""

    def look(self) -> None:
        """See whether somebody leaves messages unacknowledged; called a few times a second."""
        broker = self.broker
        broker.read_clock()
        for node in self.nodes.values():
            node.look(broker.now)

    def is_linked(self, node_id: str) -> bool:
        """Whether there is a link to a node."""
        node = self.nodes.get(node_id)
        return node is not None and node.link is not None

    def not_synced(self) -> list[str]:
        """The members that have not told all that their sessions ask for."""
        return sorted(
            [name for name, node in self.nodes.items() if node.member and not node.synced]
        )

    def clients_here(self) -> int:
        """How many clients are connected to this node, their sessions here or elsewhere."""
        # A relay whose session has let go of it counts as long as the other node is not told.
        return max(0, self.broker.registry.attached + self.relays.more_connected())

    def clients_elsewhere(self, node_ids: Collection[str]) -> list[int]:
        """How many clients are connected to each of these nodes, as far as there is a link to it."""
        return [
            node.clients
            for node in self.nodes.values()
            if node.link is not None and node.node_id in node_ids
        ]

    def _tell_clients(self) -> None:
        self._clients_told_at = self.broker.now
        clients = self.clients_here()
        if clients == self._clients_told:
            return
        self._clients_told = clients
        data = item(CLIENTS, clients.to_bytes(8, "big"))
        for node in self.nodes.values():
            if node.link is not None:
                node.put(data)

    def waiting_items(self) -> int:
        """How many items peers have not acknowledged."""
        return sum([node.waiting_items() for node in self.nodes.values()])


def epoch_of(boot: str) -> int:
    """The epoch of a cell that a node's boot name begins with: ``3-9f2c``; 1 where it names none."""
    epoch = boot.partition("-")[0]
    return int(epoch) if epoch.isdecimal() else 1
