"""A session as an actor: its mailbox, its present link, and the retained messages it is owed.

Others only ``tell`` it deliveries. Its step empties the mailbox into the link or the outbound queue;
the link's output is then written once. What the mailbox holds is bounded by what one turn delivers.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rookery.actors.scheduler import Actor
from rookery.actors.timers import Timed
from rookery.engine.backlog_reader import read_backlog
from rookery.engine.committer import ProgressSource, Waiter
from rookery.engine.mountpoints import label_of, mountpoint_of
from rookery.engine.peers.dormant import let_pass
from rookery.engine.retained_stream import RetainedStream
from rookery.engine.stats import (
    DROP_EXPIRED,
    DROP_OVERLOAD,
    DROP_PACKET_TOO_LARGE,
    DROP_REASON_OF,
    END_INTERNAL,
    SHED_RETAINED,
)
from rookery.message import Delivery, message_from_will
from rookery.mqtt.types import ReasonCode
from rookery.ports import Principal
from rookery.records import (
    OutboundRow,
    ProgressRow,
    SessionRow,
    encode_message,
)
from rookery.routing.subscriber import Subscriber
from rookery.session.outbound import (
    DROPPED_TOO_LARGE,
    QUEUED,
    SENT,
)
from rookery.session.owed import Owed
from rookery.session.session import PendingWill, Session

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.client_link import ClientLink

RETAINED_PER_TURN: Final = 512
RETAINED_PER_TURN_SHED: Final = 16
"""The same while the node is overloaded."""
SHED_OUTPUT: Final = 8
"""While the node is overloaded QoS 0 is dropped at this part of the output's limit."""
WEIGHED_LEVELS: Final = 16
NOT_DURABLE: Final = "could not be made durable"
DROP_LOG_SECONDS: Final = 10.0
"""How often one session's drops are logged: the counters have them all."""


def weight_of(topic_filter: str) -> int:
    """What a subscription counts towards the limit of its session: deep ones take more of the filter tree."""
    return 1 + topic_filter.count("/") // WEIGHED_LEVELS


