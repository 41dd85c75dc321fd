"""What a session owes its client: the inflight window and the outbound queue behind it.

A QoS 1 or 2 delivery takes a packet identifier and a place in the window, or waits in the queue until
an acknowledgement frees one. QoS 0 never waits: it goes out or is dropped. After the client came
back, what was in flight is resent first, in its old order, then the queue goes on. [MQTT-4.4.0-1]
[MQTT-4.6.0-1] The window holds for what is resent as well: the client may come back with a smaller one.

A durable session holds few messages in memory: what waits beyond them, or while there is no link, is a
position in its backlog (``owed``), and its owner reads it back with ``take_backlog`` and ``queue_read``.
"""

from collections import deque
from typing import Final

from rookery.message import Delivery
from rookery.mqtt.encode import pubrel_wire
from rookery.mqtt.link import Link
from rookery.session.backlog import RETAIN, SHARED
from rookery.session.owed import Owed

SENT: Final = 0
QUEUED: Final = 1
DROPPED_OFFLINE: Final = 2
DROPPED_QUEUE_FULL: Final = 3
DROPPED_OUTPUT_FULL: Final = 4
DROPPED_TOO_LARGE: Final = 5
DROPPED_EXPIRED: Final = 6

PACKET_ID_MAX: Final = 65_535
QUEUE_IN_MEMORY_MAX: Final = 64
"""Deliveries from the log that one session holds in memory beyond its window."""
READ_MESSAGES_MAX: Final = 64
"""Messages that are read back at a time."""
READ_MESSAGES_FIRST: Final = 8
"""Messages that are read back while the client has none to work on, so that it soon has some."""


