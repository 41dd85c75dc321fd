"""What the engine needs from outside, as protocols. Adapters live in ``store``, ``auth`` and ``net``.

The values are made anew for every CONNECT and message, so they are plain slotted classes: freezing them
would double what they cost. Nobody changes them. An adapter never learns of the wire and the engine never learns of files, hashes or databases.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rookery.message import Message
from rookery.mqtt.types import ReasonCode


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
    certificate: Mapping[str, object] | None = None
    """The verified client certificate, as ``ssl.SSLSocket.getpeercert`` tells it."""


@dataclass(slots=True)
class Principal:
    """Who a client is, as the authorizer sees it."""

    name: str | None
    """The authenticated user name; ``None`` is an anonymous client."""
    client_id: str = ""
    address: str = ""
    listener: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Accepted:
    """The client is who it says. ``data`` goes back as authentication data (enhanced only)."""

    principal: Principal
    data: bytes | None = None


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


class Authorizer(Protocol):
    """Decides what a principal may do. Answers are cached per session until ``generation`` moves."""

    @property
    def generation(self) -> int:
        """Rises when an answer given before may no longer hold."""

    def may_publish(self, principal: Principal, topic: str, qos: int, retain: bool) -> bool:
        """Whether the principal may publish to this topic name."""

    def may_subscribe(self, principal: Principal, topic_filter: str, qos: int) -> bool:
        """Whether the principal may subscribe to this topic filter (without its share group)."""


@dataclass(slots=True)
class MessageRecord:
    """A message owed to durable sessions, named by client id."""

    message: Message
    qos: int
    client_ids: tuple[str, ...]


@dataclass(slots=True)
class RetainedRecord:
    """The retained message of a topic changed; ``None`` cleared it."""

    topic: str
    message: Message | None


@dataclass(slots=True)
class SessionRecord:
    """A durable session began, changed its expiry, or (``expiry_seconds`` 0) ended."""

    client_id: str
    expiry_seconds: int


@dataclass(slots=True)
class SubscriptionRecord:
    """A durable session's subscription changed; ``granted_qos`` -1 is its end."""

    client_id: str
    topic_filter: str
    granted_qos: int


Record = MessageRecord | RetainedRecord | SessionRecord | SubscriptionRecord


class Store(Protocol):
    """Makes records durable in the order given, group by group."""

    @property
    def durability(self) -> str:
        """The level a completed commit has reached: ``memory``, ``os``, ``fsync``, ``replicated``."""

    def commit(self, records: list[Record], done: Callable[[Exception | None], None]) -> None:
        """Make one group durable; call ``done`` on the loop, in order of the calls.

        ``done(None)`` says the level is met, ``done(error)`` that nothing of the group may be acknowledged.
        """

    def close(self) -> Awaitable[None]:
        """Finish what was begun and let go of the files."""


class Clock(Protocol):
    """Time, so that the rest of the program never reads it by itself."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    def wall(self) -> float:
        """Seconds since 1970, for people and for what outlives the process."""
