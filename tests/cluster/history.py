"""What the clients of a cluster saw: facts with their times, and no judgement.

Clients write it while a run goes on; ``checks`` asks afterwards whether it is as it should be. All times are
seconds since the run began, of this machine's monotonic clock, which no fault touches. A message is named by its
stream and its number (``tests.support.ledger``), and its payload says so, so that an arrival can be traced on
whatever way it came.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from tests.support.ledger import Stream, matches

Key: TypeAlias = tuple[Stream, int]


@dataclass(slots=True)
class Sending:
    """One message and its fate with its publisher."""

    stream: Stream
    number: int
    sent_at: float
    node: str
    """Which node it was sent to first."""
    retain: bool = False
    durable: bool = True
    """Whether some session that outlives its link is owed it, or it is retained."""
    resent_at: list[float] = field(default_factory=list)
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    """The node that answered with PUBACK or PUBREC."""
    refused: int = 0
    """The reason code of a refusal; such a message is owed to nobody."""

    @property
    def key(self) -> Key:
        return self.stream, self.number


class Arrival(NamedTuple):
    """A message came to a session, as a new one by its packet identifier."""

    at: float
    stream: Stream
    number: int
    qos: int
    dup: bool
    node: str
    life: int
    """The serial number of the link it came by."""

    @property
    def key(self) -> Key:
        return self.stream, self.number


@dataclass(slots=True)
class Life:
    """One link of a client, from its CONNACK to its end, as the client saw it."""

    serial: int
    client: str
    node: str
    opened_at: float
    session_present: bool
    expects_session: bool
    """Whether a node had promised the client a session before."""
    ended_at: float | None = None
    end: str = ""
    """Why it ended: what the node said, ``lost``, or ``left`` where the client went by itself."""


class Sign(NamedTuple):
    """A node did something for a client on one of its links: it owned the session then."""

    at: float
    client: str
    life: int
    what: str


class Refusal(NamedTuple):
    """A CONNECT did not lead to a session."""

    at: float
    client: str
    node: str
    why: str


class Subscribed(NamedTuple):
    """A session was granted a topic filter: what is sent later is owed to it."""

    topic_filter: str
    qos: int
    at: float


@dataclass(slots=True)
class LastWill:
    """The will of a client, and how its client ended."""

    client: str
    topic: str
    node: str
    armed_at: float
    died_at: float | None = None
    """When its link or its node died, without a goodbye and for good."""
    harmless: bool = False
    """Whether nothing can be said: it ended in a way that allows a will, or none."""


@dataclass(slots=True)
class Fault:
    """What was done to the cluster, and until when."""

    kind: str
    nodes: tuple[str, ...]
    began_at: float
    ended_at: float | None = None
    """When its cause was taken away."""
    settled_at: float | None = None
    """When the cluster did everything again."""

    def covers(self, at: float) -> bool:
        """Whether a moment is between its beginning and the cluster's recovery."""
        end = self.settled_at if self.settled_at is not None else self.ended_at
        return self.began_at <= at and (end is None or at <= end)


class History:
    """The account of one run."""

    def __init__(self) -> None:
        self.messages: dict[Key, Sending] = {}
        self.arrivals: dict[str, list[Arrival]] = {}
        """By session, in the order in which they came."""
        self.seen: dict[str, set[Key]] = {}
        self.unknown: list[tuple[str, str]] = []
        """Arrivals that name no message anybody sent: the session, and what came."""
        self.subscriptions: dict[str, list[Subscribed]] = {}
        self.lives: list[Life] = []
        self.signs: list[Sign] = []
        self.refusals: list[Refusal] = []
        self.last_wills: dict[str, LastWill] = {}
        self.faults: list[Fault] = []
        self.misbehaviour: list[tuple[float, str]] = []
        """What no node may ever say, and did."""
        self._owed_to: dict[str, list[str]] = {}

    def sent(self, sending: Sending) -> None:
        """A message goes out for the first time."""
        assert sending.key not in self.messages
        self.messages[sending.key] = sending

    def acknowledged(self, key: Key, at: float, node: str) -> None:
        """A node answered for a message."""
        sending = self.messages[key]
        if sending.acknowledged_at is None:
            sending.acknowledged_at = at
            sending.acknowledged_by = node

    def arrived(self, session: str, arrival: Arrival) -> None:
        """A message came."""
        self.arrivals.setdefault(session, []).append(arrival)
        self.seen.setdefault(session, set()).add(arrival.key)

    def granted(self, session: str, topic_filter: str, qos: int, at: float) -> None:
        """A session has a subscription from now on; the first time counts."""
        filters = self.subscriptions.setdefault(session, [])
        if all(each.topic_filter != topic_filter for each in filters):
            filters.append(Subscribed(topic_filter, qos, at))
            self._owed_to.clear()

    def opened(
        self, client: str, node: str, at: float, *, present: bool, expects_session: bool
    ) -> Life:
        """A link was let in."""
        life = Life(len(self.lives), client, node, at, present, expects_session)
        self.lives.append(life)
        return life

    def interested(self, topic: str) -> list[str]:
        """The sessions that are owed messages to a topic name."""
        found = self._owed_to.get(topic)
        if found is None:
            found = self._owed_to[topic] = [
                session
                for session, filters in self.subscriptions.items()
                if any(matches(each.topic_filter, topic) for each in filters)
            ]
        return found

    def subscription_to(self, session: str, topic: str) -> Subscribed | None:
        """By what a session is owed messages to a topic name; its filters must not overlap."""
        for each in self.subscriptions.get(session, ()):
            if matches(each.topic_filter, topic):
                return each
        return None

    def owed(self, messages: Iterable[Sending]) -> list[tuple[str, Sending]]:
        """Which of these messages are acknowledged and have not arrived, and where."""
        missing = []
        for sending in messages:
            if sending.acknowledged_at is None or sending.refused:
                continue
            for session in self.interested(sending.stream.topic):
                if sending.key in self.seen.get(session, ()):
                    continue
                subscription = self.subscription_to(session, sending.stream.topic)
                if subscription is not None and subscription.at < sending.sent_at:
                    missing.append((session, sending))
        return missing

    def lives_of(self, client: str) -> list[Life]:
        """The links of a client in their order."""
        return [life for life in self.lives if life.client == client]