class Outbound:
    """The window and the queue of one session.

    ``window_max`` is the smaller of the client's receive maximum and the node's inflight limit.
    """

    def __init__(
        self, queue_messages_max: int, queue_bytes_max: int, output_bytes_max: int
    ) -> None:
        self.queue_messages_max = queue_messages_max
        self.queue_bytes_max = queue_bytes_max
        self.output_bytes_max = output_bytes_max
        self.window_max: int = 1
        self.inflight: dict[int, Delivery] = {}
        """Sent and not acknowledged (QoS 1) or not received (QoS 2), by packet identifier."""
        self.released: dict[int, bool] = {}
        """QoS 2 identifiers whose PUBREL was sent and whose PUBCOMP has not come, in order."""
        self.queue: deque[Delivery] | None = None
        """What waits for a place; ``None`` while nothing does, as for most sessions always.

        It is there, though empty, while something waits to be resent, so that nothing overtakes that.
        """
        self.queue_bytes: int = 0
        self.owed: Owed | None = None
        """What a durable session is owed from the message log."""
        self.sent_qos1: int = 0
        """Sent since the owner last looked, resends included."""
        self.sent_qos2: int = 0
        self.sent_payload_bytes: int = 0
        """Payloads of those."""
        self.given_up: list[Delivery] = []
        """What was in flight and the client, back with a smaller limit, takes no more."""
        self.assigned: list[int] = []
        """QoS 2 identifiers given out since the owner last looked: a durable session must keep them."""
        self.withholds: bool = False
        """Whether nothing of QoS 2 may be sent now, because its state cannot be kept."""
        self._last_packet_id: int = 0
        self._unsent: deque[int] | None = None
        """What is in flight and not yet resent to a client that came back with a smaller window."""
        self._withheld: list[int] = []
        """QoS 2 identifiers, in flight or released, that the client has to hear of again later."""

    def deliver(self, delivery: Delivery, link: Link | None, unsent_bytes: int, now: float) -> int:
        """Send, queue or drop one delivery and say which.

        ``unsent_bytes`` is what the client has not yet read of what was sent before.
        """
        message = delivery.message
        if message.expires_at is not None and message.expired(now):
            return DROPPED_EXPIRED
        if delivery.qos == 0:
            if link is None:
                return DROPPED_OFFLINE
            if unsent_bytes + link.out_bytes > self.output_bytes_max:
                return DROPPED_OUTPUT_FULL
            return SENT if delivery.write(link, 0, now) else DROPPED_TOO_LARGE
        if (
            link is None
            or self.queue is not None
            or (self.owed is not None and self.backlog_count() > 0)
            or len(self.inflight) + len(self.released) >= self.window_max
            or unsent_bytes + link.out_bytes > self.output_bytes_max
            or (self.withholds and delivery.qos == 2)
        ):
            return self._enqueue(delivery, link)
        if self.owed is not None and delivery.position > 0:
            self.owed.take_out(delivery.position)
        return self._send(delivery, link, now)

    def acknowledge(self, packet_id: int) -> Delivery | None:
        """A PUBACK came (or a PUBREC that refuses); ``None`` when nothing waited for it."""
        return self.inflight.pop(packet_id, None)

    def receive(self, packet_id: int) -> bool:
        """A PUBREC came: the message is the client's now, its PUBREL is owed. [MQTT-4.3.3-4]

        From here on the PUBLISH is never sent again. [MQTT-4.3.3-6]
        """
        if packet_id in self.released:
            return True
        if self.inflight.pop(packet_id, None) is None:
            return False
        self.released[packet_id] = True
        return True

    def complete(self, packet_id: int) -> bool:
        """A PUBCOMP came: the packet identifier is free again. [MQTT-4.3.3-5]"""
        return self.released.pop(packet_id, False)

    def resend(self, link: Link, now: float) -> None:
        """Send again what is in flight, with DUP and the same identifiers. [MQTT-4.4.0-1]

        What the window has no room for is resent by ``advance``. [MQTT-3.3.4-9]
        """
        if self.queue is None:
            self.queue = deque()
        self._withheld.clear()
        if self.withholds:
            self._withheld.extend(
                [each for each, delivery in self.inflight.items() if delivery.qos == 2]
            )
            self._withheld.extend(self.released)
            self._unsent = deque(
                [each for each, delivery in self.inflight.items() if delivery.qos == 1]
            )
            self._resend_more(self._unsent, link, now)
            return
        self._unsent = deque(self.inflight)
        self._resend_more(self._unsent, link, now)
        for packet_id in self.released:
            _write_pubrel(link, packet_id)

    def go_on(self, link: Link | None) -> bool:
        """State can be kept again: what was withheld is sent, or resent by ``advance``.

        Returns whether there was any.
        """
        self.withholds = False
        withheld = self._withheld
        found = len(withheld) > 0
        if link is not None and withheld:
            unsent = self._unsent
            if unsent is None:
                unsent = deque()
                self._unsent = unsent
                if self.queue is None:
                    self.queue = deque()
            for packet_id in withheld:
                if packet_id in self.released:
                    _write_pubrel(link, packet_id)
                elif packet_id in self.inflight:
                    unsent.append(packet_id)
        withheld.clear()
        return found

    def withhold(self, packet_id: int) -> None:
        """Send the PUBREL of a QoS 2 message when its state can be kept."""
        self._withheld.append(packet_id)

    def _resend_more(self, unsent: deque[int], link: Link, now: float) -> None:
        while unsent:
            delivery = self.inflight.get(unsent[0])
            if delivery is not None:
                sent = len(self.inflight) - len(unsent)
                if sent + len(self.released) >= self.window_max:
                    return
                if delivery.write_again(link, unsent[0], now):
                    self._count(delivery)
                else:
                    # [MQTT-3.1.2-25] The client takes it no more: as if it had been delivered.
                    del self.inflight[unsent[0]]
                    self.given_up.append(delivery)
            unsent.popleft()
        self._unsent = None
        if not self.queue:
            self.queue = None

    def advance(self, link: Link, unsent_bytes: int, now: float) -> list[Delivery]:
        """Send from the queue what the window and the client's reading allow.

        Returns what expired or is too large and was dropped on the way.
        """
        dropped: list[Delivery] = []
        unsent = self._unsent
        if unsent is not None:
            self._resend_more(unsent, link, now)
        queue = self.queue
        if queue is None:
            return dropped
        while queue:
            # What is behind the queue in the backlog is read by the owner.
            if len(self.inflight) + len(self.released) >= self.window_max:
                return dropped
            if unsent_bytes + link.out_bytes > self.output_bytes_max:
                return dropped
            if self.withholds and queue[0].qos == 2:
                return dropped
            delivery = queue.popleft()
            self.queue_bytes -= delivery.message.size_bytes
            if delivery.message.expired(now) or self._send(delivery, link, now) != SENT:
                dropped.append(delivery)
        if self._unsent is None:
            self.queue = None
        return dropped

    def has_room(self, link: Link, unsent_bytes: int) -> bool:
        """Whether one more delivery of any QoS would go straight out."""
        return (
            self.queue is None
            and self.backlog_count() == 0
            and len(self.inflight) + len(self.released) < self.window_max
            and unsent_bytes + link.out_bytes <= self.output_bytes_max
        )

    def queue_length(self) -> int:
        """How many deliveries in memory wait for a place in the window or for the client."""
        return 0 if self.queue is None else len(self.queue)

    def backlog_count(self) -> int:
        """How many more wait in the message log, or are being read from it."""
        owed = self.owed
        if owed is None:
            return 0
        return owed.backlog.count + (1 if owed.reading else 0)

    def wants_backlog(self) -> bool:
        """Whether there is room to read back some of the backlog."""
        owed = self.owed
        return (
            owed is not None
            and not owed.reading
            and owed.backlog.count > 0
            and self.queue_length() < QUEUE_IN_MEMORY_MAX
        )

    def can_owe(self, size_bytes: int) -> bool:
        """Whether a message of this size may wait as well."""
        waiting = self.queue_length()
        waiting_bytes = self.queue_bytes
        owed = self.owed
        if owed is not None:
            waiting += owed.backlog.count
            waiting_bytes += owed.backlog_bytes
        return (
            waiting < self.queue_messages_max and waiting_bytes + size_bytes <= self.queue_bytes_max
        )

    def owe(self, delivery: Delivery) -> bool:
        """Put into the backlog what the last process left; False when that is over the limits."""
        return self._enqueue(delivery, None) == QUEUED

    def take_backlog(self, below: int) -> list[tuple[int, int]]:
        """Take the next positions lower than ``below``, to be read.

        Until ``queue_read`` nothing overtakes them.
        """
        owed = self.owed
        assert owed is not None
        busy = self.inflight or self.queue
        taken = owed.backlog.take(READ_MESSAGES_MAX if busy else READ_MESSAGES_FIRST, below)
        owed.reading = len(taken) > 0
        for position, _ in taken:
            owed.take_out(position)
        return taken

    def queue_read(self, deliveries: list[Delivery]) -> None:
        """Queue what was read, in front of all that came meanwhile (which is in the backlog)."""
        owed = self.owed
        assert owed is not None
        owed.reading = False
        queue = self.queue
        if queue is None:
            queue = deque()
            self.queue = queue
        for delivery in deliveries:
            queue.append(delivery)
            size = delivery.message.size_bytes
            self.queue_bytes += size
            owed.backlog_bytes -= size

    def take_back(self, first: int) -> tuple[list[Delivery], list[int]]:
        """Take out what lies from this position on: what waits in memory, and QoS 2 under way.

        Returns it, and the packet identifiers of the latter.
        """
        taken: list[Delivery] = []
        packet_ids: list[int] = []
        for packet_id, delivery in list(self.inflight.items()):
            if delivery.qos == 2 and delivery.position >= first:
                taken.append(self.inflight.pop(packet_id))
                packet_ids.append(packet_id)
        if self.queue is not None:
            kept: deque[Delivery] = deque()
            for delivery in self.queue:
                if delivery.position >= first:
                    taken.append(delivery)
                    self.queue_bytes -= delivery.message.size_bytes
                else:
                    kept.append(delivery)
            self.queue = kept if kept or self._unsent is not None else None
        return taken, packet_ids

    def take_unwanted(self, wanted: list[bool]) -> list[Delivery]:
        """Take out of the queue what is not wanted, place by place; return it."""
        taken: list[Delivery] = []
        if self.queue is not None:
            kept: deque[Delivery] = deque()
            for delivery, keep in zip(self.queue, wanted, strict=True):
                if keep:
                    kept.append(delivery)
                else:
                    taken.append(delivery)
                    self.queue_bytes -= delivery.message.size_bytes
            self.queue = kept if kept or self._unsent is not None else None
        return taken

    def apart(self) -> list[int]:
        """The log positions in memory that are owed apart from what the cursor counts."""
        found = [-delivery.position for delivery in self.inflight.values() if delivery.position < 0]
        if self.queue is not None:
            found.extend([-delivery.position for delivery in self.queue if delivery.position < 0])
        return found

    def shares(self) -> list[str]:
        """The shared subscriptions from which ``take_shared`` would take something."""
        found: dict[str, bool] = {}
        for delivery in self.inflight.values():
            if delivery.share and delivery.qos == 1:
                found[delivery.share] = True
        if self.queue is not None:
            for delivery in self.queue:
                if delivery.share:
                    found[delivery.share] = True
        return list(found)

    def take_shared(self, share: str) -> list[Delivery]:
        """Take out what came by this shared subscription and may go to another member.

        That is all that was never sent, and QoS 1 that was not acknowledged; a QoS 2 message that
        was sent waits for its client. [MQTT-4.8.2-4] [MQTT-4.8.2-5]
        """
        taken: list[Delivery] = []
        for packet_id, delivery in list(self.inflight.items()):
            if delivery.share == share and delivery.qos == 1:
                taken.append(delivery)
                del self.inflight[packet_id]
        if self.queue is not None:
            kept: deque[Delivery] = deque()
            for delivery in self.queue:
                if delivery.share == share:
                    taken.append(delivery)
                    self.queue_bytes -= delivery.message.size_bytes
                else:
                    kept.append(delivery)
            self.queue = kept if kept or self._unsent is not None else None
        return taken

    def _send(self, delivery: Delivery, link: Link, now: float) -> int:
        packet_id = self._last_packet_id
        while True:
            packet_id = packet_id + 1 if packet_id < PACKET_ID_MAX else 1
            # [MQTT-2.2.1-4] An identifier is in use until its acknowledgement came.
            if packet_id not in self.inflight and packet_id not in self.released:
                break
        owed = self.owed
        if owed is not None and 0 < delivery.position <= owed.resend_until:
            written = delivery.write_again(link, packet_id, now)
        else:
            written = delivery.write(link, packet_id, now)
        if not written:
            # [MQTT-3.1.2-25] Too large for the client: as if it had been delivered.
            return DROPPED_TOO_LARGE
        self._count(delivery)
        self._last_packet_id = packet_id
        self.inflight[packet_id] = delivery
        if owed is not None:
            owed.sent = max(owed.sent, delivery.position)
            if delivery.qos == 2:
                self.assigned.append(packet_id)
        return SENT

    def _count(self, delivery: Delivery) -> None:
        if delivery.qos == 1:
            self.sent_qos1 += 1
        else:
            self.sent_qos2 += 1
        self.sent_payload_bytes += len(delivery.message.payload)

    def _enqueue(self, delivery: Delivery, link: Link | None) -> int:
        size = delivery.message.size_bytes
        if not self.can_owe(size):
            return DROPPED_QUEUE_FULL
        owed = self.owed
        if owed is not None and delivery.position > 0:
            if (
                link is None
                or self.backlog_count() > 0
                or self.queue_length() >= QUEUE_IN_MEMORY_MAX
            ):
                flags = delivery.qos | (RETAIN if delivery.retain else 0)
                if delivery.share:
                    flags |= SHARED
                    owed.share_of[delivery.position] = delivery.share
                owed.backlog.append(delivery.position, flags)
                owed.backlog_bytes += size
                return QUEUED
            owed.take_out(delivery.position)
        queue = self.queue
        if queue is None:
            queue = deque()
            self.queue = queue
        queue.append(delivery)
        self.queue_bytes += size
        return QUEUED


def _write_pubrel(link: Link, packet_id: int) -> None:
    link.out.append(pubrel_wire(packet_id))
    link.out_bytes += 4
