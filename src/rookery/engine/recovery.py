"""From what the store holds back to a running broker: sessions, subscriptions, what each is owed.

The log says what was published and not who is owed it. That follows from the subscriptions: every entry is
matched once more, in order, and each durable session that matches is owed it, unless its progress says
that it is done with it or its subscription began later. Only what sessions brought with them from another node's
cell names those that are owed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rookery.engine.peers.facts import Inheritance
from rookery.engine.peers.stamps import stamp_before_all
from rookery.engine.session_actor import SessionActor, weight_of
from rookery.message import NO_IDENTIFIERS, Delivery, Message
from rookery.mqtt.errors import PeerFault
from rookery.mqtt.packets import Will
from rookery.mqtt.topics import matches, split_share
from rookery.ports import Principal
from rookery.records import (
    Entry,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
    decode_message,
    position_of,
    unpack_numbers,
)
from rookery.routing.subscriber import Recipient, Subscription
from rookery.session.owed import Owed
from rookery.session.session import GrantedSubscription, PendingWill

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

BLOCKS_AT_A_TIME: Final = 16


class Recovery:
    """Brings one broker back to where the store's last user left it."""

    def __init__(self, broker: Broker, loaded: Loaded) -> None:
        self._broker = broker
        self._loaded = loaded
        self._actors: dict[int, SessionActor] = {}
        self._began: dict[int, int] = {}
        """By session: where the last of its subscriptions began."""
        self._inheritance = Inheritance({}, 0)
        self._retained: dict[int, str] = {}
        self._outbound: dict[int, list[OutboundRow]] = {}
        """By position: QoS 2 deliveries under way."""
        self._apart: dict[int, list[OutboundRow]] = {}
        """The same, of retained messages that subscriptions brought."""
        self.entries: int = 0
        """How many entries of the log were read."""
        self.damaged: int = 0
        """How many of them could not be."""

    async def run(self) -> None:
        """Recover everything; the listeners are not open yet."""
        loaded = self._loaded
        committer = self._broker.committer
        committer.start_from(loaded)
        if self._broker.peers is not None:
            self._broker.peers.restore(loaded)
        self._inheritance = Inheritance(loaded.facts, committer.end())
        for name in self._inheritance.settled:
            committer.group.facts[name] = None
        left = self._inheritance.left_behind(loaded.sessions)
        for row in loaded.sessions:
            if row.number in left:
                committer.group.sessions[row.number] = None
            else:
                self._restore_session(row)
        for subscription in loaded.subscriptions:
            self._restore_subscription(subscription)
        for progress in loaded.progress:
            self._restore_progress(progress)
        for number, packet_id in loaded.inbound:
            if number in self._actors:
                self._actors[number].session.inbound.hold(packet_id)
        for outbound in loaded.outbound:
            self._restore_outbound(outbound)
        for topic, position in loaded.retained:
            self._retained[position] = topic
        for start in range(0, len(loaded.blocks), BLOCKS_AT_A_TIME):
            blocks = loaded.blocks[start : start + BLOCKS_AT_A_TIME]
            for block, entries in zip(
                blocks, await self._broker.store.read_blocks(blocks), strict=True
            ):
                self._restore_block(block, entries)
        self._forget_lost()
        self._resume_time()

    def _restore_session(self, row: SessionRow) -> None:
        committer = self._broker.committer
        actor = self._broker.registry.restore(row.client_id, principal_of(row))
        actor.restored(row)
        actor.adopted_from = self._inheritance.cells.get(row.number, "")
        take_row(actor, row, self._loaded.alive_at_wall)
        owed = actor.session.outbound.owed
        if row.detached_at_wall is None and owed is not None:
            # Anything it is owed may have been sent: what was is not kept before it leaves.
            owed.sent = committer.end() - 1
            owed.resend_until = owed.sent
            committer.touch(actor)
        self._actors[row.number] = actor

    def _restore_subscription(self, row: SubscriptionRow) -> None:
        actor = self._actors.get(row.number)
        if actor is None:
            return
        granted = take_subscription(actor, row)
        reached = self._inheritance.began.get(row.number, 0)
        if granted.share is None and granted.began < reached:
            granted.began = reached
            self._broker.subscribing.keep(actor, row.topic_filter, granted)
        self._began[row.number] = max(self._began.get(row.number, 0), granted.began)
        self._broker.router.subscribe(actor, subscription_of(granted), granted.share)

    def _restore_progress(self, row: ProgressRow) -> None:
        actor = self._actors.get(row.number)
        owed = None if actor is None else actor.session.outbound.owed
        if owed is not None:
            owed.sent = max(owed.sent, row.sent)
            owed.resend_until = owed.sent
            owed.start_at(row.cursor, row.done)

    def _restore_outbound(self, row: OutboundRow) -> None:
        actor = self._actors.get(row.number)
        if actor is None:
            return
        if row.released or not row.position:
            # What is not in the log cannot be sent again, but its identifier may be held by the client.
            actor.session.outbound.released[row.packet_id] = True
        elif row.apart:
            self._apart.setdefault(row.position, []).append(row)
        else:
            self._outbound.setdefault(row.position, []).append(row)

    def _restore_block(self, block: int, entries: Sequence[bytes | None]) -> None:
        references = self._broker.committer.references
        stored = 0
        size_bytes = 0
        dead_bytes = 0
        for index, data in enumerate(entries):
            if data is not None and not data:
                continue  # Everybody who was owed it is done with it.
            self.entries += 1
            stored += 1
            entry = None if data is None else self._decode(data)
            if data is None or entry is None:
                self.damaged += 1
                continue
            before = references.count(block)
            position = position_of(block, index)
            entry.message.position = position
            if position in self._retained:
                self._restore_retained(entry.message)
            if entry.heirs:
                self._owe_matching(entry.message, set(unpack_numbers(entry.heirs)))
            elif entry.targets:
                for number in entry.targets:
                    self._owe_target(number, entry.message, entry.share)
            else:
                self._owe_matching(entry.message, None)
            for row in self._outbound.pop(position, NO_ROWS):
                self._owe_begun(row, entry.message)
            for row in self._apart.pop(position, NO_ROWS):
                self._owe_apart(row, entry.message)
            size_bytes += len(data)
            if references.count(block) == before:
                dead_bytes += len(data)
        if references.holds(block):
            references.weigh(block, stored, size_bytes, dead_bytes)
        else:
            self._broker.committer.group.finished_blocks.append(block)

    def _restore_retained(self, message: Message) -> None:
        broker = self._broker
        if message.expired(broker.now):
            broker.committer.group.retained[message.topic] = None
            return
        if broker.peers is not None and not message.stamp:
            message.stamp = stamp_before_all(broker.peers.node_id)
        broker.retained.put(message)
        broker.committer.refer(message.position, 1)
        broker.expire_retained_later(message)

    def _owe_matching(self, message: Message, heirs: set[int] | None) -> None:
        """Owe a message to all who subscribed, or to those alone who inherited it."""
        for matched in self._broker.router.match_whole(message.topic).recipients:
            actor = matched.subscriber
            assert isinstance(actor, SessionActor)
            if heirs is not None and actor.number not in heirs:
                continue
            recipient = recipient_for(matched, message)
            if recipient is None:
                continue
            qos_max = recipient.qos_max
            if heirs is None and message.position < self._began.get(actor.number, 0):
                qos_max = qos_max_of(actor, message)
            qos = min(message.qos, qos_max)
            if qos:
                retain = message.retain and recipient.retain_as_published
                delivery = Delivery(
                    message, qos, retain, recipient.identifiers, "", message.position
                )
                self._owe(actor, delivery)

    def _owe_target(self, number: int, message: Message, share: str) -> None:
        actor = self._actors.get(number)
        if actor is None and self._broker.peers is not None:
            node = self._broker.peers.kept_for(number)
            if node is not None and node.restore(message.position, message.qos):
                self._broker.committer.refer(message.position, 1)
            return
        granted = None if actor is None else actor.session.subscriptions.get(share)
        if (
            actor is not None
            and granted is not None
            and granted.qos_max
            and granted.began <= message.position
        ):
            qos = min(message.qos, granted.qos_max)
            retain = message.retain and granted.retain_as_published
            identifiers = actor.session.identifiers_for(message.topic, share)
            self._owe(actor, Delivery(message, qos, retain, identifiers, share, message.position))

    def _owe(self, actor: SessionActor, delivery: Delivery) -> None:
        outbound = actor.session.outbound
        owed = outbound.owed
        position = delivery.position
        if owed is None or owed.was_finished(position):
            return
        rows = self._outbound.get(position, NO_ROWS)
        for row in rows:
            if row.number == actor.number:
                rows.remove(row)
                owed.take_out_early(position)
                begun = Delivery(
                    delivery.message,
                    2,
                    delivery.retain,
                    delivery.identifiers,
                    delivery.share,
                    position,
                )
                outbound.inflight[row.packet_id] = begun  # With QoS 2 to the end.
                self._broker.committer.refer(position, 1)
                return
        if outbound.owe(delivery):
            # Not before: a block whose only reference is taken back would be given up, with all in it.
            self._broker.committer.refer(position, 1)

    def _owe_begun(self, row: OutboundRow, message: Message) -> None:
        """What a client has begun to get it gets to the end, unsubscribed or not. [MQTT-3.10.4-3]"""
        outbound = self._actors[row.number].session.outbound
        if outbound.owed is not None:
            outbound.owed.take_out_early(message.position)
            outbound.inflight[row.packet_id] = Delivery(
                message, 2, False, NO_IDENTIFIERS, "", message.position
            )
            self._broker.committer.refer(message.position, 1)

    def _owe_apart(self, row: OutboundRow, message: Message) -> None:
        """A retained message that its client has begun to get, whatever its topic's is now."""
        session = self._actors[row.number].session
        if session.outbound.owed is not None:
            identifiers = session.identifiers_for(message.topic, "")
            session.outbound.inflight[row.packet_id] = Delivery(
                message, 2, True, identifiers, "", -message.position
            )
            self._broker.committer.refer(message.position, 1)

    def _forget_lost(self) -> None:
        """Rows that name entries which are not there: clients let go of the identifiers."""
        committer = self._broker.committer
        for rows in (*self._outbound.values(), *self._apart.values()):
            for row in rows:
                self._actors[row.number].session.outbound.released[row.packet_id] = True
        for topic in self._retained.values():
            if self._broker.retained.get(topic) is None:
                committer.group.retained[topic] = None

    def _resume_time(self) -> None:
        """Let run on what waited for a time: expiries and wills, the downtime counted in."""
        broker = self._broker
        now = broker.now
        for actor in self._actors.values():
            session = actor.session
            will = session.will
            if will is not None:
                actor.will_at = actor.detached_at + session.will_delay_seconds(will)
                broker.timers.at(max(actor.will_at, now), actor)
            actor.expires_at = session.expires_at(actor.detached_at)
            if actor.expires_at is not None:
                broker.timers.at(max(actor.expires_at, now), actor)
            actor.keep()

    def _decode(self, data: bytes) -> Entry | None:
        return decoded(data, self._broker.committer.wall_minus_monotonic)


