"""What was promised and what came: the referee of the simulation.

It sees only what clients see, and counts time in events. A promise is a PUBACK or PUBREC that a publisher got;
it binds towards every session whose SUBACK came before the message was first sent and that stayed subscribed.
"""

from dataclasses import dataclass, field

from rookery.mqtt.topics import matches


class Broken(AssertionError):
    """A promise was broken."""


@dataclass(eq=False)
class Sent:
    """One message of a publisher's application."""

    payload: str
    publisher: str
    topic: str
    qos: int
    retain: bool
    sequence: int
    first_sent: int
    packet_id: int = 0
    resent: bool = False
    """Whether its publisher sent it again, which makes a new message of it for QoS 1."""
    acknowledged: int | None = None
    """When its PUBACK or PUBREC came."""
    uncertain_until: int | None = None
    """When its publisher stopped trying; ``None`` while it still does or has succeeded."""

    def over(self, time: int) -> bool:
        """Whether the broker can not have taken it after this time."""
        end = self.acknowledged if self.acknowledged is not None else self.uncertain_until
        return end is not None and end < time


@dataclass(eq=False)
class Held:
    """One subscription of a session."""

    topic_filter: str
    share: str
    asked: int
    qos_max: int
    granted: int | None = None
    """When its SUBACK came."""
    ended: int | None = None
    """When its UNSUBSCRIBE was sent."""

    def binds(self, message: Sent) -> bool:
        """Whether the session must get the message because of it."""
        return (
            self.granted is not None
            and self.ended is None
            and self.granted < message.first_sent
            and min(self.qos_max, message.qos) > 0
            and matches(self.topic_filter, message.topic)
        )

    def allows(self, message: Sent) -> bool:
        """Whether the session may get the message because of it."""
        return matches(self.topic_filter, message.topic) and (
            bool(self.share) or not message.over(self.asked)
        )


@dataclass(eq=False)
class Got:
    """One delivery that a session's client counted."""

    message: Sent
    qos: int


@dataclass(eq=False)
class Seen:
    """One session of a client, from its first CONNACK to its end, as its client knows it."""

    client_id: str
    persistent: bool
    subscriptions: list[Held] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    """Deliveries by payload, retained ones aside."""
    unkept: set[str] = field(default_factory=set)
    """What it got when not even that it has a connection could be kept: DUP is not sure after a crash."""
    ended: bool = False

    def held(self, topic_filter: str, share: str) -> Held | None:
        """The subscription to this filter, if it holds or may hold."""
        for each in self.subscriptions:
            if (each.topic_filter, each.share, each.ended) == (topic_filter, share, None):
                return each
        return None


class Ledger:
    """All messages and all sessions."""

    def __init__(self) -> None:
        self.time = 0
        self.commits_failed = False
        self.sent: dict[str, Sent] = {}
        self.seen: list[Seen] = []

    def tick(self) -> int:
        """One more event."""
        self.time += 1
        return self.time

    def session(self, client_id: str, persistent: bool) -> Seen:
        """A client begins a new session."""
        seen = Seen(client_id, persistent)
        self.seen.append(seen)
        return seen

    def publish(self, message: Sent) -> None:
        """A client sends a message for the first time."""
        self.sent[message.payload] = message

    def deliver(self, seen: Seen, topic: str, payload: str, qos: int, retain: bool) -> None:
        """A client got a message that is none of those it already has."""
        message = self.sent.get(payload)
        if message is None or message.topic != topic:
            raise Broken(f"{seen.client_id} got {payload!r} on {topic}, which nobody sent")
        if retain:
            if not message.retain:
                raise Broken(f"{seen.client_id} got {payload} as retained, which it never was")
            return
        allowed = [each for each in seen.subscriptions if each.allows(message)]
        if not allowed:
            raise Broken(f"{seen.client_id} got {payload} on {topic}: older than its subscription")
        if qos > max(min(each.qos_max, message.qos) for each in allowed):
            raise Broken(f"{seen.client_id} got {payload} with QoS {qos}")
        seen.counted[payload] = seen.counted.get(payload, 0) + 1
        seen.got.append(Got(message, qos))

    def check_first(self, seen: Seen, payload: str) -> None:
        """A client got a message without DUP: it was not sent to it before. [MQTT-3.3.1-1]"""
        message = self.sent.get(payload)
        if message is None or message.resent or message.topic.startswith("s/"):
            return
        if payload in seen.counted and payload not in seen.unkept:
            raise Broken(f"{seen.client_id} got {payload} again without DUP")

    def check_now(self, seen: Seen) -> None:
        """What must hold at any time for one session: QoS 2 once, and order."""
        once: dict[str, int] = {}
        for each in seen.got:
            payload = each.message.payload
            if each.qos == 2 and seen.persistent and not each.message.topic.startswith("s/"):
                once[payload] = once.get(payload, 0) + 1
                if once[payload] > 1:
                    raise Broken(f"{seen.client_id} got {payload} twice with QoS 2")
        last: dict[tuple[str, str, int, int], int] = {}
        known: set[str] = set()
        for each in seen.got:
            message = each.message
            # It was perhaps owed to nobody before, or refused while nothing could be kept.
            again = message.resent and (message.qos == 1 or self.commits_failed)
            if message.payload in known or again or message.topic.startswith("s/"):
                continue
            known.add(message.payload)
            key = (message.publisher, message.topic, message.qos, each.qos)
            if each.qos and message.sequence < last.get(key, 0):
                raise Broken(f"{seen.client_id} got {message.payload} out of order, {key}")
            last[key] = message.sequence

    def check(self) -> None:
        """What must hold at the end, when nothing is under way."""
        for seen in self.seen:
            self.check_now(seen)
        promised = [each for each in self.sent.values() if each.acknowledged is not None]
        lasting = [each for each in self.seen if each.persistent and not each.ended]
        for message in promised:
            for seen in lasting:
                bound = any(not each.share and each.binds(message) for each in seen.subscriptions)
                if bound and message.payload not in seen.counted:
                    raise Broken(f"{seen.client_id} never got {message}")
            self._check_shared(message)

    def _check_shared(self, message: Sent) -> None:
        """Some member has it, where the whole group stayed; QoS 2 one alone."""
        members: dict[tuple[str, str], list[tuple[Seen, Held]]] = {}
        for seen in self.seen:
            for held in seen.subscriptions:
                if held.share and matches(held.topic_filter, message.topic):
                    members.setdefault((held.share, held.topic_filter), []).append((seen, held))
        stayed = [
            all(seen.persistent and not seen.ended and held.ended is None for seen, held in group)
            and any(held.binds(message) for _, held in group)
            and all(held.qos_max for _, held in group)
            for group in members.values()
        ]
        copies = [
            each
            for seen in self.seen
            for each in seen.got
            if message.topic.startswith("s/") and each.message is message
        ]
        if len(copies) < sum(stayed):
            raise Broken(f"of {sum(stayed)} share groups {len(copies)} got {message}")
        lasting = all(seen.persistent for group in members.values() for seen, _ in group)
        if lasting and all(each.qos == 2 for each in copies) and len(copies) > len(members):
            raise Broken(f"{len(members)} share groups got {len(copies)} copies of {message}")
