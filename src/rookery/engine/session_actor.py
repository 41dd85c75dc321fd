"""A session as an actor: its mailbox, its present link, and the retained messages it is owed.

Others only ``tell`` it deliveries. Its step empties the mailbox into the link or the outbound queue;
the link's output is then written once. What the mailbox holds is bounded by what one turn delivers.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rookery.actors.scheduler import Actor
from rookery.actors.timers import Timed
from rookery.engine.stats import (
    DROP_EXPIRED,
    DROP_OFFLINE_QOS0,
    DROP_OUTPUT_FULL,
    DROP_PACKET_TOO_LARGE,
    DROP_QUEUE_FULL,
)
from rookery.message import Delivery, Message
from rookery.ports import Principal, SessionRecord
from rookery.routing.retained import RetainedCursor
from rookery.routing.subscriber import Subscriber
from rookery.session.outbound import (
    DROPPED_EXPIRED,
    DROPPED_OFFLINE,
    DROPPED_OUTPUT_FULL,
    DROPPED_QUEUE_FULL,
    QUEUED,
    SENT,
)
from rookery.session.session import Session

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.client_link import ClientLink

RETAINED_BATCH: Final = 64
RETAINED_PER_TURN: Final = 512
DROP_LOG_SECONDS: Final = 10.0
"""How often one session's drops are logged: the counters have them all."""


class RetainedStream:
    """The retained messages one new subscription brings, taken as the client reads them."""

    def __init__(self, cursor: RetainedCursor, qos_max: int, identifiers: tuple[int, ...]) -> None:
        self.qos_max = qos_max
        self.identifiers = identifiers
        self._cursor = cursor
        self._batch: list[Message] = []
        self._next: int = 0

    @property
    def done(self) -> bool:
        """Whether there are no more messages."""
        return self._cursor.done and self._next >= len(self._batch)

    def take(self, now: float) -> Message | None:
        """The next message, or ``None`` when looking for it is work for another turn."""
        if self._next >= len(self._batch):
            self._batch = self._cursor.take(RETAINED_BATCH, now)
            self._next = 0
            if not self._batch:
                return None
        message = self._batch[self._next]
        self._next += 1
        return message


