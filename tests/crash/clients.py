"""The clients of a run: they keep their session's state over every crash, as MQTT wants, and their ledger.

None of them starts anything by itself: ``Run`` connects them and calls ``step`` in every turn.
"""

import random
from collections import deque
from typing import Final

from tests.crash.links import Link, Links
from tests.support import wire
from tests.support.ledger import Ledger, Stream, payload_of

SESSION_EXPIRY_SECONDS: Final = 86_400
MESSAGE_EXPIRY_SECONDS: Final = (1, 3_600)
"""Of the one nothing may come to who was away for long, the other outlives every pause."""
MESSAGE_EXPIRY_SHARE: Final = 0.1
ALIVE_SECONDS_MAX: Final = 6.0
"""A node that was killed knows the end of its links no better: it is counted from its last sign of life."""
BRIEF_MARGIN_SECONDS: Final = 1.0
PACKET_ID_MAX: Final = 65_535


class Client:
    """A client with a session that outlives its links."""

    def __init__(self, links: Links, ledger: Ledger, name: str, version: int) -> None:
        self.name = name
        self.version = version
        self.link: Link | None = None
        self.attached = False
        """Whether CONNACK came."""
        self.promised = False
        """Whether a CONNACK has answered for a session that must be there from then on."""
        self.unanswered = False
        """Whether a CONNECT had no answer, so that nobody knows whether it began a session."""
        self.expects_end = False
        """Whether the broker is to close the link, or is being killed."""
        self.pinged = False
        self.session_expiry_seconds = SESSION_EXPIRY_SECONDS
        self._links = links
        self.ledger = ledger

    def connect(self, *, clean: bool = False, will: wire.Will | None = None) -> None:
        """Open a link and ask for the session."""
        assert self.link is None
        self.expects_end = False
        self.link = Link(self._links, self, self.version)
        properties: wire.Properties = {"session_expiry": self.session_expiry_seconds}
        self.link.put(
            wire.connect(self.version, self.name, clean=clean, will=will, properties=properties)
        )
        if clean:
            self.promised = self.unanswered = False

    def close(self) -> None:
        """Drop the link without a word."""
        if self.link is not None:
            self.link.close()
            self._detach()

    def disconnect(self, properties: wire.Properties | None = None) -> None:
        """Say goodbye; the broker closes the link."""
        if self.link is not None:
            reason = None if properties is None else 0
            self.link.put(wire.disconnect(self.version, reason, properties))
            self.expects_end = True

    def ping(self) -> None:
        """Ask for an answer; ``pinged`` is true until it comes."""
        if self.link is not None:
            self.link.put(wire.PINGREQ_PACKET)
            self.pinged = True

    def step(self, now: float) -> None:
        """What time brings."""

    # What links tell

    def received(self, packet: wire.Packet) -> None:
        """Take one packet."""
        if packet.kind == wire.CONNACK:
            if packet.reason:
                self.ledger.violation("refused", f"{self.name} was refused: {packet}")
                return
            assert packet.session_present is not None
            if self.version == wire.V3_1:
                # This version does not tell; what arrives must do.
                packet.session_present = self.promised
            present = packet.session_present
            promised = present if self.unanswered and not self.promised else self.promised
            self.ledger.session_answered(self.name, present=present, promised=promised)
            self.attached = self.promised = True
            self.unanswered = False
            self.on_attached(packet)
        elif packet.kind == wire.PINGRESP:
            self.pinged = False
        elif packet.kind == wire.DISCONNECT:
            if not self.expects_end:
                text = f"{self.name} was disconnected with {packet.reason:#04x}"
                self.ledger.violation("closed", f"{text} ({self.ledger.moment}).")
                self.expects_end = True
        else:
            self.on_packet(packet)

    def malformed(self, problem: str) -> None:
        """The broker broke MQTT's rules."""
        self._detach()
        self.ledger.violation("malformed", f"{self.name} received what is not MQTT: {problem}")

    def disconnected(self) -> None:
        """The link ended."""
        self._detach()
        if not self.expects_end:
            self.ledger.violation(
                "closed", f"The broker closed the link of {self.name} ({self.ledger.moment})."
            )

    def _detach(self) -> None:
        self.unanswered = self.unanswered or not self.attached
        self.link = None
        self.attached = self.pinged = False
        self.on_detached()

    # What each kind of client does

    def on_attached(self, connack: wire.Packet) -> None:
        """The session is here."""

    def on_detached(self) -> None:
        """The link is gone."""

    def on_packet(self, packet: wire.Packet) -> None:
        """A packet of the session."""

    def put(self, data: bytes) -> None:
        """Send a packet."""
        assert self.link is not None
        self.link.put(data)


