"""What the engine needs from outside, as protocols. Adapters live in ``store``, ``auth`` and ``net``.

The values are made anew for every CONNECT and message, so they are plain slotted classes: freezing them
would double what they cost. Nobody changes them. An adapter never learns of the wire and the engine never learns of files, hashes or databases.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from rookery.mqtt.types import ReasonCode
from rookery.records import Group, Loaded


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A client's verified certificate, as far as anybody asks about it."""

    common_name: str = ""
    """Of the subject; empty where it has none, as any text here."""
    subject: str = ""
    """The whole subject as RFC 4514 writes it: ``CN=meter-7,O=Example``."""
    serial: str = ""
    """The serial number in small hexadecimal digits."""
    fingerprint_sha256: str = ""
    """The SHA-256 of the certificate in small hexadecimal digits."""
    dns_names: tuple[str, ...] = ()
    """The alternative names of the subject, by their kinds."""
    email_addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


@dataclass(slots=True)
class Attempt:
    """What is known of a client when it asks to be let in."""

    client_id: str
    """Empty when the client asked for an assigned one."""
    username: str | None
    password: bytes | None
    address: str
    """The peer's host, from the PROXY header where one is believed; empty on a unix socket."""
    listener: str
    """The name of the listener it came by."""
    certificate: PeerCertificate | None = None
    """The verified client certificate, where the client showed one."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the proof of a client's identity itself says that it may do, as the ACL claim of a token does."""

    allow: bool
    action: Literal["publish", "subscribe", "all"]
    topic_filter: str
    qos_min: int = 0
    qos_max: int = 2
    retain: bool | None = None
    """Whether only retained messages are meant, or only others; ``None`` means both."""


@dataclass(slots=True)
class Principal:
    """Who a client is, as the authorizer sees it."""

    name: str | None
    """The authenticated user name; ``None`` is an anonymous client."""
    client_id: str = ""
    address: str = ""
    listener: str = ""
    source: str = ""
    """Which authenticator let it in, ``jwt`` say; empty for an anonymous client."""
    superuser: bool = False
    """Whether no rule applies to it."""
    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What is known beyond the name, by the names that rules use: ``cert_common_name``, ``jwt.sub``."""
    grants: tuple[Grant, ...] = ()
    """Asked before any rule, in order."""
    expires_at_wall: float | None = None
    """When the proof of its identity ends, and with it the link; ``None`` is never."""
    proof: int = 0
    """Which state of what its source knows of it let it in; only that source reads it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is permitted, and by what: for the operator's log, never for the client."""

    allowed: bool
    rule: str
    """The rule that decided and where it stands: ``rookery.yaml:12``, ``the default``."""
    lasting: bool = True
    """Whether it holds until the authorizer's generation moves; else it must be asked for each time."""
    ends_link: bool = False
    """Whether asking for it ends the client's link (0x98)."""


@dataclass(slots=True)
class Accepted:
    """The client is who it says. ``data`` goes back as authentication data (enhanced only)."""

    principal: Principal
    data: bytes | None = None
    client_id: str = ""
    """The client id the client is to have in place of its own; empty leaves it that."""


@dataclass(slots=True)
class Refused:
    """The client is not let in. ``reason`` is for the operator's log, never for the client."""

    reason_code: ReasonCode
    reason: str


@dataclass(slots=True)
class Challenge:
    """Enhanced authentication goes on: the client must answer ``data``. (MQTT 5.0, 4.12)"""

    data: bytes


class Exchange(Protocol):
    """One running enhanced authentication."""

    def step(self, data: bytes | None) -> Awaitable[Accepted | Refused | Challenge]:
        """Take the client's next data."""


