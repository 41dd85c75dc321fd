"""From a PUBLISH to deliveries: check, authorize, retain, match, tell.

One path for clients, wills and the node itself. The pipeline reads top to bottom; a step that refuses
names the reason code, and the caller decides what becomes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.actors.clock import chance
from rookery.engine.client_link import ClientLink
from rookery.engine.peers.remote_node import RemoteMember, RemoteNode, is_durable
from rookery.engine.peers.shared import receive_shared
from rookery.engine.stats import (
    DROP_COMMIT_FAILED,
    DROP_INVALID,
    DROP_NOT_AUTHORIZED,
    DROP_RETAINED_FULL,
    DROP_TOO_MANY_BRANCHES,
    END_NOT_AUTHORIZED,
)
from rookery.message import Delivery, Message, message_from_publish, mounted_message
from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.packets import Publish
from rookery.mqtt.types import PUBACK, PUBREC, V5, ReasonCode
from rookery.ports import Decision, Principal
from rookery.records import pack_numbers
from rookery.routing.subscriber import Matches, Recipient, Subscriber

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.session_actor import SessionActor

SYS_PREFIX: Final = "$SYS/"
"""Topics that only the node publishes to. (MQTT 5.0, 4.7.2) They tell of this process, so nothing keeps
them beyond it."""

NOT_FOR_CLIENTS: Final = Decision(False, f"only the node publishes to {SYS_PREFIX}")

CUT_SHORT: Final = -1
"""What ``route`` answers where the search for recipients was given up."""

ENDS_LINK: Final = "what was asked for ends the link"

NO_TARGETS: Final[tuple[int, ...]] = ()
NO_CELLS: Final[set[str]] = set()
NOBODY: Final[tuple[int, ...]] = (0,)
"""No session has this number."""

NO_DOLLAR: Final = Decision(False, "below a mountpoint there are no topics that begin with $")

PERMISSIONS_MAX: Final = 1_024
"""Topics whose permission one session remembers."""

# What is remembered of a topic name: a bit for each QoS, those for retained messages above them, and the
# same bits again for what is denied.
RETAIN_SHIFT: Final = 3
DENIED_SHIFT: Final = 6
INVALID: Final = 1 << 12
"""No QoS makes it a topic name within the limits."""

WAITING: Final = -1
"""In place of a reason code: the packet is taken again later, or its link has ended."""

# Whom a message reaches.
EVERYWHERE: Final = 0
FROM_PEER: Final = 1
"""The sessions of this node, but for share groups: where it was published all others are seen to."""
THIS_NODE: Final = 2
"""The sessions of this node and no other: it tells of this node."""

SUCCESS: Final = 0
NO_MATCHING_SUBSCRIBERS: Final = 0x10
NOT_AUTHORIZED: Final = 0x87
TOPIC_NAME_INVALID: Final = 0x90
QUOTA_EXCEEDED: Final = 0x97
PAYLOAD_FORMAT_INVALID: Final = 0x99


class Publishing:
    """Takes messages in and tells every session that is to have them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._router = broker.router
        self._retained = broker.retained
        self._stats = broker.stats
        self._committer = broker.committer
        self._limits = broker.settings.limits
        self._payload_format_checked = broker.settings.behaviour.payload_format_checked
        self._prefers_local = broker.settings.behaviour.shared_prefer_local
        self.deliveries: int = 0
        """Deliveries told in this turn."""
        self._group: int = 0
        """The commit group the message being published went into; 0 for none."""
        self._forwarded_in: int = 0
        """The turn that told other nodes of it, where that is waited for; else 0."""
        self._scope: int = EVERYWHERE
        self.behind: set[str] = set()
        """The cells of ours whose sessions must first get what was kept for them: what follows is kept as well."""
        self._asleep: set[str] = self.behind
        """The cells whose sessions do not get the message being published, as it is kept for them."""

    def receive(self, client: ClientLink, publish: Publish, now: float) -> None:
        """A client's PUBLISH: publish it once and acknowledge it when that is done."""
        actor = client.actor
        if actor is None:
            raise ProtocolViolation("PUBLISH before the client was admitted")
        bit = 1 << publish.qos
        if publish.retain:
            bit = bit << RETAIN_SHIFT
        known = actor.publish_permissions.get(publish.topic, 0)
        permitted = SUCCESS
        if not known & bit:
            permitted = self._permission(client, actor, publish, known, bit)
            if permitted == WAITING:
                return
        stats = self._stats
        stats.messages_received += 1
        stats.payload_bytes_received += len(publish.payload)
        qos = publish.qos
        if qos == 0:
            stats.messages_received_qos0 += 1
            self._accept(actor, publish, permitted, now)
        elif qos == 1:
            stats.messages_received_qos1 += 1
            if client.unacknowledged or actor.session.inbound.unreleased:
                self._check_quota(client, actor)
            reason_code = self._accept(actor, publish, permitted, now)
            client.acknowledge(PUBACK, publish.packet_id, reason_code)
            if self._group or self._forwarded_in:
                client.unacknowledged += 1
                client.keep(self._group)
                client.keep_forward(self._forwarded_in)
        else:
            stats.messages_received_qos2 += 1
            self._receive_exactly_once(client, actor, publish, permitted, now)

    def _receive_exactly_once(
        self,
        client: ClientLink,
        actor: SessionActor,
        publish: Publish,
        permitted: int,
        now: float,
    ) -> None:
        inbound = actor.session.inbound
        packet_id = publish.packet_id
        if inbound.holds(packet_id):
            # [MQTT-4.3.3-10] A resend: acknowledged again, published once.
            client.acknowledge(PUBREC, packet_id, SUCCESS)
            return
        self._check_quota(client, actor)
        reason_code = self._accept(actor, publish, permitted, now)
        if reason_code < 0x80 or client.link.version != V5:
            inbound.hold(packet_id)
            actor.keep_inbound(packet_id, True)
            if self._group:
                actor.hold_until(self._group, packet_id)
        client.acknowledge(PUBREC, packet_id, reason_code)
        client.keep(self._group)
        client.keep_forward(self._forwarded_in)

    def _check_quota(self, client: ClientLink, actor: SessionActor) -> None:
        """[MQTT-3.3.4-7] No more than the receive maximum may be unacknowledged."""
        unfinished = len(actor.session.inbound.unreleased) + client.unacknowledged
        if unfinished >= client.receive_maximum:
            raise ProtocolViolation(
                f"more than {client.receive_maximum} messages unacknowledged",
                ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
            )

    def _accept(self, actor: SessionActor, publish: Publish, permitted: int, now: float) -> int:
        """Publish what the client may publish; return the reason code for its acknowledgement."""
        self._group = 0
        self._forwarded_in = 0
        if permitted != SUCCESS:
            self._stats.drop(DROP_NOT_AUTHORIZED if permitted == NOT_AUTHORIZED else DROP_INVALID)
            return permitted
        properties = publish.properties
        if (
            properties is not None
            and properties.payload_format_indicator == 1
            and self._payload_format_checked
            and not is_utf8(publish.payload)
        ):
            self._stats.drop(DROP_INVALID)
            return PAYLOAD_FORMAT_INVALID
        message = message_from_publish(publish, actor.client_id, now)
        if actor.mountpoint:
            message = mounted_message(message, actor.mountpoint)
        if self._committer.failing and self.must_be_kept(message):
            self._stats.drop(DROP_COMMIT_FAILED)
            if client_version(actor) != V5:
                # 3.x has no negative acknowledgement: only a new link makes the client resend.
                raise ProtocolViolation("nothing can be kept now", ReasonCode.QUOTA_EXCEEDED)
            return QUOTA_EXCEEDED
        reason_code = SUCCESS
        if publish.retain and not self._router.match(message.topic).cut_short:
            reason_code = self.retain(message)
        told = self.route(message, actor)
        if told == CUT_SHORT:
            actor.tell_drop(message.topic, DROP_TOO_MANY_BRANCHES)
            return QUOTA_EXCEEDED
        if told == 0 and reason_code == SUCCESS:
            return NO_MATCHING_SUBSCRIBERS
        return reason_code

    def _permission(
        self, client: ClientLink, actor: SessionActor, publish: Publish, known: int, bit: int
    ) -> int:
        """What the client is told of a PUBLISH of which it is not known that it is permitted."""
        topic = publish.topic
        if publish.qos == 2 and actor.session.inbound.holds(publish.packet_id):
            return SUCCESS  # A resend of what was taken already.
        if known & INVALID:
            return TOPIC_NAME_INVALID
        if known & (bit << DENIED_SHIFT):
            return NOT_AUTHORIZED
        if not self._fits(actor, publish):
            self._remember_permission(actor, topic, INVALID)
            return TOPIC_NAME_INVALID
        decision = self.decide(client, actor.principal, actor.mountpoint, publish)
        if decision is None:
            return WAITING
        if decision.allowed:
            if decision.lasting:
                self._remember_permission(actor, topic, known | bit)
            return SUCCESS
        self._broker.log_denied(actor, "publish", topic, decision)
        if decision.ends_link:
            raise ProtocolViolation(ENDS_LINK, ReasonCode.ADMINISTRATIVE_ACTION)
        if self._broker.review.denial_disconnects(client):
            self._stats.drop(DROP_NOT_AUTHORIZED)
            client.disconnect(ReasonCode.NOT_AUTHORIZED, END_NOT_AUTHORIZED, "")
            return WAITING
        if decision.lasting:
            self._remember_permission(actor, topic, known | (bit << DENIED_SHIFT))
        return NOT_AUTHORIZED

    def _fits(self, actor: SessionActor, publish: Publish) -> bool:
        """Whether the topic name is within the limits, the mountpoint counted in."""
        size_bytes = len(publish.topic_wire) - 2
        levels = publish.topic.count("/") + 1
        if actor.mountpoint:
            size_bytes += len(actor.mountpoint.encode())
            levels += actor.mountpoint.count("/")
        limits = self._limits
        return size_bytes <= limits.topic_bytes_max and levels <= limits.topic_levels_max

    def decide(
        self, client: ClientLink, principal: Principal, mountpoint: str, publish: Publish
    ) -> Decision | None:
        """Whether a client may publish this; ``None`` while somebody is asked."""
        topic = publish.topic
        reserved = not_for_clients(topic, mountpoint)
        if reserved is not None:
            return reserved
        answers = client.take_answers()
        if answers is None:
            answers = client.ask(
                [self._broker.authorizer.may_publish(principal, topic, publish.qos, publish.retain)]
            )
        return None if answers is None else answers[0]

    def _remember_permission(self, actor: SessionActor, topic: str, known: int) -> None:
        if len(actor.publish_permissions) >= PERMISSIONS_MAX:
            actor.publish_permissions.clear()
        actor.publish_permissions[topic] = known

    def publish(self, message: Message) -> int:
        """Publish a message of the node's own or a will: already permitted, nobody to answer.

        Returns the commit group it is kept in, 0 for none.
        """
        self._group = 0
        if message.retain:
            self.retain(message)
        if message.topic.startswith(SYS_PREFIX):
            self._scope = THIS_NODE
        self.route(message, None)
        self._scope = EVERYWHERE
        return self._group

    def publish_once_more(self, message: Message) -> int:
        """Tell everybody again what could not be kept; its retained message is seen to elsewhere."""
        self._group = 0
        self.route(message, None)
        return self._group

    def receive_from_peer(self, message: Message, share: str, asleep: set[str]) -> int:
        """Publish here what was published at another node; the commit group it is kept in, 0 for none.

        ``share`` names the group of which that node chose a member of this one; else it is for all here but share
        groups, which it has seen to, and sessions that came from a cell in ``asleep``: it keeps it for them.
        """
        self._group = 0
        if share:
            return receive_shared(self._broker, message, share)
        if message.retain:
            self.retain_from_peer(message)
        self._scope = FROM_PEER
        self._asleep = asleep
        self.route(message, None)
        self._asleep = self.behind
        self._scope = EVERYWHERE
        return self._group

    def retain_from_peer(self, message: Message) -> None:
        """Set or clear a topic's retained message as another node did, unless ours is later.

        That node keeps it, so ours is not kept any more. It is never refused, but counts: limits were that node's.
        """
        peers = self._broker.peers
        assert peers is not None
        peers.stamps.saw(message.stamp)
        topic = message.topic
        before = self._retained.get(topic)
        known = peers.cleared.get(topic, -1) if before is None else before.stamp
        if message.stamp <= known:
            return
        if message.payload:
            self._retained.put(message)
            self._broker.expire_retained_later(message)
        else:
            peers.note_cleared(topic, message.stamp)
            if before is not None:
                self._retained.remove(topic)
                self._broker.retained_expiry_over(topic)
        if before is not None and before.position:
            self._keep_retained(topic, before, None)

    def give(self, message: Message, recipient: Recipient, share: str) -> int:
        """Give what one member of a share group had, or was to have, to another; the group it is kept in, 0 for none."""
        self._group = 0
        to = recipient.subscriber
        if isinstance(to, RemoteMember) and message.qos and is_durable(recipient):
            return to.node.keep(message, share)  # Nobody sends it again if it is lost.
        self.tell_member(message, recipient, share)
        return self._group

    def retain(self, message: Message) -> int:
        """Set or clear the topic's retained message. [MQTT-3.3.1-5] [MQTT-3.3.1-6]"""
        topic = message.topic
        retained = self._retained
        before = retained.get(topic)
        peers = self._broker.peers
        if peers is not None and not topic.startswith(SYS_PREFIX):
            message.stamp = peers.stamps.new()
            if not message.payload:
                peers.note_cleared(topic, message.stamp)
        if not message.payload:
            if retained.remove(topic):
                self._stats.retained_cleared += 1
                self._broker.retained_expiry_over(topic)
                self._keep_retained(topic, before, None)
            return SUCCESS
        if not self._broker.has_room_to_retain(message):
            self._stats.drop(DROP_RETAINED_FULL)
            return QUOTA_EXCEEDED
        retained.put(message)
        self._stats.messages_retained += 1
        self._broker.expire_retained_later(message)
        self._keep_retained(topic, before, message)
        return SUCCESS

    def retain_again(self) -> None:
        """Messages are taken again: keep the retained ones whose commit failed.

        Whoever published them does so again if need be, so the entries are owed to nobody.
        """
        committer = self._committer
        lost, committer.lost_retained = committer.lost_retained, {}
        for topic, position in lost.items():
            message = self._retained.get(topic)
            if message is not None and message.position == position:
                committer.release(position)
                message.position = committer.append(message, NOBODY)
                committer.refer(message.position, 1)
                committer.group.retained[topic] = message.position

    def expire_retained(self, message: Message) -> None:
        """Clear a retained message that has expired, unless another took its place. [MQTT-3.3.2-5]"""
        if self._retained.remove_if(message.topic, message):
            self._keep_retained(message.topic, message, None)

    def _keep_retained(self, topic: str, before: Message | None, message: Message | None) -> None:
        if topic.startswith(SYS_PREFIX):
            return
        committer = self._committer
        position = 0 if before is None else before.position
        if message is None:
            if position:
                committer.release(position)
            committer.group.retained[topic] = None
            committer.lost_retained.pop(topic, None)
        else:
            if position:
                committer.release_with_group(position)
            # While a cell is behind, route puts what sessions are owed into an entry of its own.
            targets = NOBODY if self._asleep else NO_TARGETS
            message.position = committer.append(message, targets)
            committer.refer(message.position, 1)
            committer.group.retained[topic] = message.position
        self._group = committer.must_keep()

    def must_be_kept(self, message: Message) -> bool:
        """Whether a durable session is owed it, or it is retained."""
        if message.retain:
            return True
        if message.qos == 0:
            return False
        matches = self._router.match(message.topic)
        if matches.shares:
            return True
        return any(each.subscriber.durable and each.qos_max > 0 for each in matches.recipients)

    def route(self, message: Message, publisher: Subscriber | None) -> int:
        """Tell every session whose subscriptions match; return how many that were, or ``CUT_SHORT``."""
        matches = self._router.match(message.topic)
        if matches.cut_short:
            self._stats.drop(DROP_TOO_MANY_BRANCHES)
            return CUT_SHORT
        told = 0
        durable = 0
        asleep = len(self._asleep) > 0
        position = 0 if asleep else message.position
        delivery: Delivery | None = None
        for matched in matches.recipients:
            subscriber = matched.subscriber
            if subscriber.remote:
                told += self._forward(message, matched)
                continue
            if asleep and self._is_passed_over(subscriber):
                told += self._pass_over(message, subscriber.adopted_from)
                continue
            recipient = matched
            if matched.no_local and subscriber is publisher:
                own = matched.own
                if own is None:
                    continue  # [MQTT-3.8.3-3]
                recipient = own
            # [MQTT-3.8.4-8] The lower of the published and the granted QoS.
            qos = message.qos if message.qos < recipient.qos_max else recipient.qos_max
            retain = message.retain and recipient.retain_as_published  # [MQTT-3.3.1-12]
            if qos and subscriber.durable:
                durable += 1
                if position == 0:
                    position = self._append(message, matches)
            if (
                delivery is None
                or delivery.qos != qos
                or delivery.retain != retain
                or delivery.position != position
                or (
                    delivery.identifiers is not recipient.identifiers
                    and delivery.identifiers != recipient.identifiers
                )
            ):
                delivery = Delivery(message, qos, retain, recipient.identifiers, "", position)
            subscriber.tell(delivery)
            told += 1
        if durable:
            self._committer.refer(position, durable)
            self._group = self._committer.must_keep()
        if matches.shares and self._scope != FROM_PEER:
            told += self._route_shared(message, matches)
        if message.retain and self._scope == EVERYWHERE:
            self._forward_retained(message)
        self.deliveries += told
        if told:
            self._stats.messages_routed += told
        else:
            self._stats.messages_unrouted += 1
        return told

    def _append(self, message: Message, matches: Matches) -> int:
        """Put a message into the log for all who subscribed, but for those that others keep it for."""
        if not self._asleep:
            message.position = self._committer.append(message, NO_TARGETS)
            return message.position
        heirs = [
            each.subscriber.number
            for each in matches.recipients
            if each.subscriber.durable
            and each.qos_max
            and not self._is_passed_over(each.subscriber)
        ]
        return self._committer.append(message, NO_TARGETS, "", pack_numbers(sorted(heirs)))

    def _route_shared(self, message: Message, matches: Matches) -> int:
        told = 0
        for group in matches.shares:
            recipient = None
            if self._scope == THIS_NODE or self._prefers_local:
                recipient = group.pick_local(chance(), self._scope == EVERYWHERE)
            if recipient is None and self._scope == EVERYWHERE:
                recipient = group.pick(chance(), None)
            if recipient is not None:
                self.tell_member(message, recipient, group.key)
                told += 1
        return told

    def _is_passed_over(self, subscriber: Subscriber) -> bool:
        return self._scope != THIS_NODE and subscriber.adopted_from in self._asleep

    def _pass_over(self, message: Message, cell: str) -> int:
        """Have the sessions of a cell get a message by what is kept for them; 1 where we keep it."""
        peers = self._broker.peers
        if self._scope == FROM_PEER or peers is None:
            return 0
        self._group = max(self._group, peers.departed.keep(cell, message))
        return 1

    def _forward(self, message: Message, recipient: Recipient) -> int:
        """Have another node get a message, once, whoever there is to have it; 0 if it is not for others."""
        if self._scope != EVERYWHERE:
            return 0
        if message.retain:
            return 1  # It goes to all nodes, matching or not.
        node = recipient.subscriber
        assert isinstance(node, RemoteNode)
        qos = min(message.qos, recipient.qos_max)
        group = node.forward(message, qos, is_durable(recipient), "")
        self._note_forwarded(group, qos)
        return 1

    def _forward_retained(self, message: Message) -> None:
        """Have every other node get a retained message, subscribers there or not, for they all hold it."""
        peers = self._broker.peers
        if peers is not None:
            for node in peers.nodes.values():
                group = node.forward(message, max(message.qos, 1), True, "")
                self._note_forwarded(group, message.qos)

    def _note_forwarded(self, group: int, qos: int) -> None:
        peers = self._broker.peers
        if peers is not None and qos:
            self._group = max(self._group, group)
            self._forwarded_in = peers.ticket()

    def tell_member(self, message: Message, recipient: Recipient, share: str) -> None:
        """Give a message to the member of a share group that was picked for it.

        For a durable one it becomes an entry of the log of its own, which names it: others that match
        the topic name are not owed that entry.
        """
        subscriber = recipient.subscriber
        qos = min(message.qos, recipient.qos_max)
        if isinstance(subscriber, RemoteMember):
            group = subscriber.node.forward(message, qos, is_durable(recipient), share)
            self._note_forwarded(group, qos)
            return
        retain = message.retain and recipient.retain_as_published
        position = 0
        if qos and subscriber.durable:
            position = self._committer.append(message, (subscriber.number,), share)
            self._committer.refer(position, 1)
            self._group = self._committer.must_keep()
        subscriber.tell(Delivery(message, qos, retain, recipient.identifiers, share, position))


def not_for_clients(topic: str, mountpoint: str) -> Decision | None:
    """Why no client may publish to a topic name, whatever rules say; ``None`` where rules decide."""
    if topic.startswith(SYS_PREFIX):
        return NOT_FOR_CLIENTS
    if mountpoint and topic.startswith("$"):
        return NO_DOLLAR
    return None


def client_version(actor: SessionActor) -> int:
    """The protocol version of the session's present link; 0 without one."""
    return 0 if actor.client is None else actor.client.link.version


def is_utf8(payload: bytes) -> bool:
    """Whether the payload is what its format indicator says. (MQTT 5.0, 3.3.2.3.2)"""
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
