"""A broker without a network: its ports are doubles, its time stands until it is moved, its turns are taken.

``Engine`` drives a real ``Broker`` as ``rookery.net.poller`` does: bytes come in, ready sessions are drained,
records are committed, and what asked to be flushed is written. Each ``Peer`` is a client with its own codec.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from rookery.engine.broker import Broker
from rookery.engine.client_link import ClientLink
from rookery.engine.gate import Quota
from rookery.engine.link_handle import LinkHandle
from rookery.engine.recovery import Recovery
from rookery.engine.session_actor import SessionActor
from rookery.engine.settings import Behaviour, Denial, Limits, Protection, Settings
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import (
    ConnAck,
    Connect,
    Packet,
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
from rookery.ports import (
    Accepted,
    Attempt,
    Authenticator,
    Authorizer,
    Ban,
    Bans,
    Challenge,
    Decision,
    PeerCertificate,
    Principal,
    Refused,
    Store,
)
from rookery.records import (
    Group,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
    block_of,
    index_of,
    position_of,
)

T = TypeVar("T")
TURNS_MAX = 10_000
Verdict = Accepted | Refused | Challenge

LIMITS = Limits(
    packet_bytes_max=1_048_576,
    client_id_bytes_max=64,
    topic_bytes_max=1_024,
    topic_levels_max=8,
    receive_maximum=65_535,
    inflight_max=1_000,
    queue_messages_max=1_000,
    queue_bytes_max=1_000_000,
    queue_seconds_max=None,
    output_bytes_max=1_000_000,
    subscriptions_per_session_max=100,
    retained_messages_max=1_000,
    retained_bytes_max=1_000_000,
    connections_max=100,
    sessions_max=1_000_000,
    connects_per_second_max=1_000,
    connect_deadline_seconds=10.0,
    keep_alive_seconds_max=65_535,
    session_expiry_seconds_max=0xFFFFFFFF,
    topic_aliases_in_max=10,
    topic_aliases_out_max=10,
)

BEHAVIOUR = Behaviour(
    node_id="test",
    persistent_session_expiry_seconds=7_200,
    server_keep_alive_seconds=None,
    share_strategy="round_robin",
    payload_format_checked=True,
    response_information=None,
    server_reference=None,
    sys_interval_seconds=0,
)


def settings(**changed: Any) -> Settings:
    """The settings above with some changed, whatever part they belong to, by their names."""
    values = {
        field.name: getattr(part, field.name)
        for part in (LIMITS, BEHAVIOUR, Denial(), Protection())
        for field in fields(part)
    }
    assert changed.keys() <= values.keys()
    values |= changed
    return Settings(
        *(
            kind(**{field.name: values[field.name] for field in fields(kind)})
            for kind in (Limits, Behaviour, Denial, Protection)
        )
    )


class FakeClock:
    """A clock that somebody moves."""

    def __init__(self, now: float = 1_000.0, wall: float = 1_700_001_000.0) -> None:
        self.now = now
        self._wall_minus_now = wall - now

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self._wall_minus_now + self.now


class Content:
    """What a store holds durably: the rows of all groups it committed."""

    def __init__(self) -> None:
        self.blocks: dict[int, list[bytes]] = {}
        self.sessions: dict[int, SessionRow] = {}
        self.subscriptions: dict[tuple[int, str], SubscriptionRow] = {}
        self.progress: dict[int, ProgressRow] = {}
        self.inbound: set[tuple[int, int]] = set()
        self.outbound: dict[tuple[int, int], OutboundRow] = {}
        self.retained: dict[str, int] = {}
        self.facts: dict[str, bytes] = {}
        self.next_block = 1
        self.next_number = 1
        self.alive_at_wall = 0.0

    def apply(self, group: Group, wall: float) -> None:
        """Make one group durable."""
        self.alive_at_wall = wall
        if group.entries:
            assert group.block >= self.next_block, "a block is written once"
            for block in range(group.block, group.next_block()):
                self.blocks[block] = group.block_entries(block)
            self.next_block = group.next_block()
        self.next_number = max([self.next_number, *(number + 1 for number in group.sessions)])
        _apply_rows(self.sessions, group.sessions)
        _apply_rows(self.subscriptions, group.subscriptions)
        _apply_rows(self.outbound, group.outbound)
        _apply_rows(self.retained, group.retained)
        _apply_rows(self.facts, group.facts)
        self.progress.update(group.progress)
        for key, held in group.inbound.items():
            (self.inbound.add if held else self.inbound.discard)(key)
        for number, session in group.sessions.items():
            if session is None:
                self._forget(number)
        for block, kept in group.trimmed.items():
            entries = self.blocks.get(block, [])
            for index in range(len(entries)):
                if position_of(block, index) not in kept:
                    entries[index] = b""
        for block in group.finished_blocks:
            self.blocks.pop(block, None)

    def _forget(self, number: int) -> None:
        self.progress.pop(number, None)
        for rows in (self.subscriptions, self.outbound):
            for key in [key for key in rows if key[0] == number]:
                del rows[key]
        self.inbound = {key for key in self.inbound if key[0] != number}

    def loaded(self) -> Loaded:
        """All of it, as a store tells it when it is opened."""
        loaded = Loaded()
        loaded.sessions = list(self.sessions.values())
        loaded.subscriptions = list(self.subscriptions.values())
        loaded.progress = list(self.progress.values())
        loaded.inbound = sorted(self.inbound)
        loaded.outbound = list(self.outbound.values())
        loaded.retained = list(self.retained.items())
        loaded.facts = dict(self.facts)
        loaded.blocks = sorted(self.blocks)
        loaded.next_block = self.next_block
        loaded.next_number = self.next_number
        loaded.alive_at_wall = self.alive_at_wall
        return loaded


def _apply_rows(rows: dict[Any, Any], changed: Mapping[Any, Any]) -> None:
    for key, row in changed.items():
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row


class FakeStore:
    """A store in memory whose commits are done when the test says so, oldest first, or ``at_once``.

    What was committed stays, whoever opens it: an ``Engine.restart`` finds it again.
    """

    durability = "fsync"

    def __init__(self, at_once: bool = False) -> None:
        self.at_once = at_once
        self.reads_at_once = True
        self.is_full = False
        """Whether it has no room for messages: a group that has some fails, another does not."""
        self.is_broken = False
        """Whether every group fails."""
        self.groups: list[Group] = []
        self.content = Content()
        self.clock: FakeClock | None = None
        self._waiting: list[tuple[Group, Callable[[Exception | None], None]]] = []
        self._reads: list[tuple[Sequence[int], Callable[[Sequence[bytes | None]], None]]] = []

    @property
    def blocks(self) -> dict[int, list[bytes]]:
        return self.content.blocks

    async def open(self) -> Loaded:
        return self.content.loaded()

    def commit(self, group: Group, done: Callable[[Exception | None], None]) -> None:
        assert not self._waiting, "one commit is under way at a time"
        self.groups.append(group)
        self._waiting.append((group, done))
        if self.at_once:
            self.complete()

    def read(
        self, positions: Sequence[int], done: Callable[[Sequence[bytes | None]], None]
    ) -> None:
        self._reads.append((positions, done))
        if self.reads_at_once:
            self.complete_read()

    def complete_read(self) -> None:
        """Answer the oldest read."""
        positions, done = self._reads.pop(0)
        done([self._entry(position) for position in positions])

    @property
    def reading(self) -> int:
        return len(self._reads)

    def _entry(self, position: int) -> bytes | None:
        entries = self.blocks.get(block_of(position), [])
        index = index_of(position)
        return entries[index] or None if index < len(entries) else None

    async def read_blocks(self, blocks: Sequence[int]) -> list[list[bytes | None]]:
        return [list(self.blocks.get(block, [])) for block in blocks]

    def full(self) -> bool:
        return self.is_full or self.is_broken

    def problems(self) -> list[str]:
        return []

    def bytes_used(self) -> int:
        return 0

    async def close(self) -> None:
        assert not self._waiting

    def complete(self, error: Exception | None = None) -> None:
        """Say of the oldest group that it is durable, or that it never will be."""
        group, done = self._waiting.pop(0)
        if self.is_broken or (self.is_full and group.entries):
            error = OSError("full")
        if error is None:
            self._apply(group)
        done(error)

    def crash(self, kept: int = 0) -> None:
        """The node goes down: of the commits under way the first ``kept`` reached the disk."""
        for group, _ in self._waiting[:kept]:
            self._apply(group)
        self._waiting.clear()
        self._reads.clear()

    def _apply(self, group: Group) -> None:
        self.content.apply(group, 0.0 if self.clock is None else self.clock.wall())

    @property
    def waiting(self) -> int:
        return len(self._waiting)


class FakeAuthenticator:
    """Gives the verdicts it was given: plain ones, or awaitables of them."""

    def __init__(self, *verdicts: Verdict | Awaitable[Verdict], methods: str = "") -> None:
        self.methods = frozenset(methods.split())
        self.generation = 0
        self.unwanted: dict[str | None, str] = {}
        """By user name: why it would not be let in again."""
        self.verdicts = list(verdicts)
        self.attempts: list[Attempt] = []
        self.data: list[bytes | None] = []

    def authenticate(self, attempt: Attempt) -> Any:
        self.attempts.append(attempt)
        return self.verdicts.pop(0) if self.verdicts else Accepted(Principal(attempt.username))

    def still_admits(self, principal: Principal) -> str | None:
        return self.unwanted.get(principal.name)

    def begin(self, method: str, attempt: Attempt) -> "FakeAuthenticator":
        assert method in self.methods
        self.attempts.append(attempt)
        return self

    def step(self, data: bytes | None) -> Any:
        self.data.append(data)
        return self.verdicts.pop(0)


class FakeAuthorizer:
    """Allows everything but what is in ``denied``, and keeps what it was asked.

    While it is ``slow`` its answers wait until ``answer``, and are those of that moment.
    """

    def __init__(self, *denied: str, slow: bool = False) -> None:
        self.denied = set(denied)
        self.slow = slow
        self.lasting = True
        self.generation = 0
        self.asked: list[str] = []
        self.open: list[tuple[str, asyncio.Future[Decision]]] = []

    def may_publish(self, principal: Principal, topic: str, qos: int, retain: bool) -> Any:
        return self._decide(topic)

    def may_subscribe(self, principal: Principal, topic_filter: str, qos: int) -> Any:
        return self._decide(topic_filter)

    def deny(self, *topics: str) -> None:
        """Deny these too from now on."""
        self.denied.update(topics)
        self.generation += 1

    def answer(self) -> None:
        """Answer all that is open."""
        waiting, self.open = self.open, []
        for topic, answer in waiting:
            answer.set_result(self._decision(topic))

    def _decide(self, topic: str) -> Decision | asyncio.Future[Decision]:
        self.asked.append(topic)
        if not self.slow:
            return self._decision(topic)
        answer: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self.open.append((topic, answer))
        return answer

    def _decision(self, topic: str) -> Decision:
        return Decision(topic not in self.denied, "a rule", self.lasting)


class FakeBans:
    """Keeps nobody out; for tests to derive from, as the engine's own may be compiled."""

    disconnecting = 0

    def count(self) -> int:
        return 0

    def of_address(self, address: str) -> Ban | None:
        return None

    def of_client(self, client_id: str, username: str | None) -> Ban | None:
        return None

    def ending(self, client_id: str, username: str | None, address: str) -> Ban | None:
        return None

    def failed(self, address: str) -> None:
        pass

    def connected(self, client_id: str) -> Ban | None:
        return None