class Exchange:
    """A message under way from a publisher."""

    def __init__(self, stream: Stream, number: int, payload: bytes, *, retain: bool) -> None:
        self.stream = stream
        self.number = number
        self.payload = payload
        self.retain = retain
        self.expiry_seconds: int | None = None
        self.released = False
        """Whether PUBREC came, so that PUBREL is what has to be sent."""


class Publisher(Client):
    """Publishes numbered messages, and again with DUP what was not acknowledged before a crash."""

    def __init__(
        self, links: Links, ledger: Ledger, name: str, version: int, window: int, topics: int
    ) -> None:
        super().__init__(links, ledger, name, version)
        self.chance = random.Random(name)  # Replaced in every round.
        self.publishing = False
        self.inflight: dict[int, Exchange] = {}
        """By packet identifier, in the order of sending."""
        self._window = window
        self._window_now = window
        self._packet_id = 0
        self._numbers: dict[Stream, int] = {}
        self._streams = [
            Stream(name, f"load/{name}/{topic}", qos) for topic in range(topics) for qos in (1, 2)
        ]
        self._states = [Stream(name, f"state/{name}/{topic}", 1 + topic % 2) for topic in range(4)]

    def on_attached(self, connack: wire.Packet) -> None:
        limit = connack.get("receive_maximum")
        self._window_now = min(self._window, limit if isinstance(limit, int) else self._window)
        # [MQTT-4.4.0-1] What is not acknowledged is sent again, [MQTT-4.6.0-1] in the same order.
        for packet_id, exchange in self.inflight.items():
            if exchange.released:
                self.put(wire.acknowledge(self.version, wire.PUBREL, packet_id))
            else:
                self.ledger.resent(exchange.stream, exchange.number)
                self._publish(packet_id, exchange, dup=True)

    def step(self, now: float) -> None:
        if self.attached and self.publishing and not self.expects_end:
            while len(self.inflight) < self._window_now:
                self._begin()

    def on_packet(self, packet: wire.Packet) -> None:
        assert packet.packet_id is not None and packet.reason is not None
        exchange = self.inflight.get(packet.packet_id)
        if exchange is None:
            text = f"{self.name} has nothing under way with the identifier of {packet}"
            self.ledger.violation("malformed", text)
            return
        failed = packet.reason >= 0x80
        if packet.kind == wire.PUBREC and not failed:
            if not exchange.released:
                self.ledger.acknowledged(exchange.stream, exchange.number)
            exchange.released = True
            self.put(wire.acknowledge(self.version, wire.PUBREL, packet.packet_id))
            return
        del self.inflight[packet.packet_id]
        if failed and not exchange.released:
            self.ledger.refused(exchange.stream, exchange.number)
        elif packet.kind == wire.PUBACK:
            self.ledger.acknowledged(exchange.stream, exchange.number)

    def _begin(self) -> None:
        """Publish the next message of some stream."""
        chance = self.chance
        retain = chance.random() < 0.1
        stream = chance.choice(self._states if retain else self._streams)
        number = self._numbers[stream] = self._numbers.get(stream, 0) + 1
        clears = retain and chance.random() < 0.2
        size = chance.choices((0, 1_000, 20_000), (90, 9, 1))[0]
        payload = b"" if clears else payload_of(stream, number, size)
        expiry_seconds = None
        if self.version == wire.V5 and not retain and chance.random() < MESSAGE_EXPIRY_SHARE:
            expiry_seconds = chance.choice(MESSAGE_EXPIRY_SECONDS)
        self.ledger.sent(
            stream,
            number,
            len(payload),
            retain=retain,
            clears=clears,
            content_type=_content_type(number) if self.version == wire.V5 else "",
            expiry_seconds=expiry_seconds,
        )
        packet_id = self._next_packet_id()
        exchange = self.inflight[packet_id] = Exchange(stream, number, payload, retain=retain)
        exchange.expiry_seconds = expiry_seconds
        self._publish(packet_id, exchange, dup=False)

    def _publish(self, packet_id: int, exchange: Exchange, *, dup: bool) -> None:
        stream = exchange.stream
        properties: wire.Properties = {"content_type": _content_type(exchange.number)}
        if exchange.expiry_seconds is not None:
            properties["message_expiry"] = exchange.expiry_seconds
        self.put(
            wire.publish(
                self.version,
                stream.topic,
                exchange.payload,
                qos=stream.qos,
                packet_id=packet_id,
                retain=exchange.retain,
                dup=dup,
                properties=properties,
            )
        )

    def _next_packet_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % PACKET_ID_MAX + 1
            if self._packet_id not in self.inflight:
                return self._packet_id


