"""Takes the rows and the log of another node's cell into this node's own store, as sessions nobody can reach.

Numbers and positions of the other cell mean nothing here. Each session gets a new number, and its rows are written
anew. The other log is read once, in order, and matched against the other cell's subscriptions as its own recovery
would. What somebody is still owed is put into our log, in the same order, and there it names whom it is owed to:
our other sessions had their copy when it was published. It is written with the QoS that it is owed with, so that no
subscription which began later, there or here, raises that on our next recovery.

Retained messages are taken over at once, unless this node has a later one: they belong to all nodes.
All else is provisional: facts name the sessions, and a recovery that finds them removes these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from rookery.engine.peers.bequests import Bequests
from rookery.engine.peers.facts import Inheritance, adopting_fact
from rookery.engine.peers.heirs import lowered_to
from rookery.engine.peers.slices import Slices
from rookery.engine.peers.stamps import stamp_before_all
from rookery.engine.publishing import NO_TARGETS, NOBODY
from rookery.engine.recovery import (
    decoded,
    principal_of,
    qos_max_of,
    recipient_for,
    subscription_of,
    take_row,
    take_subscription,
)
from rookery.engine.session_actor import SessionActor
from rookery.engine.stats import DROP_QUEUE_FULL
from rookery.message import NO_IDENTIFIERS, Delivery, Message
from rookery.records import (
    Entry,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
    encode_message,
    pack_numbers,
    position_of,
    unpack_numbers,
)
from rookery.routing.router import Router
from rookery.routing.subscriber import Recipient

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

ReadBlocks = Callable[[Sequence[int]], Awaitable[Sequence[Sequence[bytes | None]]]]

BLOCKS_AT_A_TIME: Final = 16
SESSIONS_PER_FACT: Final = 200
SESSION_WORK: Final = 5
"""What a session costs, in steps of a slice."""
ENTRY_WORK: Final = 4
EVERYTHING: Final = 1 << 62
"""Higher than any position."""


class Imported:
    """A session of the other cell on its way into ours."""

    def __init__(self, actor: SessionActor, foreign: int, resend_until: int) -> None:
        self.actor = actor
        self.foreign = foreign
        """Its number there; all positions here are those of the other log as well."""
        self.began: int = 0
        """Where the last of its own subscriptions began."""
        self.resend_until = resend_until
        """Up to here its client may have been sent what it has not acknowledged."""
        self._cursor: int = 0
        self._done: frozenset[int] = frozenset()

    def start_at(self, row: ProgressRow) -> None:
        """How far it had come."""
        self._cursor = row.cursor
        self._done = frozenset(row.done)
        self.resend_until = max(self.resend_until, row.sent)

    def was_finished(self, position: int) -> bool:
        """Whether it was done with an entry."""
        return position < self._cursor or position in self._done


class Due:
    """That a session is owed an entry, and how."""

    def __init__(
        self, imported: Imported, qos: int, entry_qos: int, retain: bool, share: str
    ) -> None:
        self.imported = imported
        self.qos = qos
        self.entry_qos = entry_qos
        """The QoS it is written with: that which it is owed with, whatever its subscriptions become."""
        self.retain = retain
        self.share = share
        self.row: OutboundRow | None = None
        """Says that it is under way with QoS 2 already."""


class Importer:
    """Imports one cell; ``give_up`` takes back what it did."""

    def __init__(
        self,
        broker: Broker,
        cell: str,
        loaded: Loaded,
        read_blocks: ReadBlocks,
        slices: Slices,
        bequests: Bequests | None,
    ) -> None:
        self.sessions: list[SessionActor] = []
        self.subscriptions: int = 0
        self.messages: int = 0
        """Entries of the other log that were put into ours."""
        self.deliveries: int = 0
        """How often one of them is owed to a session."""
        self.retained: int = 0
        self.wills: int = 0
        self.damaged: int = 0
        """Entries of the other log that could not be read."""
        self.parts: dict[str, bytes] = {}
        """The facts that name the sessions."""
        self._broker = broker
        self._committer = broker.committer
        self._cell = cell
        self._loaded = loaded
        self._read_blocks = read_blocks
        self._slices = slices
        self._bequests = bequests
        self._inheritance = Inheritance(loaded.facts, EVERYTHING)
        self._start: int = broker.committer.end()
        """Where in our log the import began: all it brings lies from here on."""
        self._router = Router()
        """The other cell's subscriptions."""
        self._by_foreign: dict[int, Imported] = {}
        self._by_number: dict[int, Imported] = {}
        self._outbound: dict[int, dict[int, OutboundRow]] = {}
        """By position and session: QoS 2 deliveries under way."""
        self._apart: dict[int, list[OutboundRow]] = {}
        """The same, of retained messages that subscriptions brought."""
        self._retained: set[int] = {position for _, position in loaded.retained}
        self._unowed_position: int = 0
        self._unowed: int = 0
        """How many that are counted for this position of ours are not told yet."""

    async def run(self) -> None:
        """Import everything. Raises ``CommitFailed``, and whatever reading the other log raises."""
        await self._sessions()
        await self._rows()
        loaded = self._loaded
        for start in range(0, len(loaded.blocks), BLOCKS_AT_A_TIME):
            blocks = loaded.blocks[start : start + BLOCKS_AT_A_TIME]
            for block, entries in zip(blocks, await self._read_blocks(blocks), strict=True):
                await self._block(block, entries)
        await self._finish()

    async def give_up(self) -> None:
        """Remove all that is provisional."""
        committer = self._committer
        for _ in range(self._unowed):
            committer.release(self._unowed_position)
        for actor in self.sessions:
            outbound = actor.session.outbound
            actor.ended = True
            actor.durable = False
            if outbound.owed is not None:
                for position in (*outbound.owed.outstanding(), *outbound.apart()):
                    committer.release(position)
            committer.group.sessions[actor.number] = None
            if self._slices.spend(SESSION_WORK):
                await self._slices.rest()

    async def _sessions(self) -> None:
        left = self._inheritance.left_behind(self._loaded.sessions)
        rows = [row for row in self._loaded.sessions if row.number not in left]
        for start in range(0, len(rows), SESSIONS_PER_FACT):
            numbers = [self._session(row) for row in rows[start : start + SESSIONS_PER_FACT]]
            name = adopting_fact(self._cell, len(self.parts))
            self.parts[name] = pack_numbers(numbers)
            self._committer.group.facts[name] = self.parts[name]
            self._slices.note(0)
            await self._slices.pause()

    def _session(self, row: SessionRow) -> int:
        actor = self._broker.registry.unreachable(row.client_id, principal_of(row))
        actor.number = self._committer.new_session_number()
        actor.adopted_from = self._cell
        take_row(actor, row, self._loaded.alive_at_wall)
        if actor.session.will is not None:
            self.wills += 1
        actor.keep()
        # Anything it is owed may have been sent while it had a link: what was is not kept before it leaves.
        resend_until = EVERYTHING if row.detached_at_wall is None else 0
        imported = Imported(actor, row.number, resend_until)
        self._by_foreign[row.number] = imported
        self._by_number[actor.number] = imported
        self.sessions.append(actor)
        return actor.number

    async def _rows(self) -> None:
        loaded = self._loaded
        for subscription in loaded.subscriptions:
            self._subscription(subscription)
            if self._slices.spend(2):
                await self._slices.pause()
        for progress in loaded.progress:
            if progress.number in self._by_foreign:
                self._by_foreign[progress.number].start_at(progress)
            if self._slices.spend(1):
                await self._slices.pause()
        for foreign, packet_id in loaded.inbound:
            if foreign in self._by_foreign:
                actor = self._by_foreign[foreign].actor
                actor.session.inbound.hold(packet_id)
                self._committer.group.inbound[actor.number, packet_id] = True
                self._slices.note(0)
            if self._slices.spend(1):
                await self._slices.pause()
        for outbound in loaded.outbound:
            self._begun_before(outbound)
            if self._slices.spend(1):
                await self._slices.pause()

    def _subscription(self, row: SubscriptionRow) -> None:
        imported = self._by_foreign.get(row.number)
        if imported is None:
            return
        actor = imported.actor
        granted = take_subscription(actor, row)
        if granted.share is None:
            granted.began = max(granted.began, self._inheritance.began.get(row.number, 0))
        imported.began = max(imported.began, granted.began)
        self._router.subscribe(actor, subscription_of(granted), granted.share)
        self._committer.group.subscriptions[actor.number, row.topic_filter] = SubscriptionRow(
            actor.number,
            row.topic_filter,
            row.qos_max,
            row.no_local,
            row.retain_as_published,
            row.identifier,
            self._start,
        )
        self._slices.note(0)
        self.subscriptions += 1

    def _begun_before(self, row: OutboundRow) -> None:
        imported = self._by_foreign.get(row.number)
        if imported is None:
            return
        if row.released or not row.position:
            self._let_go(imported.actor, row.packet_id)
        elif row.apart:
            self._apart.setdefault(row.position, []).append(row)
        elif row.number in self._outbound.setdefault(row.position, {}):
            self._let_go(imported.actor, row.packet_id)  # It is under way once.
        else:
            self._outbound[row.position][row.number] = row

    def _let_go(self, actor: SessionActor, packet_id: int) -> None:
        """The client may hold the identifier, and has the message or never gets it."""
        actor.session.outbound.released[packet_id] = True
        row = OutboundRow(actor.number, packet_id, 0, True)
        self._committer.group.outbound[actor.number, packet_id] = row
        self._slices.note(0)

    async def _block(self, block: int, entries: Sequence[bytes | None]) -> None:
        for index, data in enumerate(entries):
            if data is not None and not data:
                continue  # Everybody who was owed it is done with it.
            entry = None
            if data is not None:
                entry = decoded(data, self._committer.wall_minus_monotonic)
            if entry is None:
                self.damaged += 1
            else:
                await self._entry(position_of(block, index), entry)
            if self._slices.spend(ENTRY_WORK):
                await self._slices.pause()

    async def _entry(self, position: int, entry: Entry) -> None:
        """Put an entry into our log if it is owed to anybody, or retained."""
        if self._bequests is not None and self._bequests.has(entry):
            self._slices.note(self._bequests.take(position, entry))
            return
        message = entry.message
        message.position = position
        begun = self._outbound.pop(position, {})
        dues = await self._dues(entry, begun)
        apart = self._apart.pop(position, [])
        retained = False
        if position in self._retained:
            if self._broker.peers is not None and not message.stamp:
                message.stamp = stamp_before_all(self._cell)
            retained = self._is_wanted(message)
        if begun or apart or retained:
            dues.setdefault(message.qos, [])
        for entry_qos, owed in dues.items():
            if entry_qos == message.qos:
                others = len(begun) + len(apart) + (1 if retained else 0)
                self._append(message, entry, owed, others)
                if retained:
                    self._retain(message)
                await self._tell_begun(message, begun, apart)
                await self._tell(message, owed, position)
            else:
                lowered = lowered_to(entry_qos, message)
                self._append(lowered, entry, owed, 0)
                await self._tell(lowered, owed, position)

    async def _dues(self, entry: Entry, begun: dict[int, OutboundRow]) -> dict[int, list[Due]]:
        """Who is owed an entry of the other log, by the QoS it is written with.

        It mirrors what recovery makes of it. Rows of ``begun`` are taken by those whom they belong to.
        """
        dues: dict[int, list[Due]] = {}
        message = entry.message
        if entry.targets:
            for number in entry.targets:
                self._add(dues, self._due_of_target(number, message, entry.share), message, begun)
            return dues
        heirs = set(unpack_numbers(entry.heirs)) if entry.heirs else None
        for matched in self._router.match_whole(message.topic).recipients:
            self._add(dues, self._due(matched, message, heirs), message, begun)
            if self._slices.spend(1):
                await self._slices.pause()
        return dues

    def _due(self, matched: Recipient, message: Message, heirs: set[int] | None) -> Due | None:
        imported = self._by_number[matched.subscriber.number]
        if heirs is not None and imported.foreign not in heirs:
            return None
        recipient = recipient_for(matched, message)
        if recipient is None:
            return None
        actor = imported.actor
        qos_max = recipient.qos_max
        if heirs is None and message.position < imported.began:
            qos_max = min(qos_max, qos_max_of(actor, message))
        qos = min(message.qos, qos_max)
        if not qos or imported.was_finished(message.position) or not actor.durable:
            return None
        retain = message.retain and recipient.retain_as_published
        return Due(imported, qos, qos, retain, "")

    def _due_of_target(self, number: int, message: Message, share: str) -> Due | None:
        imported = self._by_foreign.get(number)
        if imported is None or not imported.actor.durable:
            return None
        granted = imported.actor.session.subscriptions.get(share)
        if (
            granted is None
            or not granted.qos_max
            or granted.began > message.position
            or imported.was_finished(message.position)
        ):
            return None
        qos = min(message.qos, granted.qos_max)
        retain = message.retain and granted.retain_as_published
        return Due(imported, qos, message.qos, retain, share)

    def _add(
        self,
        dues: dict[int, list[Due]],
        due: Due | None,
        message: Message,
        begun: dict[int, OutboundRow],
    ) -> None:
        if due is None:
            return
        due.row = begun.pop(due.imported.foreign, None)
        if due.row is not None or due.imported.actor.session.outbound.can_owe(message.size_bytes):
            dues.setdefault(due.entry_qos, []).append(due)
        else:
            self._broker.stats.drop(DROP_QUEUE_FULL)

    def _is_wanted(self, message: Message) -> bool:
        """Whether a message of the other cell becomes its topic name's retained one."""
        broker = self._broker
        if message.expired(broker.now):
            return False
        held = broker.retained.get(message.topic)
        if held is None:
            peers = broker.peers
            return peers is None or message.stamp > peers.cleared.get(message.topic, -1)
        # One that we have from its node alone is ours to keep now.
        return message.stamp > held.stamp or (
            message.stamp == held.stamp and message.stamp > 0 and not held.position
        )

    def _append(self, message: Message, entry: Entry, dues: list[Due], others: int) -> None:
        committer = self._committer
        numbers = sorted(due.imported.actor.number for due in dues)
        kept_at = entry.kept_at
        if kept_at is None and committer.dates:
            kept_at = committer.now
        targets = NO_TARGETS
        heirs = b""
        if not numbers:
            targets = NOBODY
        elif dues[0].share:
            targets = tuple(numbers)
        else:
            heirs = pack_numbers(numbers)
        share = dues[0].share if dues else ""
        data = encode_message(
            message, committer.wall_minus_monotonic, targets, share, kept_at, heirs
        )
        message.position = committer.append_entry(data)
        committer.refer(message.position, len(dues) + others)
        self._slices.note(len(data))
        self._unowed_position = message.position
        self._unowed = len(dues) + others
        self.messages += 1
        self.deliveries += len(dues)

    def _retain(self, message: Message) -> None:
        self._unowed -= 1
        held = self._broker.retained.get(message.topic)
        self._broker.retained.put(message)
        self._committer.group.retained[message.topic] = message.position
        if held is not None and held.position:
            self._committer.release_with_group(held.position)
        self._broker.expire_retained_later(message)
        self.retained += 1
        if self._bequests is not None and (held is None or held.stamp < message.stamp):
            self._bequests.tell_retained(message)

    async def _tell_begun(
        self,
        message: Message,
        begun: dict[int, OutboundRow],
        apart: list[OutboundRow],
    ) -> None:
        """Those who are to have a message whatever their subscriptions are."""
        position = message.position
        for row in begun.values():
            # What a client has begun to get it gets to the end, unsubscribed or not. [MQTT-3.10.4-3]
            actor = self._by_foreign[row.number].actor
            delivery = Delivery(message, 2, False, NO_IDENTIFIERS, "", position)
            self._unowed -= 1
            self._begin(actor, row.packet_id, delivery)
            if self._slices.spend(1):
                await self._slices.pause()
        for row in apart:
            actor = self._by_foreign[row.number].actor
            identifiers = actor.session.identifiers_for(message.topic, "")
            delivery = Delivery(message, 2, True, identifiers, "", -position)
            self._unowed -= 1
            self._begin(actor, row.packet_id, delivery)
            if self._slices.spend(1):
                await self._slices.pause()

    async def _tell(self, message: Message, dues: list[Due], foreign_position: int) -> None:
        position = message.position
        for due in dues:
            actor = due.imported.actor
            outbound = actor.session.outbound
            owed = outbound.owed
            assert owed is not None
            self._unowed -= 1
            if due.row is not None:
                identifiers = actor.session.identifiers_for(message.topic, due.share)
                delivery = Delivery(message, 2, due.retain, identifiers, due.share, position)
                self._begin(actor, due.row.packet_id, delivery)
            else:
                outbound.owe(
                    Delivery(message, due.qos, due.retain, NO_IDENTIFIERS, due.share, position)
                )
            if foreign_position <= due.imported.resend_until:
                owed.sent = owed.resend_until = position
            if self._slices.spend(1):
                await self._slices.pause()

    def _begin(self, actor: SessionActor, packet_id: int, delivery: Delivery) -> None:
        """Go on with a QoS 2 delivery under the identifier that the client may know."""
        outbound = actor.session.outbound
        position = delivery.position
        if position > 0:
            assert outbound.owed is not None
            outbound.owed.take_out_early(position)
        outbound.inflight[packet_id] = delivery
        row = OutboundRow(actor.number, packet_id, abs(position), False, position < 0)
        self._committer.group.outbound[actor.number, packet_id] = row
        self._slices.note(0)

    async def _finish(self) -> None:
        lost = [row for rows in self._outbound.values() for row in rows.values()]
        lost += [row for rows in self._apart.values() for row in rows]
        for row in lost:  # They name entries that are not there.
            self._let_go(self._by_foreign[row.number].actor, row.packet_id)
            if self._slices.spend(1):
                await self._slices.pause()
        for actor in self.sessions:
            session = actor.session
            for granted in session.subscriptions.values():
                granted.began = self._start
            progress = actor.progress_row()
            if progress is not None:
                self._committer.group.progress[actor.number] = progress
            if session.will is not None:
                actor.will_at = actor.detached_at + session.will_delay_seconds(session.will)
            actor.expires_at = session.expires_at(actor.detached_at)
            self._slices.note(0)
            if self._slices.spend(SESSION_WORK + len(session.subscriptions)):
                await self._slices.pause()