class Authenticator(Protocol):
    """Decides who is let in."""

    @property
    def methods(self) -> frozenset[str]:
        """The authentication methods ``begin`` accepts; empty when there is no enhanced one."""

    def authenticate(self, attempt: Attempt) -> Accepted | Refused | Awaitable[Accepted | Refused]:
        """Decide on a name and a password: at once where that takes no work, else off the loop."""

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Begin an enhanced authentication by a method among ``methods``."""

    @property
    def generation(self) -> int:
        """Rises when somebody who was let in may not be any more."""

    def still_admits(self, principal: Principal) -> str | None:
        """``None`` while the principal would be let in again, else the reason, for the operator."""


class Authorizer(Protocol):
    """Decides what a principal may do. Answers are cached per session until ``generation`` moves."""

    @property
    def generation(self) -> int:
        """Rises when an answer given before may no longer hold."""

    def may_publish(
        self, principal: Principal, topic: str, qos: int, retain: bool
    ) -> Decision | Awaitable[Decision]:
        """Whether the principal may publish to this topic name: at once where that takes no work."""

    def may_subscribe(
        self, principal: Principal, topic_filter: str, qos: int
    ) -> Decision | Awaitable[Decision]:
        """Whether the principal may subscribe to this topic filter (without its share group)."""


@dataclass(frozen=True, slots=True)
class Ban:
    """Somebody or something that is kept out."""

    kind: Literal["client_id", "username", "address", "topic"]
    pattern: str
    """A name, in which ``*`` and ``?`` stand for others; an address or network; a topic filter."""
    action: Literal["deny", "disconnect", "log"] = "deny"
    """Whether it is kept out, sent away as well when it is there already, or only told of in the log."""
    reason: str = ""
    """For the operator, never for the client."""
    by: str = ""
    at_wall: float = 0.0
    until_wall: float | None = None
    """When it ends; ``None`` is never."""


class Bans(Protocol):
    """Knows who is kept out, and is told what may get somebody kept out.

    Topics are no part of it: what may be published and subscribed to is asked of the authorizer.
    """

    def count(self) -> int:
        """How many bans are in force."""

    @property
    def disconnecting(self) -> int:
        """Rises with every new ban that also ends the links of those who are there."""

    def of_address(self, address: str) -> Ban | None:
        """What keeps out connections from this address; not one that only logs."""

    def of_client(self, client_id: str, username: str | None) -> Ban | None:
        """What keeps out this client; not one that only logs."""

    def ending(self, client_id: str, username: str | None, address: str) -> Ban | None:
        """What ends the link of this client, who was let in before."""

    def failed(self, address: str) -> None:
        """A client from this address could not prove who it is."""

    def connected(self, client_id: str) -> Ban | None:
        """A client was let in: ``None``, or what keeps it out from now on for coming too often."""


class Store(Protocol):
    """Makes groups durable in the order given, and finds again what it made durable.

    Every method is called on the loop and none waits there: callbacks are called on the loop, later or,
    where nothing takes time, at once.
    """

    @property
    def durability(self) -> str:
        """The level a completed commit has reached: ``memory``, ``os``, ``fsync``, ``replicated``."""

    def open(self) -> Awaitable[Loaded]:
        """Open what there is and load it; once, before anything else.

        What is damaged beyond use is set aside and reported by ``problems``; the store then starts
        from what could be saved.
        """

    def commit(self, group: Group, done: Callable[[Exception | None], None]) -> None:
        """Make one group durable; ``done`` is called in the order of the commits.

        ``done(None)`` says the level is met; ``done(error)`` that nothing of the group is there, and
        that nothing of it may be acknowledged.
        """

    def full(self) -> bool:
        """Whether a message would still not find room, after a commit that failed."""

    def read(
        self, positions: Sequence[int], done: Callable[[Sequence[bytes | None]], None]
    ) -> None:
        """Read log entries; ``None`` stands for one that is not there (any more)."""

    def read_blocks(self, blocks: Sequence[int]) -> Awaitable[list[list[bytes | None]]]:
        """Read all entries of some blocks, at the start.

        ``None`` stands for a damaged one, nothing at all (``b""``) for one that was let go of.
        """

    def problems(self) -> list[str]:
        """What is wrong with the store now, for the operator; empty when nothing is."""

    def bytes_used(self) -> int:
        """What it takes on disk, or in memory where that is where it keeps things."""

    def close(self) -> Awaitable[None]:
        """Finish what was begun and let go of the files."""


class Clock(Protocol):
    """Time, so that the rest of the program never reads it by itself."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    def wall(self) -> float:
        """Seconds since 1970, for people and for what outlives the process."""


class NotStarted(Exception):
    """Something that the node needs cannot be run; the text says what, and what to do."""


class LogFenced(Exception):
    """Somebody else has written to the log, or taken its cell: nothing more may be appended by us."""


class LogUnavailable(Exception):
    """The log did not answer in time, or has no leader now. What was appended may be there or not."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole image of a cell, as of one record of its log."""

    sequence: int
    """The last record whose effects are in it."""
    size_bytes: int
    parts: AsyncIterator[bytes]


class CellLog(Protocol):
    """The replicated log of one cell: its group commits in order, and snapshots of what they add up to.

    Sequences count from 1 and have no gaps that matter: what was forgotten is never asked for.
    """

    @property
    def record_bytes_max(self) -> int:
        """How large one record may be."""

    def append(self, record: bytes, after: int) -> Awaitable[int]:
        """Make a record durable on a majority, right behind the record ``after``; its sequence.

        Raises ``LogFenced`` where another one stands there already, ``LogUnavailable`` where it is not
        known whether the record is there. A record that was appended but not acknowledged may be appended again:
        the caller looks (``read``) what is there before it does.
        """

    def read(self, first: int, count: int) -> Awaitable[list[tuple[int, bytes]]]:
        """Up to ``count`` records from ``first`` on, each with its sequence; empty at the end. From any replica."""

    def last(self) -> Awaitable[int]:
        """The sequence of the last record that is there; 0 for none. Asked of the leader.

        Raises ``LogUnavailable`` while there is none.
        """

    def forget(self, before: int) -> Awaitable[None]:
        """Let go of all records before this sequence."""

    def put_snapshot(self, sequence: int, parts: AsyncIterator[bytes]) -> Awaitable[None]:
        """Keep a snapshot; the one before it goes when this is complete."""

    def snapshot(self) -> Awaitable[Snapshot | None]:
        """The last complete snapshot. From any replica."""


class PeerLink(Protocol):
    """The stream to one other node: frames arrive whole and in order, or the link goes down."""

    def send(self, frame: bytes) -> None:
        """Send a frame, without waiting; called once a turn at most."""

    @property
    def unsent_bytes(self) -> int:
        """What was given to ``send`` and is not on its way yet."""

    def close(self, reason: str) -> None:
        """End the link; it comes up again by itself while the peer is a member."""


class PeerEvents(Protocol):
    """What the network tells the engine of its peers. Called on the loop, each call a turn of its own."""

    def peer_up(self, node_id: str, boot: str, link: PeerLink) -> None:
        """A link to a peer is open, and it to us. ``boot`` is another one after each start of the peer."""

    def peer_down(self, node_id: str, reason: str) -> None:
        """The link is gone; nothing sent and not acknowledged is known to have arrived."""

    def peer_frames(self, node_id: str, frames: Sequence[bytes]) -> None:
        """Frames came, in order."""