class FakeHandle(LinkHandle):
    """A connection to a peer that reads at once, unless it ``stalls``."""

    def __init__(self, engine: "Engine") -> None:
        super().__init__()
        self.engine = engine
        self.client: ClientLink
        self.written = b""
        self.flush_requested = False
        self.work_requested = False
        self.closed = False
        self.paused = False
        self.stalls = False
        self.peer_certificate: PeerCertificate | None = None

    def request_flush(self) -> None:
        if not self.flush_requested:
            self.flush_requested = True
            self.engine.dirty.append(self)

    def request_work(self, first: bool = False) -> None:
        if not self.work_requested:
            self.work_requested = True
            (self.engine.starved if first else self.engine.unfinished).append(self)
        self.engine.broker.request_turn()

    def close(self) -> None:
        self.closed = True
        self.request_flush()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.closed = True
        self.engine.broker.gate.leave(self.client)

    def certificate(self) -> PeerCertificate | None:
        return self.peer_certificate

    def work(self, now: float) -> None:
        self.work_requested = False
        if not self.closed:
            self.resume()
            self.client.work(now)

    def flush(self) -> None:
        self.flush_requested = False
        data = self.client.take_output()
        self.written += data
        if self.stalls:
            self.unsent_bytes += len(data)


class Peer:
    """A client: its own codec, and the broker's link it talks to."""

    def __init__(self, engine: "Engine", version: int, address: str = "192.0.2.1") -> None:
        limits = engine.broker.settings.limits
        self.engine = engine
        self.link = Link(CLIENT, PACKET_BYTES_LIMIT, 100, version)
        self.io = FakeHandle(engine)
        self.client = ClientLink(engine.broker, self.io, address, "tcp", engine.broker.now)
        self.io.client = self.client
        engine.broker.gate.enter(self.client, engine.quota, engine.broker.now)
        engine.broker.gate.identify(self.client, engine.broker.now)
        deadline = engine.broker.now + limits.connect_deadline_seconds
        engine.broker.timers.at(deadline, self.client)

    @property
    def closed(self) -> bool:
        return self.io.closed

    @property
    def actor(self) -> SessionActor:
        assert self.client.actor is not None
        return self.client.actor

    def encode(self, *packets: Packet) -> bytes:
        for packet in packets:
            assert self.link.send(packet)
        return self.link.take_output()

    def send(self, *packets: Packet) -> list[Packet]:
        """Send packets in one piece; return what the client has got when all is done."""
        return self.send_bytes(self.encode(*packets))

    def send_bytes(self, data: bytes) -> list[Packet]:
        self.engine.turn((self, data))
        self.engine.settle()
        return self.take()

    def take(self) -> list[Packet]:
        """What came since the last time."""
        data, self.io.written = self.io.written, b""
        packets = self.link.receive(data)
        assert self.link.fault is None, self.link.fault
        return packets

    def take_one(self) -> Any:
        (packet,) = self.take()
        return packet

    def read(self) -> list[Packet]:
        """Read what was left unread, as a peer does that stalled."""
        packets = self.take()
        self.io.unsent_bytes = 0
        self.engine.broker.begin_turn()
        self.client.writable(self.engine.broker.now)
        self.engine.end_turn()
        self.engine.settle()
        return packets + self.take()

    def subscribe(
        self, *filters: str, qos: int = 0, identifier: int = 0, **options: Any
    ) -> list[Packet]:
        """Subscribe and return what came after the SUBACK."""
        asked = props(subscription_identifiers=[identifier]) if identifier else None
        requests = [SubscriptionRequest(each, qos, **options) for each in filters]
        suback, *rest = self.send(Subscribe(900, requests, asked))
        assert isinstance(suback, SubAck)
        assert all(code < 0x80 for code in suback.reason_codes)
        return rest

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, **more: Any) -> list[Packet]:
        """Publish; a message with QoS needs a ``packet_id``."""
        return self.send(publish(topic, payload, qos, **more))

    def drop(self) -> None:
        """Lose the connection without a word."""
        self.engine.broker.begin_turn()
        self.client.lost()
        self.engine.end_turn()
        self.engine.settle()