class Subscriber(Client):
    """Has one subscription for good, and acknowledges what comes, some of them late."""

    def __init__(
        self,
        links: Links,
        ledger: Ledger,
        name: str,
        version: int,
        topic_filter: str,
        qos: int,
        identifier: int = 0,
        late_seconds: float = 0.0,
    ) -> None:
        super().__init__(links, ledger, name, version)
        self.topic_filter = topic_filter
        self.qos = qos
        self.subscribed = False
        self._identifier = identifier
        self._late_seconds = late_seconds
        self._held: set[int] = set()
        """Packet identifiers of QoS 2 messages that are not released yet."""
        self._acknowledgements: deque[tuple[float, bytes]] = deque()
        """What is to be sent, and from when on."""
        self._now = 0.0

    def on_attached(self, connack: wire.Packet) -> None:
        if not connack.session_present:
            # [MQTT-3.2.2-5] A client whose session is not there discards its own state.
            self._held.clear()
            self.subscribed = False
        if not self.subscribed:
            properties: wire.Properties = (
                {"subscription_id": self._identifier} if self._identifier else {}
            )
            self.ledger.asked(self.name, self.topic_filter, self.qos, self._identifier)
            filters = [(self.topic_filter, self.qos)]
            self.put(wire.subscribe(self.version, filters, packet_id=1, properties=properties))

    def on_detached(self) -> None:
        self._acknowledgements.clear()

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way."""
        return self.attached and bool(self._held or self._acknowledgements)

    def on_packet(self, packet: wire.Packet) -> None:
        if packet.kind == wire.SUBACK:
            assert packet.reasons == [self.qos], packet
            self.subscribed = True
            self.ledger.subscribed(self.name, self.topic_filter, self.qos, self._identifier)
        elif packet.kind == wire.PUBLISH:
            self._take(packet)
        elif packet.kind == wire.PUBREL:
            assert packet.packet_id is not None
            self._held.discard(packet.packet_id)
            self._acknowledge(wire.PUBCOMP, packet.packet_id)

    def step(self, now: float) -> None:
        self._now = now
        while self._acknowledgements and self._acknowledgements[0][0] <= now:
            self.put(self._acknowledgements.popleft()[1])

    def _take(self, packet: wire.Packet) -> None:
        assert packet.topic is not None and packet.payload is not None
        if packet.qos == 2:
            assert packet.packet_id is not None
            if packet.packet_id in self._held:
                # [MQTT-4.3.3-10] The same message again, not another one.
                self._acknowledge(wire.PUBREC, packet.packet_id)
                return
            self._held.add(packet.packet_id)
        self.ledger.arrived(
            self.name,
            packet.topic,
            packet.payload,
            packet.qos,
            dup=packet.dup,
            identifiers=packet.get_all("subscription_id"),
            content_type=(packet.get("content_type") or "") if self.version == wire.V5 else None,
        )
        if packet.qos:
            assert packet.packet_id is not None
            kind = wire.PUBACK if packet.qos == 1 else wire.PUBREC
            self._acknowledge(kind, packet.packet_id)

    def _acknowledge(self, kind: int, packet_id: int) -> None:
        # [MQTT-4.6.0-2] Acknowledgements keep the order of the messages, so all are late alike.
        data = wire.acknowledge(self.version, kind, packet_id)
        self._acknowledgements.append((self._now + self._late_seconds, data))


class Mortal(Client):
    """Has a will, and dies in one of several ways."""

    def __init__(
        self, links: Links, ledger: Ledger, name: str, fate: str, qos: int, delay_seconds: int
    ) -> None:
        super().__init__(links, ledger, name, wire.V5)
        self.fate = fate
        self.delay_seconds = delay_seconds
        self.stream = Stream(name, f"wills/{name}", qos)
        self.armed = False
        """Whether the broker has answered for the will."""
        self.gone_at: float | None = None
        """When its link ended after a goodbye."""

    def arm(self) -> None:
        """Connect with the will."""
        payload = payload_of(self.stream, 1, 0)
        self.ledger.sent(self.stream, 1, len(payload))
        properties: wire.Properties = {"will_delay": self.delay_seconds}
        will = wire.Will(self.stream.topic, payload, self.stream.qos, properties=properties)
        self.connect(will=will)

    def on_attached(self, connack: wire.Packet) -> None:
        self.armed = True

    def step(self, now: float) -> None:
        if self.expects_end and self.link is None and self.gone_at is None:
            self.gone_at = now


class Brief(Client):
    """Has a session that ends a moment after its link, or one that lasts a while; the crash ends the link."""

    def __init__(self, links: Links, ledger: Ledger, name: str, expiry_seconds: int) -> None:
        super().__init__(links, ledger, name, wire.V5)
        self.session_expiry_seconds = expiry_seconds

    def return_after(self, away_seconds: float) -> None:
        """Come back so long after the kill, to a session that is there, gone, or nobody knows."""
        sure = self.promised and away_seconds < self.session_expiry_seconds - ALIVE_SECONDS_MAX
        gone = away_seconds > self.session_expiry_seconds + BRIEF_MARGIN_SECONDS
        self.promised = sure
        self.connect(clean=not (sure or gone))


def _content_type(number: int) -> str:
    return f"number/{number}"
