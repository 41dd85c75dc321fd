"""Another node as a subscriber: what the router finds there goes to it once, in the order of publication.

Three ways lead to it. A message that only present clients want is told at once, and is done when the node has
acknowledged it. One that a durable session there is owed is told in the same way; while that is not possible (the link
is down, or it was and what was kept then is not through yet), and always with QoS 2, it is kept in our own log
first, and told when it is durable: so it reaches the node, or whoever adopts its cell, whatever happens to any one
of us, and the receiver knows it by its number if it comes twice. QoS 0 that finds no link is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rookery.engine.committer import ProgressSource, Waiter
from rookery.engine.peers.items import (
    ASLEEP,
    HEADER_BYTES,
    LIGHT,
    PUBLISH,
    SWITCHED,
    handed_item,
    item,
    kept_item,
)
from rookery.engine.peers.plain import is_plain
from rookery.engine.stats import DROP_PEER_DOWN, DROP_PEER_SLOW
from rookery.message import Delivery, Message
from rookery.mqtt.encode import topic_to_wire
from rookery.ports import PeerLink
from rookery.records import Entry, ProgressRow, decode_message, encode_message
from rookery.routing.subscriber import Recipient, Subscriber
from rookery.session.owed import Owed

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub

READ_AT_A_TIME: Final = 256
SLOW_SECONDS: Final = 0.6
"""How long it may leave messages unacknowledged before we keep them, and their publishers wait for it no longer."""
OUTPUT_BYTES_MAX: Final = 16_777_216
"""What may wait for a peer before QoS 0 is dropped."""
PEER_FACT: Final = "peer/"
"""By the name of a node: the number under which our log keeps what it is to get, and its epoch."""
NO_TARGETS: Final[tuple[int, ...]] = ()


class Told:
    """A message that was told and is not acknowledged."""

    def __init__(self, number: int, data: bytes, durable: bool, turn: int) -> None:
        self.number = number
        """The number of its item on the link."""
        self.data = data
        """The item."""
        self.durable = durable
        """Whether it is kept if the link goes down before the acknowledgement."""
        self.turn = turn
        """The turn that waits for it; 0 where none does."""


class RemoteNode(Subscriber, Waiter, ProgressSource):
    """One other node."""

    def __init__(self, hub: Hub, node_id: str) -> None:
        super().__init__(node_id)
        self.remote = True
        self.hub = hub
        self.node_id = node_id
        self.epoch: int = 0
        """That of its cell; a node whose cell was adopted comes back with a higher one."""
        self.link: PeerLink | None = None
        self.refuses: bool = False
        """Whether we end the link: nothing that came by it and is not done yet must seem to be."""
        self.joining: bool = False
        """Whether it serves nobody yet: it will be told all before it does."""
        self.member: bool = False
        """Whether it may have sessions that nobody has adopted."""
        self.synced: bool = False
        """Whether the link has told all routes and retained messages of the other."""
        self.told_all: bool = False
        """Whether it was told all of ours, if perhaps not acknowledged."""
        self.routes: dict[str, int] = {}
        """By filter, with its share prefix: the value it was told."""
        self.outbox: list[bytes] = []
        """The items of this turn."""
        self.outbox_bytes: int = 0
        self.sent: int = 0
        """How many items were told on this link."""
        self.done: int = 0
        """Up to which of them it has acknowledged."""
        self.received: int = 0
        """How many items it told us on this link."""
        self.outstanding: list[tuple[int, int]] = []
        """Item and turn: what is waited for and is no message."""
        self.unfinished: deque[tuple[int, int]] = deque()
        """Item of its and commit group: what is not done yet, with what came behind it."""
        self.finished: int = 0
        """Up to which of its items we are done."""
        self.asks: bool = False
        """Whether it waits for an acknowledgement of ours."""
        self.unsent_bytes: int = 0
        """What waited to be sent to it at the end of the last turn."""
        self.acknowledged: int = 0
        """Up to which of its items we have told it that we are done."""
        self.owed = Owed(0)
        """The kept messages: positions in our log."""
        self.departed: bool = False
        """Whether its cell is, or is being, adopted: it gets nothing any more."""
        self.adopter: RemoteNode | None = None
        """Who has adopted its cell and gets what is kept for it; ``None`` is not known, or ourselves."""
        self.adopted_here: bool = False
        self.clients: int = 0
        """How many clients it has, as it last said."""
        self.asleep: set[str] = set()
        """Cells we have adopted of which it keeps messages itself: what it tells is not for their sessions."""
        self._told: list[Told] = []
        self._told_turn: int = 0
        """The first turn that waits for one of them; 0 where none does."""
        self._kept_told: deque[tuple[int, int]] = deque()
        """Item and position of kept messages told and not acknowledged."""
        self._fresh: deque[tuple[int, int, bytes]] = deque()
        """Group, position and entry of what is kept and not durable yet, while the link is up."""
        self._untold: int = 0
        """How many kept messages with QoS 1 are still to be told, at most: others with QoS 1 wait for them.

        Those for share groups, which have no order, do not count: one may be kept while others are told directly.
        """
        self.last_kept: Message | None = None
        """What was kept last for the sessions of a cell of ours."""
        self._asked: list[int] = []
        """The positions whose entries are being read."""
        self._taken: deque[tuple[int, int]] = deque()
        """Group and position of kept messages that our own sessions have got, and not durably yet."""
        self.slow: bool = False
        """Whether it has left messages unacknowledged for a while, as one that is cut off does, or stands still, or
        cannot commit: until it has caught up, what its durable sessions are owed is kept first."""
        self._slow_until: int = 0
        """The item of which it has caught up when it has acknowledged it."""
        self._heard_at: float = 0.0
        """When it acknowledged something last, or the first message was told that it has not."""
        self._barrier: int = 0
        """The group whose durability stands in for acknowledgements that did not come."""
        self._barrier_turn: int = 0
        """The first turn that waits for that."""

    def tell(self, delivery: Delivery) -> None:
        """Not used: what goes to another node needs to know more than a delivery says."""
        raise NotImplementedError

    def inflight_count(self) -> int:
        """What it has not acknowledged."""
        return len(self._told) + self.owed.backlog.count

    def waiting_items(self) -> int:
        """How much that it was told, and that matters, it has not acknowledged."""
        return len(self._told) + len(self.outstanding)

    def first_turn(self) -> int:
        """The first turn that something is waited for from; 0 where nothing is."""
        first = earlier(self._told_turn, self._barrier_turn)
        return earlier(first, self.outstanding[0][1]) if self.outstanding else first

    def is_idle(self) -> bool:
        """Whether nothing that is kept for it is on its way."""
        return not (
            self._fresh or self._kept_told or self._taken or self.owed.reading or self._barrier_turn
        )

    def is_direct(self) -> bool:
        """Whether a message with QoS 1 may be told at once: nothing kept must go before it.

        What is kept with QoS 2 has an order of its own. If it held these up, they would be kept as well, before
        earlier ones that are told and not acknowledged: those are kept when the link goes down, and come out last.
        """
        if self.link is None or self.slow or self._untold:
            return False
        return not self._has_cells_first()

    def is_all_read(self) -> bool:
        """Whether nothing that was kept is still to be read and told."""
        return not self.owed.backlog.count and not self.owed.reading

    def _has_cells_first(self) -> bool:
        """Whether the sessions of a cell that it adopted must first get what was kept for them."""
        return any(not cell.is_all_read() for cell in self.hub.adopted_by(self))

    def forward(self, message: Message, qos: int, durable: bool, share: str) -> int:
        """Have the node get a message.

        ``qos`` is the highest level anybody there gets it at, ``durable`` whether a durable session is
        among them. Returns the commit group it is kept in; 0 when it is told instead, or dropped.
        """
        hub = self.hub
        stats = hub.broker.stats
        if qos and durable and (message.qos == 2 or not self.is_direct()):
            return self.keep(message, share)
        if self.link is None:
            stats.drop(DROP_PEER_DOWN)
            return 0
        if qos == 0 and self.unsent_bytes + self.outbox_bytes > OUTPUT_BYTES_MAX:
            stats.drop(DROP_PEER_SLOW)
            return 0
        kind = PUBLISH if qos else LIGHT
        if is_plain(message, share):
            data = hub.last_item.of(kind, message)
        else:
            data = item(kind, hub.entry_of(message, share))
        number = self.put(data)
        stats.messages_forwarded += 1
        if qos:
            if not self._told:
                self._heard_at = hub.broker.now
            turn = 0 if self.slow else hub.ticket()
            self._told.append(Told(number, data, durable and message.qos < 2, turn))
            if not self._told_turn:
                self._told_turn = turn
        return 0

    def put(self, data: bytes) -> int:
        """Tell the node an item at the end of this turn; its number on the link."""
        self.outbox.append(data)
        self.outbox_bytes += len(data)
        self.sent += 1
        return self.sent

    def wait_for(self, number: int) -> None:
        """What ends in this turn waits until the node has acknowledged an item."""
        self.outstanding.append((number, self.hub.ticket()))

    def keep(self, message: Message, share: str) -> int:
        """Put a message into our log for the node alone."""
        committer = self.hub.broker.committer
        self.hub.broker.stats.messages_kept_for_peers += 1
        target = self.hub.number_of(self)
        kept_at = committer.now if committer.dates else None
        # By a number of our own, though another node may have kept it for us.
        data = encode_message(message, committer.wall_minus_monotonic, (target,), share, kept_at)
        return self._kept(committer.append_entry(data), message, share)

    def keep_from(self, entry: Entry, origin: str, number: int) -> int:
        """Keep what another node, which is no more, kept for this one; the bytes that takes.

        It was told there as that node's ``number``-th perhaps, so it is still known by that.
        """
        committer = self.hub.broker.committer
        target = self.hub.number_of(self)
        data = encode_message(
            entry.message,
            committer.wall_minus_monotonic,
            (target,),
            entry.share,
            entry.kept_at,
            b"",
            origin,
            number,
        )
        self._kept(committer.append_entry(data), entry.message, entry.share)
        return len(data)

    def _kept(self, position: int, message: Message, share: str) -> int:
        committer = self.hub.broker.committer
        committer.refer(position, 1)
        group = committer.must_keep()
        owed = self.owed
        if message.qos < 2 and not share:
            self._untold += 1
        if self.link is not None and self.is_all_read() and not self._has_cells_first():
            entry = committer.group.entries[len(committer.group.entries) - 1]
            self._fresh.append((group, position, entry))
            owed.take_out(position)
            committer.wait(group, self)
        else:
            owed.backlog.append(position, message.qos)
        committer.touch(self)
        return group

    def restore(self, position: int, qos: int) -> bool:
        """Our log holds a message for it that was not done with when our last process ended."""
        if self.owed.was_finished(position):
            return False
        self.owed.backlog.append(position, qos)
        if qos < 2:
            self._untold += 1
        return True

    def committed(self, group: int, error: Exception | None) -> None:
        """What was kept is durable, and may be told; or it was never taken."""
        if group == self._barrier and error is None:
            self._barrier = self._barrier_turn = 0
            self.hub.note_acknowledged()
        fresh = self._fresh
        while fresh and fresh[0][0] <= group:
            _, position, entry = fresh.popleft()
            if error is not None:
                self.finish(position)
            else:
                self._tell_kept(position, entry)
        self._taken_with(group, error)
        self._look_for_untold()
        if error is not None and self._barrier:
            # Nothing can be kept, so nobody can be told that it is: their links end.
            self._barrier = self._barrier_turn = 0
            self.hub.give_up_waiting()
        self.hub.broker.request_turn()

    def _taken_with(self, group: int, error: Exception | None) -> None:
        """Our own sessions have what was kept for a cell of ours; or it could not be kept for them."""
        again: list[int] = []
        taken = self._taken
        while taken and taken[0][0] <= group:
            position = taken.popleft()[1]
            if error is None:
                self.finish(position)
            else:
                again.append(position)
        if again:
            self._take_back(again)

    def room(self) -> None:
        """Nothing here waits for room."""

    def pump(self) -> None:
        """Read on what is kept and tell it."""
        owed = self.owed
        if owed.reading or not owed.backlog.count or self._fresh:
            return
        if self._way() is None and not self.adopted_here:
            return
        if len(self._kept_told) >= READ_AT_A_TIME or self._has_cells_first():
            return
        committer = self.hub.broker.committer
        taken = owed.backlog.take(READ_AT_A_TIME, committer.readable_end())
        if not taken:
            if self.adopted_here:
                self._take_last()
            return
        positions = [position for position, _ in taken]
        for position in positions:
            owed.take_out(position)
        owed.reading = True
        self._asked = positions
        self.hub.broker.store.read(positions, lambda entries: self._read(positions, entries))

    def _take_last(self) -> None:
        """What is not durable yet our own sessions get with the group it is in, and nothing is left."""
        owed = self.owed
        committer = self.hub.broker.committer
        for position, _ in owed.backlog.take(owed.backlog.count, owed.backlog.last() + 1):
            owed.take_out(position)
            entry = committer.entry_at(position)
            if entry is None:
                self.finish(position)
            else:
                self._tell_kept(position, entry)

    def _way(self) -> PeerLink | None:
        """The link by which it is told what is kept for it."""
        if self.departed:
            return None if self.adopter is None else self.adopter.link
        return self.link

    def _read(self, positions: list[int], entries: Sequence[bytes | None]) -> None:
        if self._asked is not positions:
            return  # They were taken back meanwhile.
        self._asked = []
        self.owed.reading = False
        for position, entry in zip(positions, entries, strict=True):
            if entry is None:
                self.finish(position)
            else:
                self._tell_kept(position, entry)
        self._look_for_untold()
        if self.adopted_here:
            self.hub.departed.note_behind()  # In the turn that comes nothing may be kept for who has read all.
        self.hub.broker.request_turn()

    def _look_for_untold(self) -> None:
        """What was given up, or taken back with others, was not counted off: with nothing left nothing is untold."""
        owed = self.owed
        if not owed.backlog.count and not owed.reading and not self._fresh:
            self._untold = 0

    def _tell_kept(self, position: int, data: bytes) -> None:
        """Tell a kept message; the receiver knows by origin and number whether it had it before."""
        broker = self.hub.broker
        entry = decode_message(data, broker.committer.wall_minus_monotonic)
        origin = entry.origin or self.hub.origin
        number = entry.number or position
        if entry.message.qos < 2 and not entry.share and self._untold:
            self._untold -= 1
        if self.adopted_here:
            # What it was told while it lived is among what its sessions brought with them.
            group = self.hub.departed.handed(self.node_id, origin, number, entry)
            if group > broker.committer.durable:
                self._taken.append((group, position))
                broker.committer.wait(group, self)
            else:
                self.finish(position)
            return
        plain = encode_message(
            entry.message, broker.committer.wall_minus_monotonic, NO_TARGETS, entry.share
        )
        broker.stats.messages_forwarded += 1
        if self.adopter is None:
            told = self._put_kept(position, kept_item(origin, number, plain))
        else:
            told = self.adopter.put(handed_item(self.node_id, origin, number, plain))
        self._kept_told.append((told, position))
        self._told_until = position

    def _put_kept(self, position: int, data: bytes) -> int:
        """Tell it a kept message as what it was when it was kept; its number."""
        cells = self.hub.departed.switches.apart(self.node_id, position)
        for cell in cells:
            self.put(item(ASLEEP, topic_to_wire(cell)))
        told = self.put(data)
        for cell in cells:
            self.put(item(SWITCHED, topic_to_wire(cell)))
        return told

    def finish(self, position: int) -> None:
        """The node has a kept message, or never will."""
        committer = self.hub.broker.committer
        self.owed.finish(position)
        committer.release(position)
        committer.touch(self)

    def progress_row(self) -> ProgressRow | None:
        """How far it has come with what is kept for it."""
        if self.number == 0:
            return None
        cursor = self.owed.cursor()
        return ProgressRow(self.number, cursor, self.owed.sent, self.owed.finished_beyond(cursor))

    def acknowledge(self, number: int) -> None:
        """It is done with all our items up to this one."""
        self.done = number
        self._heard_at = self.hub.broker.now
        if self.slow and number >= self._slow_until:
            self.slow = False
        # Lists: compiled code reads them many times faster than other sequences.
        told = self._told
        count = 0
        while count < len(told) and told[count].number <= number:
            count += 1
        del told[:count]
        count = 0
        while count < len(told) and not told[count].turn:
            count += 1
        self._told_turn = told[count].turn if count < len(told) else 0
        self.finish_told(number)
        for other in self.hub.adopted_by(self):
            other.finish_told(number)
        waiting = self.outstanding
        count = 0
        while count < len(waiting) and waiting[count][0] <= number:
            count += 1
        del waiting[:count]
        self.hub.note_acknowledged()
        self.pump()

    def look(self, now: float) -> None:
        """Keep what it leaves unacknowledged for too long; it may get that twice."""
        if self.link is None or not self._told or now < self._heard_at + SLOW_SECONDS:
            return
        self.slow = True
        self._slow_until = self.sent
        self._keep_told(self._told_turn)

    def finish_told(self, number: int) -> None:
        """Kept messages told with items up to this one have arrived."""
        kept = self._kept_told
        while kept and kept[0][0] <= number:
            self.finish(kept.popleft()[1])

    def refuse(self, reason: str) -> None:
        """End the link, as something that it brought was not taken: all from there on must come again."""
        if self.link is not None and not self.refuses:
            self.refuses = True
            self.link.close(reason)

    def up(self, link: PeerLink) -> None:
        """A link is open: numbers begin anew, and what is kept goes out."""
        self.link = link
        self.refuses = False
        self.attached = True
        self.synced = False
        self.told_all = False
        self.asleep.clear()
        self.sent = self.done = self.received = self.acknowledged = self.finished = 0
        self.asks = False
        self.outbox.clear()
        self.outbox_bytes = 0
        self.unfinished.clear()

    def down(self) -> None:
        """The link is gone: keep what durable sessions there are owed and have perhaps not got."""
        self.link = None
        self.attached = False
        self.synced = False
        self.told_all = False
        self.outbox.clear()
        self.outbox_bytes = 0
        self.unfinished.clear()
        self.slow = False
        self.take_back_kept()
        first = self._told_turn
        if self.outstanding:
            first = earlier(first, self.outstanding[0][1])
        self.outstanding.clear()
        self._keep_told(first)

    def _keep_told(self, first: int) -> None:
        """Keep what its durable sessions are owed of what was told; the turns from ``first`` on wait for that."""
        broker = self.hub.broker
        told, self._told = self._told, []
        self._told_turn = 0
        group = 0
        for each in told:
            if each.durable:
                entry = decode_message(
                    each.data[HEADER_BYTES:], broker.committer.wall_minus_monotonic
                )
                group = self.keep(entry.message, entry.share)
        if group and first:
            self._barrier = group
            if not self._barrier_turn:
                self._barrier_turn = first
            broker.committer.wait(group, self)
            broker.request_turn()
        self.hub.note_acknowledged()

    def take_back_kept(self) -> None:
        """Kept messages that were on their way are still to be told."""
        positions = [position for _, position in self._kept_told]
        positions.extend([position for _, position, _ in self._fresh])
        positions.extend(self._asked)
        self._kept_told.clear()
        self._fresh.clear()
        self._asked = []
        self._take_back(positions)

    def _take_back(self, positions: list[int]) -> None:
        if not positions:
            return
        owed = self.owed
        cursor = owed.cursor()
        finished = owed.finished_beyond(cursor)
        for position, _ in owed.backlog.take(owed.backlog.count, owed.backlog.last() + 1):
            positions.append(position)
        self.owed = Owed(0)
        self.owed.start_at(cursor, finished)
        for position in sorted(positions):
            self.owed.backlog.append(position, 1)
        self._untold = self.owed.backlog.count


class RemoteMember(Subscriber):
    """One of another node's members of a share group; which one is that node's to choose."""

    def __init__(self, node: RemoteNode, attached: bool) -> None:
        super().__init__(node.node_id)
        self.remote = True
        self.node = node
        self.attached = attached

    def tell(self, delivery: Delivery) -> None:
        """Not used: the node is told."""
        raise NotImplementedError

    def inflight_count(self) -> int:
        """What its node has not acknowledged."""
        return self.node.inflight_count()


def earlier(turn: int, other: int) -> int:
    """The lower of two turns, of which 0 is none."""
    if not turn or not other:
        return turn or other
    return min(turn, other)


def is_durable(recipient: Recipient) -> bool:
    """Whether a durable session is among those that a remote recipient stands for."""
    return len(recipient.identifiers) > 0