class Engine:
    """A broker whose turns the test takes. Further arguments are settings."""

    def __init__(
        self,
        store: Store | None = None,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
        clock: FakeClock | None = None,
        bans: Bans | None = None,
        **changed: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.store = store or FakeStore(at_once=True)
        if isinstance(self.store, FakeStore):
            self.store.clock = self.clock
        self.broker = Broker(
            settings(**changed),
            self.store,
            authenticator or FakeAuthenticator(),
            authorizer or FakeAuthorizer(),
            self.clock,
            bans,
        )
        self.stats = self.broker.stats
        self.quota = Quota(None, None, self.clock.now)
        """What the listener that all peers come by counts."""
        self.dirty: list[FakeHandle] = []
        self.starved: list[FakeHandle] = []
        self.unfinished: list[FakeHandle] = []
        self.turn_requested = False
        self.recovery: Recovery | None = None
        self.broker.request_turn = self._request_turn

    @classmethod
    def restart(cls, store: FakeStore, after_seconds: float = 1.0, **changed: Any) -> "Engine":
        """A new node on what another one made durable, some time after that one's last moment.

        Its monotonic clock has nothing to do with the other's.
        """
        assert store.clock is not None
        clock = FakeClock(now=50_000.0, wall=store.clock.wall() + after_seconds)
        engine = cls(store, clock=clock, **changed)
        engine.recovery = run(engine._recover())
        engine.turn()
        engine.settle()
        return engine

    @classmethod
    def started(
        cls,
        store: FakeStore,
        clock: FakeClock,
        peers: Callable[[Broker], Any],
        **changed: Any,
    ) -> "Engine":
        """A node of a cluster on what its store holds."""
        engine = cls(store, clock=clock, **changed)
        engine.broker.peers = peers(engine.broker)
        engine.recovery = run(engine._recover())
        engine.turn()
        engine.settle()
        return engine

    async def _recover(self) -> Recovery:
        recovery = Recovery(self.broker, await self.broker.store.open())
        await recovery.run()
        return recovery

    def _request_turn(self) -> None:
        self.turn_requested = True

    def turn(self, *inputs: tuple[Peer, bytes]) -> None:
        """One turn, in which these bytes come."""
        self.turn_requested = False
        self.broker.begin_turn()
        unfinished = self.starved + self.unfinished
        self.starved, self.unfinished = [], []
        for handle in unfinished:
            handle.work(self.broker.now)
        for peer, data in inputs:
            if not peer.closed:
                peer.client.received(data, self.broker.now)
        self.end_turn()

    def end_turn(self) -> None:
        self.broker.end_turn()
        self.flush()

    def flush(self) -> None:
        while self.dirty:
            dirty, self.dirty = self.dirty, []
            for handle in dirty:
                handle.flush()

    def settle(self) -> int:
        """Take turns while somebody asks for one; return how many that were."""
        for count in range(TURNS_MAX):
            if not self.turn_requested:
                return count
            self.turn()
        raise AssertionError("the broker asks for turns without end")

    def wait(self, seconds: float) -> None:
        """Let time pass, second by second, as the poller's tick does."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now = min(self.clock.now + 1, until)
            self.turn()
            self.settle()

    async def until(self, there: Callable[[], object]) -> None:
        """Let the loop turn until something is there."""
        for _ in range(1_000):
            if there():
                return
            await asyncio.sleep(0)
            self.settle()
            self.flush()
        raise AssertionError("it never came")

    def complete(self, error: Exception | None = None) -> None:
        """Have the oldest commit done, as a store does between two turns."""
        assert isinstance(self.store, FakeStore)
        self.store.complete(error)
        self.flush()
        self.settle()

    def complete_all(self) -> None:
        """Have commits done until none is under way."""
        assert isinstance(self.store, FakeStore)
        while self.store.waiting:
            self.complete()

    def publish_kept(self, topic: str) -> None:
        """Publish something that takes a place in the log."""
        self.broker.publish(topic, b"kept", retain=True)
        self.settle()

    def peer(self, version: int = V5, address: str = "192.0.2.1") -> Peer:
        """A connection on which nothing was sent yet."""
        return Peer(self, version, address)

    def ask(self, connect: Connect) -> tuple[Peer, list[Packet]]:
        """Connect with this packet; return the client and what it was answered."""
        peer = self.peer(connect.version)
        return peer, peer.send(connect)

    def connect(self, client_id: str, version: int = V5, **asked: Any) -> Peer:
        """Connect a client that is let in; properties and CONNECT's fields by name."""
        peer, connack = self.connect_more(client_id, version, **asked)
        assert not connack
        return peer

    def connect_more(
        self, client_id: str, version: int = V5, **asked: Any
    ) -> tuple[Peer, list[Packet]]:
        """Like ``connect``; also return what came after the CONNACK."""
        peer, (first, *more) = self.ask(connect(client_id, version, **asked))
        assert isinstance(first, ConnAck)
        assert first.reason_code == ReasonCode.SUCCESS
        return peer, more


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


def props(**values: Any) -> Properties:
    """Properties by name."""
    properties = Properties()
    for name, value in values.items():
        assert hasattr(properties, name)
        setattr(properties, name, value)
    return properties


def connect(client_id: str, version: int = V5, **asked: Any) -> Connect:
    """A CONNECT: its fields by name, and its properties."""
    names = ("clean_start", "keep_alive_seconds", "username", "password", "will")
    known = {name: asked.pop(name) for name in names if name in asked}
    return Connect(client_id, version, **known, properties=props(**asked) if asked else None)


def publish(topic: str, payload: bytes = b"x", qos: int = 0, **more: Any) -> Publish:
    """A PUBLISH: its fields by name, and its properties."""
    names = ("retain", "dup", "packet_id")
    known = {name: more.pop(name) for name in names if name in more}
    properties = props(**more) if more else None
    return Publish(topic, topic_to_wire(topic), payload, qos, **known, properties=properties)


def will(topic: str, payload: bytes = b"gone", qos: int = 0, **more: Any) -> Will:
    """A will: its fields by name, and its properties."""
    retain = more.pop("retain", False)
    return Will(topic, payload, qos, retain, props(**more) if more else None)


def said(packets: list[Packet]) -> list[str]:
    """Packets in brief: ``PUBLISH t=x q1 #7 dup``, ``PUBACK #7 0x10``, ``SUBACK #9 0x01 0x87``."""
    return [brief(packet) for packet in packets]


def brief(packet: Packet) -> str:
    words = [type(packet).__name__.upper()]
    if isinstance(packet, Publish):
        words.append(f"{packet.topic}={packet.payload.decode()}")
        words += [f"q{packet.qos}", f"#{packet.packet_id}"] if packet.qos else []
        words += ["dup"] if packet.dup else []
        words += ["retain"] if packet.retain else []
        return " ".join(words)
    if isinstance(packet, PubAck | PubRec | PubRel | PubComp):
        words.append(f"#{packet.packet_id}")
    for code in getattr(packet, "reason_codes", ()):
        words.append(f"0x{code:02X}")
    if getattr(packet, "reason_code", 0):
        words.append(f"0x{packet.reason_code:02X}")
    if getattr(packet, "session_present", False):
        words.append("present")
    return " ".join(words)