NO_ROWS: Final[list[OutboundRow]] = []


def decoded(data: bytes, wall_minus_monotonic: float) -> Entry | None:
    """An entry of the log; ``None`` where it is damaged."""
    try:
        return decode_message(data, wall_minus_monotonic)
    except (PeerFault, IndexError):
        return None


def principal_of(row: SessionRow) -> Principal:
    """Who a session's client is, as long as it has not come back and said so."""
    return Principal(name=None, client_id=row.client_id)


def take_row(actor: SessionActor, row: SessionRow, alive_at_wall: float) -> None:
    """Make an empty session that of a row, whose node was alive until then."""
    committer = actor.broker.committer
    actor.principal_known = False
    session = actor.session
    session.expiry_seconds = row.expiry_seconds
    if row.expiry_seconds:
        session.outbound.owed = Owed(committer.end())
        actor.durable = True
    if row.will is not None:
        entry = decoded(row.will, committer.wall_minus_monotonic)
        if entry is not None:
            session.will = PendingWill(will_of(entry.message), row.will_delay_seconds)
    at_wall = alive_at_wall if row.detached_at_wall is None else row.detached_at_wall
    actor.detached_at = at_wall - committer.wall_minus_monotonic


def take_subscription(actor: SessionActor, row: SubscriptionRow) -> GrantedSubscription:
    """Give a session the subscription of a row."""
    shared = split_share(row.topic_filter)
    share, topic_filter = (None, row.topic_filter) if shared is None else shared
    granted = GrantedSubscription(
        topic_filter,
        share,
        row.qos_max,
        row.no_local,
        row.retain_as_published,
        row.identifier,
        row.began,
    )
    actor.session.subscriptions[row.topic_filter] = granted
    actor.filter_weight += weight_of(row.topic_filter)
    return granted


def subscription_of(granted: GrantedSubscription) -> Subscription:
    """What the router is told of a subscription."""
    return Subscription(
        granted.topic_filter,
        granted.qos_max,
        granted.no_local,
        granted.retain_as_published,
        0,
        granted.identifier,
    )


def recipient_for(matched: Recipient, message: Message) -> Recipient | None:
    """Who is to have a message; ``None`` where its publisher wants none of its own. [MQTT-3.8.3-3]"""
    if matched.no_local and matched.subscriber.client_id == message.publisher:
        return matched.own
    return matched


def qos_max_of(actor: SessionActor, message: Message) -> int:
    """What the session's own subscriptions that held when it was published allow; 0 is none of them."""
    own = actor.client_id == message.publisher
    highest = 0
    for granted in actor.session.subscriptions.values():
        if (
            granted.qos_max > highest
            and granted.began <= message.position
            and granted.share is None
            and not (own and granted.no_local)  # [MQTT-3.8.3-3]
            and matches(granted.topic_filter, message.topic)
        ):
            highest = granted.qos_max
    return highest


def will_of(message: Message) -> Will:
    """The will that was kept as a message."""
    return Will(message.topic, message.payload, message.qos, message.retain, message.properties)
