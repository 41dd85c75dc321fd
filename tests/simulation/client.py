"""A client that does what the standard asks of one, over the doubles of ``tests.support.engine``.

It counts a QoS 2 message once per packet identifier, resends in order when it is back, and says when the broker
uses an identifier that is not free.
"""

from rookery.mqtt.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)
from rookery.mqtt.types import SESSION_NEVER_EXPIRES, V5
from tests.simulation.ledger import Broken, Held, Ledger, Seen, Sent
from tests.support.engine import Engine, Peer, connect, publish

UNFINISHED_MAX = 200


class Client:
    """One client id: its connection, and its half of the session state."""

    def __init__(
        self, ledger: Ledger, client_id: str, version: int, persistent: bool, window: int
    ) -> None:
        self.ledger = ledger
        self.client_id = client_id
        self.version = version
        self.persistent = persistent
        self.window = window
        self.engine: Engine
        self.peer: Peer | None = None
        self.admitted = False
        self.deaf = False
        self.withholds = False
        self.sequence = 0
        self.passing = False
        self.forgets = False
        """Whether it wants a new session and was not told that it has one."""
        self.unkept = False
        """Whether it was let in while not even that could be kept."""
        self._last_id = 0
        self.begin_session()

    def begin_session(self) -> None:
        """Forget everything, as for a clean start."""
        self.seen: Seen = self.ledger.session(self.client_id, self.persistent)
        self.established = False
        self.unfinished: dict[int, Sent] = {}
        """Sent and not acknowledged to the end, in order."""
        self.asked: dict[int, list[Held]] = {}
        self.received: dict[int, str] = {}
        """QoS 2 identifiers taken and not released, with the payload."""
        self.due: list[Packet] = []
        """Answers that are held back."""

    def end_session(self) -> None:
        """What was under way is given up."""
        self.seen.ended = True
        for message in self.unfinished.values():
            if message.acknowledged is None:
                message.uncertain_until = self.ledger.time
        self.begin_session()

    # --- Connection -------------------------------------------------------------------------

    def attach(self, engine: Engine, fresh: bool) -> None:
        """Connect, and go on where the last connection ended."""
        self.lost()
        self.engine = engine
        clean = fresh or self.forgets or not self.persistent
        self.forgets = clean
        if clean:
            self.end_session()
        self.admitted = False
        self.passing = clean and self.version != V5  # It ends with the connection. (3.1.1, 3.1.2.4)
        self.seen.persistent = self.persistent and not self.passing
        self.peer = engine.peer(self.version)
        asked = {}
        if self.version == V5:
            expiry = SESSION_NEVER_EXPIRES if self.persistent else 0
            asked = {"session_expiry_interval": expiry, "receive_maximum": self.window}
        self._write(connect(self.client_id, self.version, clean_start=clean, **asked))

    def lost(self) -> None:
        """The connection is gone, as far as the client can tell."""
        self.peer = None
        self.admitted = False
        self.due.clear()
        self.asked.clear()
        if self.passing or not self.persistent:
            self.end_session()
            self.passing = False

    def drop(self) -> None:
        """Cut the connection; what was written and not read is lost."""
        if self.peer is not None:
            peer = self.peer
            self.lost()
            peer.drop()

    def leave(self) -> None:
        """DISCONNECT."""
        if self.admitted:
            self._write(Disconnect())
            self.lost()

    def _write(self, *packets: Packet) -> None:
        assert self.peer is not None
        self.engine.turn((self.peer, self.peer.encode(*packets)))
        self.engine.settle()

    # --- What it does -----------------------------------------------------------------------

    def publish(self, topic: str, qos: int, retain: bool, count: int) -> None:
        """Publish some messages in one piece."""
        if not self.admitted or len(self.unfinished) + count > UNFINISHED_MAX:
            return
        packets: list[Packet] = []
        for _ in range(count):
            self.sequence += 1
            payload = f"{self.client_id}-{self.sequence}"
            message = Sent(
                payload, self.client_id, topic, qos, retain, self.sequence, self.ledger.tick()
            )
            self.ledger.publish(message)
            if qos:
                message.packet_id = self._next_id()
                self.unfinished[message.packet_id] = message
            else:
                message.uncertain_until = self.ledger.time
            packets.append(self._packet(message, dup=False))
        self._write(*packets)

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self.unfinished:
                return self._last_id

    def _packet(self, message: Sent, dup: bool) -> Publish:
        more = {"correlation_data": message.payload.encode()} if self.version == V5 else {}
        return publish(
            message.topic,
            message.payload.encode(),
            message.qos,
            retain=message.retain,
            dup=dup,
            packet_id=message.packet_id,
            **more,
        )

    def clear_retained(self, topics: list[str]) -> None:
        """Leave nothing retained."""
        self._write(*[publish(topic, b"", 0, retain=True) for topic in topics])

    def subscribe(self, topic_filter: str, share: str, qos: int) -> None:
        """Ask for a subscription."""
        if not self.admitted:
            return
        now = self.ledger.tick()
        known = self.seen.held(topic_filter, share)
        if known is not None and (known.qos_max == 0 or qos == 0):
            known.ended = now
            known = None
        if known is None:
            known = Held(topic_filter, share, now, qos)
            self.seen.subscriptions.append(known)
        known.qos_max = max(known.qos_max, qos)
        packet_id = self._next_id()
        self.asked[packet_id] = [known]
        written = f"$share/{share}/{topic_filter}" if share else topic_filter
        self._write(Subscribe(packet_id, [SubscriptionRequest(written, qos)]))

    def unsubscribe(self, topic_filter: str, share: str) -> None:
        """End a subscription."""
        if not self.admitted:
            return
        known = self.seen.held(topic_filter, share)
        if known is not None:
            known.ended = self.ledger.tick()
        written = f"$share/{share}/{topic_filter}" if share else topic_filter
        self._write(Unsubscribe(self._next_id(), [written]))

    def acknowledge(self, count: int) -> None:
        """Send some of the answers that were held back."""
        if self.peer is not None and self.due:
            now, self.due = self.due[:count], self.due[count:]
            self._write(*now)

    # --- What it reads ----------------------------------------------------------------------

    def read(self) -> bool:
        """Take what came and answer it; whether there was anything."""
        peer = self.peer
        if peer is None or self.deaf:
            return False
        packets = peer.take()
        answers: list[Packet] = []
        for packet in packets:
            self.ledger.tick()
            self._take(packet, answers)
        if packets:
            self.ledger.check_now(self.seen)
        if peer.closed:
            self.lost()
            return bool(packets)
        if answers:
            if self.withholds:
                self.due += answers
            else:
                self._write(*answers)
        return bool(packets)

    def _take(self, packet: Packet, answers: list[Packet]) -> None:
        if isinstance(packet, ConnAck):
            self._admitted(packet)
        elif isinstance(packet, Publish):
            self._delivered(packet, answers)
        elif isinstance(packet, PubAck | PubRec | PubComp):
            self._acknowledged(packet)
        elif isinstance(packet, PubRel):
            self.received.pop(packet.packet_id, None)
            answers.append(PubComp(packet.packet_id))
        elif isinstance(packet, SubAck):
            for held in self.asked.pop(packet.packet_id, []):
                if held.granted is None:
                    held.granted = self.ledger.time
        else:
            assert isinstance(packet, UnsubAck | Disconnect), packet

    def _admitted(self, packet: ConnAck) -> None:
        if packet.reason_code:
            # What it asked for could not be kept; the end of the connection comes with it.
            assert packet.reason_code in {0x88, 0x97}, packet
            return
        self.admitted = True
        self.unkept = self.engine.broker.committer.stuck
        self.forgets = False
        if not packet.session_present:
            if self.established:
                raise Broken(f"the session of {self.client_id} is gone")
            if self.received or self.unfinished:
                self.end_session()
        self.established = self.persistent and not self.passing
        again: list[Packet] = []
        for message in self.unfinished.values():
            if message.acknowledged is None:
                message.resent = True
                again.append(self._packet(message, dup=True))
            else:
                again.append(PubRel(message.packet_id))
        if again:
            self._write(*again)

    def _delivered(self, packet: Publish, answers: list[Packet]) -> None:
        payload = packet.payload.decode()
        if not payload:
            return  # Somebody cleared a retained message.
        properties = packet.properties
        told = None if properties is None else properties.correlation_data
        if told is not None and told != packet.payload:
            raise Broken(f"{payload} came with the properties of another message")
        packet_id = packet.packet_id
        if packet.qos == 2:
            answers.append(PubRec(packet_id))
            known = self.received.get(packet_id)
            if known is not None:
                if known != payload or not packet.dup:
                    raise Broken(
                        f"{self.client_id} got {payload} under #{packet_id} of {known}, dup {packet.dup}"
                    )
                return
            self.received[packet_id] = payload
        elif packet.qos == 1:
            if any(isinstance(each, PubAck) and each.packet_id == packet_id for each in self.due):
                raise Broken(f"{self.client_id} got {payload} under #{packet_id}, in use")
            answers.append(PubAck(packet_id))
            if self.unkept:
                self.seen.unkept.add(payload)
            if not packet.dup and not packet.retain:
                self.ledger.check_first(self.seen, payload)
        self.ledger.deliver(self.seen, packet.topic, payload, packet.qos, packet.retain)

    def _acknowledged(self, packet: PubAck | PubRec | PubComp) -> None:
        message = self.unfinished.get(packet.packet_id)
        if message is None:
            return
        if packet.reason_code >= 0x80 and not isinstance(packet, PubComp):
            message.uncertain_until = self.ledger.time
            del self.unfinished[packet.packet_id]
            return
        if isinstance(packet, PubRec) and message.qos == 2:
            if message.acknowledged is None:
                message.acknowledged = self.ledger.time
            self._write(PubRel(packet.packet_id))
            return
        if isinstance(packet, PubAck) and message.qos == 1:
            message.acknowledged = self.ledger.time
            del self.unfinished[packet.packet_id]
        elif isinstance(packet, PubComp) and message.qos == 2:
            del self.unfinished[packet.packet_id]