class SessionActor(Subscriber, Actor, Timed):
    """One client's session on this node."""

    def __init__(self, broker: Broker, session: Session, principal: Principal) -> None:
        super().__init__(session.client_id)
        self.broker = broker
        self.session = session
        self.principal = principal
        self.client: ClientLink | None = None
        self.mailbox: list[Delivery] = []
        self.queued: bool = False
        self.behind: bool = False
        """Whether only this turn's own output keeps something from going on."""
        self.publish_permissions: dict[str, int] = {}
        self.streams: deque[RetainedStream] | None = None
        self.ended: bool = False
        self.expires_at: float | None = None
        """When the session ends, while it has no link."""
        self.will_at: float | None = None
        """When its will is published, while that waits."""
        self.crashes: int = 0
        self.drop_logged_at: float = 0.0

    def tell(self, delivery: Delivery) -> None:
        """Put a delivery into the mailbox."""
        self.mailbox.append(delivery)
        if not self.queued:
            self.queued = True
            self.broker.scheduler.ready.append(self)

    def inflight_count(self) -> int:
        """What the client has not finished, for the least-inflight share strategy."""
        outbound = self.session.outbound
        return len(outbound.inflight) + outbound.queue_length() + len(self.mailbox)

    def step(self, now: float) -> None:
        """Empty the mailbox."""
        self.queued = False
        client = self.client
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
            self._deliver(deliveries, now)

    def _go_on_later(self, client: ClientLink) -> None:
        """Go on in the next turn if what waits does so for the output of this one alone.

        Nobody else would tell: perhaps no acknowledgement is due, and all is written at once.
        """
        output_bytes_max = self.session.outbound.output_bytes_max
        unsent_bytes = client.io.unsent_bytes
        if unsent_bytes <= output_bytes_max < unsent_bytes + client.link.out_bytes:
            self.behind = True
            if not self.queued:
                self.queued = True
                self.broker.scheduler.later.append(self)

    def _deliver(self, deliveries: list[Delivery], now: float) -> None:
        outbound = self.session.outbound
        client = self.client
        link = None if client is None else client.link
        unsent_bytes = 0 if client is None else client.io.unsent_bytes
        sent = 0
        sent_qos0 = 0
        sent_qos1 = 0
        payload_bytes = 0
        for delivery in deliveries:
            outcome = outbound.deliver(delivery, link, unsent_bytes, now)
            if outcome == SENT:
                sent += 1
                payload_bytes += len(delivery.message.payload)
                if delivery.qos == 0:
                    sent_qos0 += 1
                elif delivery.qos == 1:
                    sent_qos1 += 1
            elif outcome != QUEUED:
                self._dropped(delivery, outcome)
        stats = self.broker.stats
        stats.messages_sent += sent
        stats.packets_sent += sent
        stats.messages_sent_qos0 += sent_qos0
        stats.messages_sent_qos1 += sent_qos1
        stats.messages_sent_qos2 += sent - sent_qos0 - sent_qos1
        stats.payload_bytes_sent += payload_bytes

    def _dropped(self, delivery: Delivery, outcome: int) -> None:
        if outcome == DROPPED_OFFLINE:
            reason = DROP_OFFLINE_QOS0
        elif outcome == DROPPED_QUEUE_FULL:
            reason = DROP_QUEUE_FULL
        elif outcome == DROPPED_OUTPUT_FULL:
            reason = DROP_OUTPUT_FULL
        elif outcome == DROPPED_EXPIRED:
            reason = DROP_EXPIRED
        else:
            reason = DROP_PACKET_TOO_LARGE
        self.broker.stats.drop(reason)
        now = self.broker.now
        if now >= self.drop_logged_at + DROP_LOG_SECONDS:
            self.drop_logged_at = now
            self.broker.log_dropped(self.client_id, delivery.message.topic, reason)

    def acknowledged(self, packet_id: int, reason_code: int, now: float) -> None:
        """A PUBACK, or a PUBREC that refuses: a place in the window is free."""
        if self.session.outbound.acknowledge(packet_id):
            self.broker.stats.messages_acked += 1
            if self.session.outbound.queue is not None or self.streams is not None:
                self.advance(now)

    def completed(self, packet_id: int, now: float) -> None:
        """A PUBCOMP: a place in the window is free."""
        if self.session.outbound.complete(packet_id):
            self.broker.stats.messages_acked += 1
            if self.session.outbound.queue is not None or self.streams is not None:
                self.advance(now)

    def advance(self, now: float) -> None:
        """Send what waited for the window or for the client's reading."""
        client = self.client
        if client is None:
            return
        self._send_queue(client, now)
        if self.streams is not None and not self.queued:
            self.queued = True
            self.broker.scheduler.ready.append(self)
        if client.link.out:
            client.io.request_flush()

    def _send_queue(self, client: ClientLink, now: float) -> None:
        outbound = self.session.outbound
        before = outbound.queue_length()
        dropped = outbound.advance(client.link, client.io.unsent_bytes, now)
        sent = before - outbound.queue_length() - len(dropped)
        self.broker.stats.messages_sent += sent
        self.broker.stats.packets_sent += sent
        for delivery in dropped:
            expired = delivery.message.expired(now)
            self.broker.stats.drop(DROP_EXPIRED if expired else DROP_PACKET_TOO_LARGE)

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
        while streams and outbound.has_room(client.link, client.io.unsent_bytes):
            if count >= RETAINED_PER_TURN:
                self.queued = True
                self.broker.scheduler.later.append(self)
                return
            stream = streams[0]
            message = stream.take(now)
            if message is None:
                if stream.done:
                    streams.popleft()
                else:
                    count = RETAINED_PER_TURN
                continue
            count += 1
            self.broker.stats.retained_sent += 1
            qos = min(message.qos, stream.qos_max)
            # [MQTT-3.3.1-8] in 3.1.1: sent because of a subscription, so the retain flag is set.
            self._deliver([Delivery(message, qos, True, stream.identifiers, "")], now)
        if not streams:
            self.streams = None

    def set_expiry(self, seconds: int) -> None:
        """Change how long the session outlives its link."""
        session = self.session
        if session.expiry_seconds or seconds:
            self.broker.committer.add(SessionRecord(self.client_id, seconds))
        session.expiry_seconds = seconds
        self.durable = session.durable

    def due(self, now: float) -> None:
        """A deadline of the session without a link: its will or its end."""
        if self.ended:
            return
        if self.will_at is not None and now >= self.will_at:
            self.will_at = None
            self.broker.registry.publish_will(self)
        if self.client is None and self.expires_at is not None and now >= self.expires_at:
            self.broker.registry.expire(self)