class SessionActor(Subscriber, Actor, Timed, Waiter, ProgressSource):
    """One client's session on this node."""

    def __init__(self, broker: Broker, session: Session, principal: Principal) -> None:
        super().__init__(session.client_id)
        self.broker = broker
        self.session = session
        self.principal = principal
        self.principal_known: bool = True
        """Whether it is who the client proved to be; not so for a session that was found in the store."""
        self.mountpoint: str = mountpoint_of(session.client_id)
        """What stands before all its topics, and is not seen by its client."""
        self.label: str = label_of(session.client_id)
        """The session's name for people."""
        self.client: ClientLink | None = None
        self.mailbox: list[Delivery] = []
        self.queued: bool = False
        self.behind: bool = False
        """Whether only this turn's own output keeps something from going on."""
        self.publish_permissions: dict[str, int] = {}
        """By topic name as the client writes it: bits of ``rookery.engine.publishing``."""
        self.reviewed_at: int = broker.review.generation
        """The generation of rules and users at which all that it has was permitted."""
        self.reviews: int = 0
        self.under_review: bool = False
        """Whether it is not known yet what it may have; nothing is sent to it then."""
        self.revoked: bool = False
        """Whether what it reads from the log may belong to a subscription it has no more."""
        self.will_allowed_at: int = broker.review.generation
        self._resumes_after_review: bool = False
        self.streams: deque[RetainedStream] | None = None
        self.ended: bool = False
        self.expires_at: float | None = None
        """When the session ends, while it has no link."""
        self.will_at: float | None = None
        """When its will is published, while that waits."""
        self.resent: bool = True
        """Whether the present link was sent what had been in flight before it; False while there is none."""
        self.detached_at: float = 0.0
        """When its last link ended."""
        self.dormant: bool = False
        """Whether what its own subscriptions match passes it by: it is being adopted, and others keep that for it."""
        self.filter_weight: int = 0
        """What its subscriptions count towards their limit."""
        self.crashes: int = 0
        self.drop_logged_at: float = 0.0
        self._kept: SessionRow | None = None
        """A row that is durable, or promises no more than one that is."""
        self._pending: SessionRow | None = None
        """A row that promises more, and was not durable when last looked at."""
        self._pending_in: int = 0
        """The group it went into."""
        self._answers_withheld: list[bytes] = []
        """PUBCOMPs that say what cannot be kept now."""
        self.waits_for_commit: bool = False
        """Whether the backlog is read on when a commit is done."""
        self._held_until: list[tuple[int, int]] = []
        """QoS 2 identifiers of the client's messages that are not durable yet, with their group."""

    def tell(self, delivery: Delivery) -> None:
        """Put a delivery into the mailbox."""
        if self.ended:
            return
        self.mailbox.append(delivery)
        if not self.queued:
            self.queued = True
            self.broker.scheduler.ready.append(self)

    def inflight_count(self) -> int:
        """What the client has not finished, for the least-inflight share strategy."""
        outbound = self.session.outbound
        waiting = outbound.queue_length() + outbound.backlog_count() + len(self.mailbox)
        return len(outbound.inflight) + waiting

    def step(self, now: float) -> None:
        """Empty the mailbox."""
        self.queued = False
        if self.ended:
            self.mailbox.clear()
            return
        if self.reviewed_at != self.broker.review.generation:
            self.broker.review.review(self)
        client = None if self.under_review else self.client
        if self.behind:
            self.behind = False
            if client is not None:
                self._send_queue(client, now)
        self.settle(now)
        if self.streams is not None and client is not None:
            self._stream(client, now)
        if client is not None and client.link.out:
            client.io.request_flush()
            if self.streams is not None or self.session.outbound.queue is not None:
                self._go_on_later(client)

    def settle(self, now: float) -> None:
        """Empty the mailbox: each delivery is sent, queued or dropped."""
        deliveries = self.mailbox
        if deliveries:
            self.mailbox = []
            if self.dormant:
                deliveries = let_pass(self, deliveries)
            self._deliver(deliveries, now)

    def _go_on_later(self, client: ClientLink) -> None:
        """Go on in the next turn if what waits does so for the output of this one alone.

        Nobody else would tell: perhaps no acknowledgement is due, and all is written at once.
        """
        output_bytes_max = self.session.outbound.output_bytes_max
        unsent_bytes = client.unsent_bytes()
        if unsent_bytes <= output_bytes_max < unsent_bytes + client.link.out_bytes:
            self.behind = True
            if not self.queued:
                self.queued = True
                self.broker.scheduler.later.append(self)

    def _deliver(self, deliveries: list[Delivery], now: float) -> None:
        outbound = self.session.outbound
        client = None if self.under_review else self.client
        link = None if client is None else client.link
        unsent_bytes = 0 if client is None else client.unsent_bytes()
        if self.broker.overload.level and unsent_bytes > outbound.output_bytes_max // SHED_OUTPUT:
            deliveries = self._shed(deliveries)
        sent_qos0 = 0
        payload_bytes = 0
        for delivery in deliveries:
            outcome = outbound.deliver(delivery, link, unsent_bytes, now)
            if outcome == SENT:
                if delivery.qos == 0:
                    sent_qos0 += 1
                    payload_bytes += len(delivery.message.payload)
            elif outcome != QUEUED:
                self._dropped(delivery, outcome)
        if outbound.owed is not None:
            self._keep_sent()
        stats = self.broker.stats
        stats.messages_sent += sent_qos0
        stats.packets_sent += sent_qos0
        stats.messages_sent_qos0 += sent_qos0
        stats.payload_bytes_sent += payload_bytes
        self._count_sent()

    def _shed(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Drop QoS 0 for a client that reads slowly while the node is overloaded."""
        kept = [delivery for delivery in deliveries if delivery.qos]
        if len(kept) < len(deliveries):
            self.broker.stats.drop(DROP_OVERLOAD, len(deliveries) - len(kept))
        return kept

    def _count_sent(self) -> None:
        """Take over what the outbound side has counted and given up."""
        outbound = self.session.outbound
        if outbound.given_up:
            for delivery in outbound.given_up:
                self.finish(delivery.position)
            self.broker.stats.drop(DROP_PACKET_TOO_LARGE, len(outbound.given_up))
            outbound.given_up.clear()
        stats = self.broker.stats
        sent = outbound.sent_qos1 + outbound.sent_qos2
        stats.messages_sent += sent
        stats.packets_sent += sent
        stats.messages_sent_qos1 += outbound.sent_qos1
        stats.messages_sent_qos2 += outbound.sent_qos2
        stats.payload_bytes_sent += outbound.sent_payload_bytes
        outbound.sent_qos1 = 0
        outbound.sent_qos2 = 0
        outbound.sent_payload_bytes = 0

    def _dropped(self, delivery: Delivery, outcome: int) -> None:
        reason = DROP_REASON_OF[outcome]
        self.broker.stats.drop(reason)
        if delivery.position and delivery.qos and self.session.outbound.owed is not None:
            if outcome == DROPPED_TOO_LARGE or delivery.position < 0:
                self.finish(delivery.position)
            else:
                # It was never taken out of the log for this session.
                self.broker.committer.release(delivery.position)
        self.tell_drop(delivery.message.topic, reason)

    def tell_drop(self, topic: str, reason: str) -> None:
        """Log a drop, now and then."""
        now = self.broker.now
        if now >= self.drop_logged_at + DROP_LOG_SECONDS:
            self.drop_logged_at = now
            self.broker.log_dropped(self.label, topic, reason)

    def acknowledged(self, packet_id: int, reason_code: int, now: float) -> None:
        """A PUBACK, or a PUBREC that refuses: a place in the window is free."""
        delivery = self.session.outbound.acknowledge(packet_id)
        if delivery is not None:
            self.broker.stats.messages_acked += 1
            if self.session.outbound.owed is not None:
                self.finish(delivery.position)
                if delivery.qos == 2:
                    self._keep_outbound(packet_id, None)
            self._go_on(now)

    def received(self, packet_id: int) -> bool:
        """A PUBREC: the message is the client's. True when its PUBREL is to be sent.

        The PUBREL waits until that is durable: after it the client knows the identifier no more, and to send
        the PUBLISH again would deliver it twice. [MQTT-4.3.3-4]
        """
        outbound = self.session.outbound
        delivery = outbound.inflight.get(packet_id)
        if not outbound.receive(packet_id):
            return False
        if outbound.owed is not None and delivery is not None:
            self.finish(delivery.position)
            self._keep_outbound(packet_id, OutboundRow(self.number, packet_id, 0, True))
        return True

    def completed(self, packet_id: int, now: float) -> None:
        """A PUBCOMP: a place in the window is free."""
        if self.session.outbound.complete(packet_id):
            self.broker.stats.messages_acked += 1
            if self.session.outbound.owed is not None:
                self.broker.committer.group.outbound[self.number, packet_id] = None
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        outbound = self.session.outbound
        if (
            outbound.queue is not None
            or self.streams is not None
            or (outbound.owed is not None and outbound.owed.backlog.count)
        ):
            self.advance(now)

    def advance(self, now: float) -> None:
        """Send what waited for the window or for the client's reading."""
        if self.reviewed_at != self.broker.review.generation:
            self.broker.review.review(self)
        client = self.client
        if client is None or self.under_review:
            return
        self._send_queue(client, now)
        if self.streams is not None and not self.queued:
            self.queued = True
            self.broker.scheduler.ready.append(self)
        if client.link.out:
            client.io.request_flush()

    def resume(self, now: float) -> None:
        """Send the client, which is back, what was in flight, and go on with what waits."""
        self._resumes_after_review = self.under_review
        client = self.client
        if client is None or self.under_review:
            return
        outbound = self.session.outbound
        outbound.withholds = self.durable and self.broker.committer.stuck
        outbound.resend(client.link, now)
        self.resent = True
        self.broker.stats.packets_sent += len(outbound.released)
        self.advance(now)

    def go_on_after_review(self, now: float) -> None:
        """All that the session has is permitted."""
        if self._resumes_after_review:
            self.resume(now)
        else:
            self.advance(now)

    def unmounted(self, topic: str) -> str:
        """A topic name or filter as the client writes it."""
        return topic[len(self.mountpoint) :]

    def _send_queue(self, client: ClientLink, now: float) -> None:
        outbound = self.session.outbound
        dropped = outbound.advance(client.link, client.unsent_bytes(), now)
        self._count_sent()
        for delivery in dropped:
            expired = delivery.message.expired(now)
            self.broker.stats.drop(DROP_EXPIRED if expired else DROP_PACKET_TOO_LARGE)
            self.finish(delivery.position)
        if outbound.owed is not None:
            self._keep_sent()
            if outbound.wants_backlog():
                read_backlog(self)

    def finish(self, position: int) -> None:
        """The client has what it was owed at this position, or never will."""
        owed = self.session.outbound.owed
        committer = self.broker.committer
        if position < 0:
            committer.release(-position)
        elif owed is not None and position:
            owed.finish(position)
            committer.release(position)
            committer.touch(self)

    def take_back(self, first: int) -> None:
        """Messages from this position on could not be made durable; the client must not get them.

        Their publishers send them again. What was sent with QoS 2 is held back with the link's output,
        which for this must end; a QoS 1 delivery may come twice.
        """
        outbound = self.session.outbound
        if outbound.owed is None:
            return
        self.settle(self.broker.now)
        deliveries, packet_ids = outbound.take_back(first)
        for delivery in deliveries:
            self.finish(delivery.position)
        for packet_id in packet_ids:
            self.broker.committer.group.outbound[self.number, packet_id] = None
        if packet_ids and self.client is not None:
            self.client.disconnect(ReasonCode.UNSPECIFIED_ERROR, END_INTERNAL, NOT_DURABLE)

    def _keep_sent(self) -> None:
        """Keep the packet identifiers of the QoS 2 deliveries just sent: they leave after that.

        A client that has one must not be sent the same message under another. [MQTT-4.3.3-1]
        """
        outbound = self.session.outbound
        if not outbound.assigned:
            return
        for packet_id in outbound.assigned:
            delivery = outbound.inflight.get(packet_id)
            if delivery is not None:
                position = delivery.position
                row = OutboundRow(self.number, packet_id, abs(position), False, position < 0)
                self._keep_outbound(packet_id, row)
        outbound.assigned.clear()

    def _keep_outbound(self, packet_id: int, row: OutboundRow | None) -> None:
        committer = self.broker.committer
        committer.group.outbound[self.number, packet_id] = row
        if self.client is not None and not committer.stuck:
            self.client.keep(committer.must_keep())

    def withhold_release(self, packet_id: int) -> bool:
        """Whether the PUBREL must wait until state can be kept; it is then sent by itself."""
        if self.session.outbound.withholds:
            self.session.outbound.withhold(packet_id)
            return True
        return False

    def withhold_answer(self, wire: bytes) -> bool:
        """Whether a PUBCOMP must wait until state can be kept; it is then sent by itself.

        After it the client uses the identifier anew, and a node that came back would take that for a resend.
        """
        if self.durable and self.broker.committer.stuck:
            self._answers_withheld.append(wire)
            return True
        return False

    def forget_answers(self) -> None:
        """The link has ended: its client asks again."""
        self._answers_withheld.clear()

    def go_on(self) -> None:
        """State can be kept again: send what was withheld once what it says is durable."""
        client = self.client
        withheld = self.session.outbound.go_on(None if client is None else client.link)
        if client is None:
            return
        for wire in self._answers_withheld:
            client.link.out.append(wire)
            client.link.out_bytes += len(wire)
            withheld = True
        self._answers_withheld.clear()
        if withheld:
            client.keep(self.broker.committer.must_keep())
        self.advance(self.broker.now)

    def keep_inbound(self, packet_id: int, held: bool) -> None:
        """Keep, or forget, a QoS 2 identifier of the client's; its answer leaves after that."""
        if self.session.outbound.owed is not None and self.client is not None:
            committer = self.broker.committer
            committer.group.inbound[self.number, packet_id] = held
            if held or not committer.stuck:
                self.client.keep(committer.must_keep())

    def hold_until(self, group: int, packet_id: int) -> None:
        """Let go of a QoS 2 identifier again if its message cannot be made durable."""
        self._held_until.append((group, packet_id))
        self.broker.committer.wait(group, self)

    def committed(self, group: int, error: Exception | None) -> None:
        """The client's QoS 2 messages of the group are safe, or were never taken."""
        waiting: list[tuple[int, int]] = []
        for held_group, packet_id in self._held_until:
            if held_group > group:
                waiting.append((held_group, packet_id))
            elif error is not None:
                self.session.inbound.release(packet_id)
        self._held_until = waiting

    def room(self) -> None:
        """A commit is done: go on reading the backlog."""
        self.waits_for_commit = False
        if not self.ended:
            self.advance(self.broker.now)

    def progress_row(self) -> ProgressRow | None:
        """How far the session has come in the log."""
        owed = self.session.outbound.owed
        if owed is None or self.ended:
            return None
        cursor = owed.cursor()
        return ProgressRow(self.number, cursor, owed.sent, owed.finished_beyond(cursor))

    def send_retained(self, stream: RetainedStream) -> None:
        """Owe the client the retained messages of a new subscription."""
        if self.streams is None:
            self.streams = deque()
        self.streams.append(stream)
        if not self.queued:
            self.queued = True
            self.broker.scheduler.ready.append(self)

    def _stream(self, client: ClientLink, now: float) -> None:
        streams = self.streams
        outbound = self.session.outbound
        count = 0
        count_max = RETAINED_PER_TURN
        if self.broker.overload.level:
            count_max = RETAINED_PER_TURN_SHED
            self.broker.overload.shed(SHED_RETAINED)
        while streams and outbound.has_room(client.link, client.unsent_bytes()):
            if count >= count_max:
                self.queued = True
                self.broker.scheduler.later.append(self)
                return
            stream = streams[0]
            message = stream.take(now)
            if message is None:
                if stream.done:
                    streams.popleft()
                else:
                    count = count_max
                continue
            count += 1
            self.broker.stats.retained_sent += 1
            qos = min(message.qos, stream.qos_max)
            position = 0
            if qos == 2 and outbound.owed is not None and message.position:
                # Once begun it must come to its end, though another may take its place meanwhile.
                position = -message.position
                self.broker.committer.refer(message.position, 1)
            # [MQTT-3.3.1-8] in 3.1.1: sent because of a subscription, so the retain flag is set.
            self._deliver([Delivery(message, qos, True, stream.identifiers, "", position)], now)
        if not streams:
            self.streams = None

    def set_expiry(self, seconds: int) -> None:
        """Change how long the session outlives its link."""
        session = self.session
        session.expiry_seconds = seconds
        if seconds and session.outbound.owed is None:
            session.outbound.owed = Owed(self.broker.committer.end())
            self.durable = True
            for granted in session.subscriptions.values():
                self.broker.router.note_change(granted.topic_filter, granted.share)
        self.keep()

    def set_will(self, will: PendingWill | None) -> None:
        """Take the client's will, or give it up."""
        if self.session.will is None and will is None:
            return
        self.session.will = will
        self.keep()

    def keep(self) -> None:
        """Keep the session's own row, where it has to be found again: durable, or with a will.

        A client that waits for an answer gets it after that. Only while nothing can be kept it gets it at
        once if the row that is durable promises no less, so that it can take what it is owed. What such a
        row says of before is then what a node that crashed goes by: when the link ended (so the session may
        expire sooner), and a will.
        """
        session = self.session
        committer = self.broker.committer
        if not self.durable and session.will is None:
            if self.number and not self.ended:
                committer.keep_session(self.number, None)
                self.number = 0
                self._kept = self._pending = None
            return
        if self.number == 0:
            self.number = committer.new_session_number()
        detached_at = None
        if self.client is None:
            detached_at = self.detached_at + committer.wall_minus_monotonic
        will: bytes | None = None
        delay_seconds = 0
        if session.will is not None:
            message = message_from_will(session.will.will, self.client_id, self.broker.now)
            will = encode_message(message, committer.wall_minus_monotonic, ())
            delay_seconds = session.will.delay_seconds
        row = SessionRow(
            self.number, self.client_id, session.expiry_seconds, detached_at, will, delay_seconds
        )
        if self._pending is not None and self._pending_in <= committer.durable:
            self._kept = self._pending
        promises = self._kept is None or row.promises_more_than(self._kept)
        if promises:
            self._pending = row
            self._pending_in = committer.number
        else:
            self._pending = None
            self._kept = row
        if self.client is not None and (promises or not committer.stuck):
            committer.group.sessions[self.number] = row
            self.client.keep(committer.must_keep())
        else:
            committer.keep_session(self.number, row)
            if self.client is not None:
                committer.must_keep()  # As soon as that can be.

    def restored(self, row: SessionRow) -> None:
        """This row of the session is durable."""
        self.number = row.number
        self._kept = row

    def is_over(self, now: float) -> bool:
        """Whether its client has been away for too long."""
        return self.client is None and self.expires_at is not None and now >= self.expires_at

    def due(self, now: float) -> None:
        """A deadline of the session without a link: its will or its end."""
        if self.ended:
            return
        if self.will_at is not None and now >= self.will_at:
            self.will_at = None
            self.broker.registry.publish_will(self)
        if self.is_over(now):
            self.broker.registry.expire(self)
