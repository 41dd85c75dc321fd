"""The clients of a run: each keeps its session over any number of links, to whichever node lets it in.

They do what a careful client does: when a link ends, or says nothing for too long, they try the next node, at once
and then more and more slowly; they send again what was not acknowledged, in order and with DUP; they keep the
packet identifiers of QoS 2. What they see goes into the history.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Final, cast

from rookery.actors.tasks import Tasks
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5, ReasonCode
from tests.cluster.history import Arrival, History, LastWill, Life, Refusal, Sending, Sign
from tests.support.ledger import Stream, named_in, payload_of

SESSION_SECONDS: Final = 86_400
OPEN_SECONDS_MAX: Final = 1.0
"""How long a node may take to accept a connection."""
GREETING_SECONDS_MAX: Final = 3.0
"""How long it may take to answer CONNECT."""
RETRY_SECONDS: Final = (0.02, 0.1, 0.2, 0.4, 0.6)
"""How long a client waits before it tries the next node; the last one again and again."""
PACKET_ID_MAX: Final = 65_535
KEEP_ALIVE_SECONDS: Final = 30
LEFT: Final = "left"


@dataclass
class World:
    """What all clients of a run share."""

    history: History
    addresses: dict[str, tuple[str, int]]
    """Where each node takes clients; grows when one joins."""
    tasks: Tasks
    began: float

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began


class Wire(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, client: "Client") -> None:
        self.client = client
        self.node = client.node
        self.link = Link(CLIENT, PACKET_BYTES_LIMIT, 0, client.version)
        self.greeted: asyncio.Future[ConnAck | None] = asyncio.get_running_loop().create_future()
        """The answer to CONNECT; ``None`` where the link ended without one."""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.heard_at = time.monotonic()
        self.life: Life | None = None
        self.said = ""
        """What the node gave as the reason of the end."""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(self.said or "lost")

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        packets = self.link.receive(data)
        if self.link.fault is not None:
            self.client.misbehaved(f"{self.link.fault}")
            self.abort("malformed")
        for packet in packets:
            if isinstance(packet, ConnAck):
                if not self.greeted.done():
                    self.greeted.set_result(packet)
                    self.client.greeted(self, packet)
            elif isinstance(packet, Disconnect):
                self.said = packet.reason_code.name.lower()
            else:
                self.client.received(self, packet)

    def put(self, packet: Packet) -> None:
        """Send a packet, if the connection is there."""
        if self._transport is not None and not self.ended.done():
            assert self.link.send(packet)
            self._transport.write(self.link.take_output())

    def abort(self, why: str) -> None:
        """Drop the connection without a word."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, why: str) -> None:
        if self.ended.done():
            return
        self.ended.set_result(why)
        if not self.greeted.done():
            self.greeted.set_result(None)
        if self.life is not None:
            self.life.ended_at = self.client.world.now()
            self.life.end = why
        self.client.detached(self)


class Client:
    """A client id, its session, and a task that keeps it connected."""

    def __init__(
        self,
        world: World,
        name: str,
        home: str,
        chance: random.Random,
        *,
        version: int = V5,
        ping_seconds: float = 2.0,
        bound: bool = False,
        session_seconds: int = SESSION_SECONDS,
    ) -> None:
        """A client that is ``bound`` goes to its home node only; without session seconds it keeps none."""
        self.world = world
        self.name = name
        self.home = home
        self.version = version
        self.wire: Wire | None = None
        """The link on which it was let in."""
        self.node = home
        self.promised = False
        """Whether a node has said that there is a session from now on."""
        self.attached = asyncio.Event()
        self.will: Will | None = None
        self.session_seconds = session_seconds
        self.signs = False
        """Whether everything that a node says is noted, to find two owners."""
        self._chance = chance
        self._ping_seconds = ping_seconds
        self._bound = bound
        self._stopped = False
        self._waked = asyncio.Event()
        self._wanted: str | None = None
        """The node it is to go to next, where that is decided."""

    def start(self) -> None:
        """Connect, and again whenever the link ends."""
        self.world.tasks.start(self.name, self._stay())

    def stop(self) -> None:
        """Leave without a word, for good."""
        self._stopped = True
        self._waked.set()
        if self.wire is not None:
            self.wire.abort(LEFT)

    def say_goodbye(self) -> None:
        """Leave in good order, for good."""
        if self.wire is not None:
            self.wire.put(Disconnect(ReasonCode.SUCCESS))
        self.stop()

    def move(self, node: str) -> None:
        """Leave without a word and come back at another node."""
        self._wanted = node
        self._waked.set()
        if self.wire is not None:
            self.wire.abort(LEFT)

    # What the wire tells

    def greeted(self, wire: Wire, connack: ConnAck) -> None:
        """CONNACK came, before anything else."""
        if connack.reason_code != ReasonCode.SUCCESS:
            return
        history = self.world.history
        wire.life = history.opened(
            self.name,
            wire.node,
            self.world.now(),
            present=connack.session_present,
            expects_session=self.promised and self.session_seconds > 0,
        )
        self.promised = True
        self.wire = wire
        self.sign(wire, "CONNACK")
        self.attached.set()
        self.on_attached(wire, connack)

    def received(self, wire: Wire, packet: Packet) -> None:
        """Any other packet came."""
        if wire.life is not None:
            self.sign(wire, type(packet).__name__)
        self.on_packet(wire, packet)

    def detached(self, wire: Wire) -> None:
        """A link ended."""
        if self.wire is wire:
            self.wire = None
            self.attached.clear()

    def misbehaved(self, what: str) -> None:
        """A node said what MQTT does not allow."""
        self.world.history.misbehaviour.append(
            (self.world.now(), f"{self.name} at {self.node}: {what}")
        )

    def sign(self, wire: Wire, what: str) -> None:
        """Note that a node served this client on this link."""
        if self.signs and wire.life is not None:
            self.world.history.signs.append(
                Sign(self.world.now(), self.name, wire.life.serial, what)
            )

    def on_attached(self, wire: Wire, connack: ConnAck) -> None:
        """The session is there: go on with it."""

    def on_packet(self, wire: Wire, packet: Packet) -> None:
        """A packet for the session came."""

    # Staying connected

    async def _stay(self) -> None:
        failures = 0
        while not self._stopped:
            why = await self._live()
            if why is None and self.ends_for_good():
                return
            if why is None:
                failures = 0
            else:
                refusal = Refusal(self.world.now(), self.name, self.node, why)
                self.world.history.refusals.append(refusal)
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
            await self._wait(pause * self._chance.uniform(0.5, 1.5))
            self.node = self._next()

    def ends_for_good(self) -> bool:
        """Whether the client does not come back when its link ends."""
        return self._stopped

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._waked.wait()
        except TimeoutError:
            pass
        self._waked.clear()

    def _next(self) -> str:
        """The node to try now."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            return wanted
        others = [node for node in self.world.addresses if node != self.node]
        return self.home if self._bound or not others else self._chance.choice(others)

    async def _live(self) -> str | None:
        """One link: why it was not let in; ``None`` when it was and has ended."""
        wire = Wire(self)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_SECONDS_MAX):
                await loop.create_connection(lambda: wire, *self.world.addresses[self.node])
        except TimeoutError:
            return "no connection"
        except OSError as error:
            return type(error).__name__
        wire.put(self._greeting())
        try:
            async with asyncio.timeout(GREETING_SECONDS_MAX):
                connack = await asyncio.shield(wire.greeted)
        except TimeoutError:
            wire.abort("no CONNACK")
            return "no CONNACK"
        if connack is None:
            return f"ended: {wire.ended.result()}"
        if connack.reason_code != ReasonCode.SUCCESS:
            wire.abort("refused")
            return connack.reason_code.name.lower()
        await self._watch(wire)
        return None

    def _greeting(self) -> Connect:
        properties = None
        if self.version == V5 and self.session_seconds:
            properties = Properties()
            properties.session_expiry_interval = self.session_seconds
        clean = self.session_seconds == 0
        return Connect(
            self.name,
            self.version,
            clean,
            KEEP_ALIVE_SECONDS,
            will=self.will,
            properties=properties,
        )

    async def _watch(self, wire: Wire) -> None:
        """Wait until the link ends; end it when the node says nothing any more."""
        while not wire.ended.done():
            await asyncio.wait([wire.ended], timeout=self._ping_seconds)
            quiet = time.monotonic() - wire.heard_at
            if quiet > 2 * self._ping_seconds + 0.5:
                wire.abort("silent")
            elif quiet > self._ping_seconds / 2:
                wire.put(PingReq())


@dataclass(slots=True)
class Exchange:
    """A message under way, or the PUBREL that took its place."""

    sending: Sending
    payload: bytes
    released: bool = False


class Publisher(Client):
    """Publishes at a steady rate to topics of its own, at QoS 1 and 2, some retained."""

    def __init__(
        self,
        world: World,
        name: str,
        home: str,
        chance: random.Random,
        streams: list[Stream],
        *,
        retained: list[Stream] | None = None,
        per_second: float,
        window: int = 100,
        **options: object,
    ) -> None:
        super().__init__(world, name, home, chance, **options)  # type: ignore[arg-type]
        self.inflight: dict[int, Exchange] = {}
        """By packet identifier, in the order of sending."""
        self.per_second = per_second
        self.publishing = False
        self._streams = streams
        self._retained = retained or []
        self._window = self._window_max = window
        self._packet_id = 0
        self._numbers: dict[Stream, int] = {}
        self._due = 0.0
        self._content = random.Random(name)

    def on_attached(self, wire: Wire, connack: ConnAck) -> None:
        told = connack.properties and connack.properties.receive_maximum
        self._window = min(self._window_max, told or PACKET_ID_MAX)
        # [MQTT-4.4.0-1] What is not acknowledged is sent again, [MQTT-4.6.0-1] in the same order.
        for packet_id, exchange in self.inflight.items():
            if exchange.released:
                wire.put(PubRel(packet_id))
            else:
                exchange.sending.resent_at.append(self.world.now())
                self._publish(wire, packet_id, exchange, dup=True)

    def tick(self, seconds: float) -> None:
        """Send what is due after so many more seconds."""
        if not self.publishing or self.wire is None:
            return
        self._due = min(self._due + seconds * self.per_second, self._window_max / 4)
        while self._due >= 1 and len(self.inflight) < self._window:
            self._due -= 1
            self._begin(self.wire)

    def on_packet(self, wire: Wire, packet: Packet) -> None:
        if not isinstance(packet, PubAck | PubRec | PubComp):
            return
        exchange = self.inflight.get(packet.packet_id)
        if exchange is None:
            if not isinstance(packet, PubComp):
                self.misbehaved(
                    f"{type(packet).__name__} of {packet.packet_id}, which is not under way"
                )
            return
        failed = packet.reason_code >= 0x80
        history, sending = self.world.history, exchange.sending
        if isinstance(packet, PubRec) and not failed:
            if not exchange.released:
                history.acknowledged(sending.key, self.world.now(), wire.node)
            exchange.released = True
            wire.put(PubRel(packet.packet_id))
            return
        del self.inflight[packet.packet_id]
        if failed and not exchange.released:
            sending.refused = packet.reason_code
        elif isinstance(packet, PubAck):
            history.acknowledged(sending.key, self.world.now(), wire.node)

    def publish_now(self, stream: Stream) -> Sending | None:
        """Publish the next message of one stream out of turn, where there is a link."""
        return None if self.wire is None else self._send_next(self.wire, stream, retain=False)

    def _begin(self, wire: Wire) -> None:
        retain = bool(self._retained) and self._content.random() < 0.1
        self._send_next(
            wire, self._content.choice(self._retained if retain else self._streams), retain=retain
        )

    def _send_next(self, wire: Wire, stream: Stream, *, retain: bool) -> Sending:
        number = self._numbers[stream] = self._numbers.get(stream, 0) + 1
        payload = payload_of(stream, number, self._content.choice((64, 64, 256, 2_000)))
        sending = Sending(stream, number, self.world.now(), wire.node, retain)
        self.world.history.sent(sending)
        packet_id = self._next_packet_id()
        exchange = self.inflight[packet_id] = Exchange(sending, payload)
        self._publish(wire, packet_id, exchange, dup=False)
        return sending

    def _publish(self, wire: Wire, packet_id: int, exchange: Exchange, *, dup: bool) -> None:
        stream, retain = exchange.sending.stream, exchange.sending.retain
        wire.put(
            Publish(
                stream.topic,
                topic_to_wire(stream.topic),
                exchange.payload,
                stream.qos,
                retain,
                dup,
                packet_id,
            )
        )

    def _next_packet_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % PACKET_ID_MAX + 1
            if self._packet_id not in self.inflight:
                return self._packet_id


class Subscriber(Client):
    """Has one subscription for good, and acknowledges what comes."""

    def __init__(
        self,
        world: World,
        name: str,
        home: str,
        chance: random.Random,
        topic_filter: str,
        qos: int,
        **options: object,
    ) -> None:
        super().__init__(world, name, home, chance, **options)  # type: ignore[arg-type]
        self.topic_filter = topic_filter
        self.qos = qos
        self.subscribed = asyncio.Event()
        self.held: set[int] = set()
        """Packet identifiers of QoS 2 messages that are not released yet."""

    def on_attached(self, wire: Wire, connack: ConnAck) -> None:
        if not connack.session_present:
            # [MQTT-3.2.2-5] A client whose session is not there discards its own state.
            self.held.clear()
            self.subscribed.clear()
        if not self.subscribed.is_set():
            wire.put(Subscribe(1, [SubscriptionRequest(self.topic_filter, self.qos)]))

    def on_packet(self, wire: Wire, packet: Packet) -> None:
        if isinstance(packet, Publish):
            self._take(wire, packet)
        elif isinstance(packet, PubRel):
            self.held.discard(packet.packet_id)
            wire.put(PubComp(packet.packet_id))
        elif isinstance(packet, SubAck):
            if packet.reason_codes != [self.qos]:
                self.misbehaved(f"SUBACK with {packet.reason_codes}")
            self.subscribed.set()
            self.world.history.granted(self.name, self.topic_filter, self.qos, self.world.now())

    def _take(self, wire: Wire, packet: Publish) -> None:
        if packet.qos == 2:
            if packet.packet_id in self.held:
                # [MQTT-4.3.3-10] The same message again, not another one.
                wire.put(PubRec(packet.packet_id))
                return
            self.held.add(packet.packet_id)
        self._note(wire, packet)
        if packet.qos:
            wire.put((PubAck if packet.qos == 1 else PubRec)(packet.packet_id))

    def _note(self, wire: Wire, packet: Publish) -> None:
        history, named = self.world.history, named_in(packet.topic, packet.payload)
        if named is None or named not in history.messages:
            history.unknown.append((self.name, f"{packet.payload[:60]!r} on {packet.topic}"))
            return
        assert wire.life is not None
        history.arrived(
            self.name,
            Arrival(self.world.now(), *named, packet.qos, packet.dup, wire.node, wire.life.serial),
        )


class Mortal(Client):
    """Has a will and one link; when that ends, it stays away."""

    def __init__(self, world: World, name: str, home: str, chance: random.Random) -> None:
        super().__init__(world, name, home, chance)
        stream = Stream(name, f"wills/{name}", 2)
        self._sending = Sending(stream, 1, world.now(), home)
        self.will = Will(stream.topic, payload_of(stream, 1, 0), 2)

    def on_attached(self, wire: Wire, connack: ConnAck) -> None:
        history = self.world.history
        if self.name in history.last_wills:
            self.misbehaved("was let in a second time")
            return
        self._sending.sent_at = self.world.now()
        history.sent(self._sending)
        history.last_wills[self.name] = LastWill(
            self.name, self._sending.stream.topic, wire.node, self.world.now()
        )

    def ends_for_good(self) -> bool:
        return True


class Contender(Subscriber):
    """One of several programs that use the same client id, each at a node of its own, again and again.

    What it publishes is no promise but a question: each acknowledgement is a sign of who serves it.
    """

    def __init__(
        self, world: World, name: str, home: str, chance: random.Random, pause_seconds: float
    ) -> None:
        super().__init__(world, name, home, chance, f"twins/{name}", 1, bound=True)
        self.signs = True
        self.takeovers = 0
        self._pause_seconds = pause_seconds
        self._packet_id = 1

    def on_attached(self, wire: Wire, connack: ConnAck) -> None:
        super().on_attached(wire, connack)
        self.takeovers += 1

    def tick(self) -> None:
        """Ask the node for a sign."""
        if self.wire is not None:
            self._packet_id = self._packet_id % 1_000 + 2
            topic = f"signs/{self.name}"
            self.wire.put(Publish(topic, topic_to_wire(topic), b"", 1, packet_id=self._packet_id))

    async def _wait(self, seconds: float) -> None:
        await super()._wait(self._pause_seconds * self._chance.uniform(0.2, 1.8))


class Prober(Client):
    """Tells all nodes from one, a few times a second, and hears what the others tell; keeps no session."""

    def __init__(self, world: World, name: str, home: str, chance: random.Random) -> None:
        super().__init__(world, name, home, chance, bound=True, session_seconds=0, ping_seconds=1.0)
        self.heard: dict[str, float] = {}
        """By node: when the last message that came from there was sent."""
        self.answered_at = 0.0
        """When the last message that was acknowledged had been sent."""
        self._asked: dict[int, float] = {}
        self._packet_id = 1

    def on_attached(self, wire: Wire, connack: ConnAck) -> None:
        self._asked.clear()
        wire.put(Subscribe(1, [SubscriptionRequest("probe/+", 1)]))

    def tick(self) -> None:
        """Tell the others."""
        if self.wire is None:
            return
        self._packet_id = self._packet_id % 1_000 + 2
        now, topic = self.world.now(), f"probe/{self.home}"
        self._asked[self._packet_id] = now
        payload = f"{now:.6f}".encode()
        self.wire.put(Publish(topic, topic_to_wire(topic), payload, 1, packet_id=self._packet_id))

    def on_packet(self, wire: Wire, packet: Packet) -> None:
        if isinstance(packet, Publish):
            node, sent_at = packet.topic.partition("/")[2], float(packet.payload)
            self.heard[node] = max(self.heard.get(node, 0.0), sent_at)
            wire.put(PubAck(packet.packet_id))
        elif isinstance(packet, PubAck) and packet.reason_code < 0x80:
            sent_at = self._asked.pop(packet.packet_id, 0.0)
            self.answered_at = max(self.answered_at, sent_at)


class Looker(Client):
    """Comes to one node and sees what is retained there."""

    def __init__(self, world: World, node: str, topic_filter: str, chance: random.Random) -> None:
        super().__init__(
            world, f"looker-{node}", node, chance, bound=True, session_seconds=0, ping_seconds=1.0
        )
        self.found: dict[str, bytes] = {}
        self.heard_at = 0.0
        """When something came last; 0 until the subscription is granted."""
        self._topic_filter = topic_filter

    def on_attached(self, wire: Wire, connack: ConnAck) -> None:
        wire.put(Subscribe(1, [SubscriptionRequest(self._topic_filter, 1)]))

    def on_packet(self, wire: Wire, packet: Packet) -> None:
        self.heard_at = self.world.now()
        if isinstance(packet, Publish):
            self.found[packet.topic] = packet.payload
            if packet.qos:
                wire.put(PubAck(packet.packet_id))
