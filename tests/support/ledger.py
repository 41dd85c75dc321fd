"""What was acknowledged and what arrived, and whether the one follows from the other.

A test tells the ledger what its clients see: a message is sent, resent, acknowledged; a subscription is
granted; a message arrives as a new one for the application; a node is started again. The ledger knows no
sockets and reads no clock. What must never happen (an arrival of something nobody sent, a second arrival
at QoS 2, one out of order) is noted as a ``Violation`` when it happens; what has not happened yet (an
arrival that is owed) is found by ``lost`` once everything should have come.

A message is named by its stream (publisher, topic name, QoS) and its number in it; its payload says so, so
an arrival can be traced whatever became of it on the way.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

SHARE: Final = "$share/"
HEAD_BYTES_MAX: Final = 80
EXPIRY_MARGIN_SECONDS: Final = 2.0
"""How far clocks and the way to a client may take an arrival from where its expiry would have it."""
NEVER: Final = 1 << 62
"""Later than any event of a ledger."""


class Stream(NamedTuple):
    """One publisher's messages to one topic name at one QoS: they keep their order."""

    publisher: str
    topic: str
    qos: int


class Moment(NamedTuple):
    """When something happened: the round, and the seconds since the run began."""

    round: int
    seconds: float

    def __str__(self) -> str:
        return f"round {self.round}, {self.seconds:.3f} s"


@dataclass(slots=True)
class Message:
    """One message and its fate with its publisher."""

    number: int
    size: int
    order: int
    """Its place among all events of the ledger."""
    sent: Moment
    clears: bool
    """Whether it is empty, to remove the retained message of its topic."""
    content_type: str
    """The property of this name, for one that must not be lost on the way; empty without it."""
    acknowledged: Moment | None = None
    resent: int = 0
    refused: bool = False
    forbidden: str = ""
    """Why it must not arrive (any more)."""
    expires_seconds: float | None = None
    """When it expires: from then on it is owed to nobody."""

    @property
    def open(self) -> bool:
        """Whether it may still arrive for the first time, or never."""
        return self.acknowledged is None and not self.refused and not self.forbidden


@dataclass(slots=True)
class Subscription:
    """A granted topic filter; share groups count as sessions of their own."""

    topic_filter: str
    qos_max: int
    identifier: int
    order: int
    """Messages sent after this event are owed."""


@dataclass(slots=True)
class Arrival:
    """The first arrival of a message in a session."""

    moment: Moment
    restarts: int


@dataclass(slots=True)
class Session:
    """What one session, or one share group, is owed and has got."""

    name: str
    group: bool = False
    subscriptions: list[Subscription] = field(default_factory=list)
    arrivals: dict[Stream, dict[int, Arrival]] = field(default_factory=dict)
    highest: dict[Stream, int] = field(default_factory=dict)

    def subscription_to(self, topic: str) -> Subscription | None:
        """The subscription a message to this topic name comes by; filters must not overlap."""
        for each in self.subscriptions:
            if matches(each.topic_filter, topic):
                return each
        return None


class Violation(NamedTuple):
    """A broken promise: which kind, and the account of it."""

    kind: str
    account: str


@dataclass
class Counts:
    """What a table of a run shows."""

    sent: int = 0
    resent: int = 0
    acknowledged: int = 0
    refused: int = 0
    arrived: int = 0
    repeated: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Second arrivals in a session, by the QoS of the delivery."""
    repeated_in_group: int = 0
    """QoS 2 messages that two members of a share group got."""


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic filter without wildcards in the first level's ``$`` matches a topic name."""
    levels, names = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index >= len(names) or level not in ("+", names[index]):
            return False
    return len(levels) == len(names)


def payload_of(stream: Stream, number: int, size: int) -> bytes:
    """A payload of so many bytes, at least as long as its own name."""
    head = f"{stream.publisher} {stream.qos} {number}|".encode()
    assert len(head) <= HEAD_BYTES_MAX
    return head + b"." * (size - len(head))


def named_in(topic: str, payload: bytes) -> tuple[Stream, int] | None:
    """The stream and number that a payload names, if it does."""
    head, bar, _ = payload[:HEAD_BYTES_MAX].partition(b"|")
    words = head.decode(errors="replace").split(" ")
    if not bar or len(words) != 3 or not (words[1].isdecimal() and words[2].isdecimal()):
        return None
    return Stream(words[0], topic, int(words[1])), int(words[2])


class Ledger:
    """The account of one run."""

    def __init__(self) -> None:
        self.moment = Moment(0, 0.0)
        """Now; whoever writes in the ledger moves it."""
        self.restarts = 0
        self.counts = Counts()
        self.violations: list[Violation] = []
        self._order = 0
        self._streams: dict[Stream, dict[int, Message]] = {}
        self._settled: dict[Stream, int] = {}
        self._settled_restarts = 0
        self._retained: dict[str, Stream] = {}
        self._sessions: dict[str, Session] = {}
        self._groups: dict[str, Session] = {}
        self._group_of: dict[str, Session] = {}

    # What publishers do

    def sent(
        self,
        stream: Stream,
        number: int,
        size: int,
        *,
        retain: bool = False,
        clears: bool = False,
        content_type: str = "",
        expiry_seconds: int | None = None,
    ) -> None:
        """A message goes out for the first time."""
        self._order += 1
        message = Message(number, size, self._order, self.moment, clears, content_type)
        if expiry_seconds is not None:
            message.expires_seconds = self.moment.seconds + expiry_seconds
        messages = self._streams.setdefault(stream, {})
        assert number not in messages
        assert number > self._settled.get(stream, 0)
        messages[number] = message
        if retain:
            assert self._retained.setdefault(stream.topic, stream) == stream
        self.counts.sent += 1

    def resent(self, stream: Stream, number: int) -> None:
        """A message goes out again, with DUP, because its acknowledgement did not come."""
        self._streams[stream][number].resent += 1
        self.counts.resent += 1

    def acknowledged(self, stream: Stream, number: int) -> None:
        """The publisher was told that the message is taken: from now on it is owed."""
        message = self._streams[stream][number]
        if message.acknowledged is None:
            message.acknowledged = self.moment
            self.counts.acknowledged += 1

    def refused(self, stream: Stream, number: int) -> None:
        """The publisher was told that the message is not taken: it is owed to nobody."""
        self._streams[stream][number].refused = True
        self.counts.refused += 1

    def forbid(self, stream: Stream, number: int, why: str) -> None:
        """The message must not arrive any more: a will whose client is back."""
        self._streams[stream][number].forbidden = why

    # What subscribers see

    def asked(self, name: str, topic_filter: str, qos_max: int, identifier: int = 0) -> None:
        """A session asks for a topic filter: from now on it may receive by it, but is owed nothing.

        One in a share group has no other filter.
        """
        session = self._sessions.setdefault(name, Session(name))
        targets = [session]
        if topic_filter.startswith(SHARE):
            _, group_name, topic_filter = topic_filter.split("/", 2)
            group = self._groups.setdefault(group_name, Session(f"group {group_name}", group=True))
            self._group_of[name] = group
            targets.append(group)
        for each in targets:
            if all(one.topic_filter != topic_filter for one in each.subscriptions):
                each.subscriptions.append(Subscription(topic_filter, qos_max, identifier, NEVER))

    def subscribed(self, name: str, topic_filter: str, qos_max: int, identifier: int = 0) -> None:
        """A session was granted a topic filter: what is sent from now on is owed."""
        self.asked(name, topic_filter, qos_max, identifier)
        bare = topic_filter.split("/", 2)[2] if topic_filter.startswith(SHARE) else topic_filter
        self._order += 1
        group = self._group_of.get(name)
        for each in (self._sessions[name], *([] if group is None else [group])):
            for one in each.subscriptions:
                if one.topic_filter == bare:
                    one.order = min(one.order, self._order)

    def session_answered(self, name: str, *, present: bool, promised: bool) -> None:
        """A CONNACK said whether the session is there, which it must be if it was promised."""
        if present != promised:
            text = "is gone" if promised else "is there and should not be"
            self.violation("session", f"The session of {name} {text} ({self.moment}).")

    def ended(self, name: str) -> None:
        """A session is over and owed nothing more."""
        del self._sessions[name]

    def arrived(
        self,
        name: str,
        topic: str,
        payload: bytes,
        qos: int,
        *,
        dup: bool = False,
        identifiers: Iterable[object] = (),
        content_type: object = None,
    ) -> None:
        """A message came that is new to the client as far as its packet identifier tells.

        ``content_type`` is ``None`` where the client's version has no such property, and else may be empty.
        """
        self.counts.arrived += 1
        found = named_in(topic, payload)
        message = self._sent(*found) if found else None
        session = self._sessions[name]
        if found is None or (message is None and found[1] > self._settled.get(found[0], 0)):
            head = payload[:HEAD_BYTES_MAX]
            self._against(session, "unknown", f"Nobody published {head!r} to {topic}")
            return
        stream, number = found
        subscription = session.subscription_to(topic)
        if subscription is None:
            self._against(session, "unknown", f"{self._name(stream, number)} was not asked for")
            return
        if message is not None and message.forbidden:
            self._against(
                session, "forbidden", f"{self._name(stream, number)}: {message.forbidden}"
            )
        if message is not None and not dup:
            self._check_expiry(session, stream, message)
        if wrong := self._differences(
            subscription, stream, number, payload, qos, list(identifiers)
        ):
            self._against(session, "altered", f"{self._name(stream, number)}: {', '.join(wrong)}")
        if message is not None and content_type not in (None, message.content_type):
            text = f"{self._name(stream, number)}: its content type came as {content_type!r}"
            self._against(session, "altered", text)
        self._note(session, stream, number, qos, dup=dup)

    # What must hold

    def violation(self, kind: str, account: str) -> None:
        """Note a broken promise."""
        self.violations.append(Violation(kind, account))

    def owed(self) -> int:
        """How many arrivals are still to come."""
        return sum(1 for _ in self._missing())

    def lost(self) -> list[Violation]:
        """What was acknowledged, and has not arrived where it should have."""
        return [
            Violation("lost", self._account(session, stream, message))
            for session, stream, message in self._missing()
        ]

    def retained_owed(self) -> dict[str, tuple[int, bool]]:
        """By topic name: the number that must at least be retained, and whether nothing may be."""
        return {topic: self._retained_now(stream)[:2] for topic, stream in self._retained.items()}

    def check_retained(self, found: dict[str, bytes]) -> None:
        """Compare the retained messages: the last acknowledged one of each topic, or a later one."""
        for topic, stream in self._retained.items():
            number_min, may_miss, last = self._retained_now(stream)
            payload = found.get(topic)
            if may_miss if payload is None else self._may_be_retained(stream, number_min, payload):
                continue
            held = "nothing" if payload is None else repr(payload[:HEAD_BYTES_MAX])
            account = (
                f"Retained on {topic} is {held} ({self.moment}).\n"
                f"It should be number {number_min} of {stream.publisher} at QoS {stream.qos}, the "
                f"last one acknowledged, or a later one up to {last.number}."
            )
            self.violation("retained", account)

    def settle(self) -> None:
        """Forget what is settled: everything acknowledged has arrived.

        What arrives of it later is a repetition; only that is remembered.
        """
        unsettled = set()
        for stream, messages in self._streams.items():
            if any(each.open for each in messages.values()):
                unsettled.add(stream)
                continue
            if not messages:
                continue
            last = max(messages)
            self._settled[stream] = last
            # What must never arrive is remembered for good.
            kept = {number: each for number, each in messages.items() if each.forbidden}
            if stream.topic in self._retained:
                kept[last] = messages[last]
            self._streams[stream] = kept
        for session in (*self._sessions.values(), *self._groups.values()):
            for stream in session.arrivals.keys() - unsettled:
                del session.arrivals[stream]
        self._settled_restarts = self.restarts

    def _sent(self, stream: Stream, number: int) -> Message | None:
        return self._streams.get(stream, {}).get(number)

    def _differences(
        self,
        subscription: Subscription,
        stream: Stream,
        number: int,
        payload: bytes,
        qos: int,
        identifiers: list[object],
    ) -> list[str]:
        """Where payload, QoS and subscription identifiers are not what they should be."""
        message = self._sent(stream, number)
        size = len(payload) if message is None else message.size
        wrong = []
        if payload != payload_of(stream, number, size):
            wrong.append(f"its payload of {size} bytes came as {len(payload)} others")
        if qos != min(stream.qos, subscription.qos_max):
            wrong.append(f"it came at QoS {qos}")
        wanted = [subscription.identifier] if subscription.identifier else []
        if identifiers != wanted:
            wrong.append(f"it came with the subscription identifiers {identifiers}, not {wanted}")
        return wrong

    def _check_expiry(self, session: Session, stream: Stream, message: Message) -> None:
        """What has expired must not set out any more. [MQTT-3.3.2-5]

        What had set out comes again with DUP, and of what its publisher sent again the time began anew.
        """
        if message.expires_seconds is None or message.resent:
            return
        late = self.moment.seconds - message.expires_seconds
        if late > EXPIRY_MARGIN_SECONDS:
            text = f"{self._name(stream, message.number)} came {late:.1f} s after it had expired"
            self._against(session, "expired", text)

    def _expired(self, message: Message) -> bool:
        expires = message.expires_seconds
        return expires is not None and self.moment.seconds > expires - EXPIRY_MARGIN_SECONDS

    def _note(self, session: Session, stream: Stream, number: int, qos: int, *, dup: bool) -> None:
        arrivals = session.arrivals.setdefault(stream, {})
        first = arrivals.get(number)
        settled = number <= self._settled.get(stream, 0)
        if first is not None or settled:
            self.counts.repeated[qos] += 1
            restarts = self._settled_restarts if first is None else first.restarts
            self._check_repetition(session, stream, number, qos, first, restarts, dup=dup)
            return
        arrivals[number] = Arrival(self.moment, self.restarts)
        group = self._group_of.get(session.name)
        if group is not None:
            # The members of a share group take turns, so only the group as a whole is owed, and
            # nothing is said of the order.
            in_group = group.arrivals.setdefault(stream, {})
            if number in in_group and qos == 2:
                self.counts.repeated_in_group += 1
            in_group.setdefault(number, arrivals[number])
            return
        highest = session.highest.get(stream, 0)
        message = self._sent(stream, number)
        # The first copy may have expired in its place; one that was sent again begins its time anew.
        again = message is not None and message.expires_seconds is not None and message.resent
        if number < highest and not again:
            text = f"{self._name(stream, number)} came after number {highest}"
            self._against(session, "order", text)
        session.highest[stream] = max(highest, number)

    def _check_repetition(
        self,
        session: Session,
        stream: Stream,
        number: int,
        qos: int,
        first: Arrival | None,
        restarts: int,
        *,
        dup: bool,
    ) -> None:
        message = self._sent(stream, number)
        when = "in an earlier, settled round" if first is None else f"in {first.moment}"
        text = f"{self._name(stream, number)} came again; it came first {when}"
        if qos == 2:
            self._against(session, "twice", text)
        elif not (dup or self.restarts > restarts or (message is not None and message.resent)):
            self._against(
                session, "repeated", f"{text}, without DUP, a resend or a restart between"
            )

    def _missing(self) -> Iterable[tuple[Session, Stream, Message]]:
        for session in (*self._sessions.values(), *self._groups.values()):
            if session.name in self._group_of:
                continue
            for stream, messages in self._streams.items():
                subscription = session.subscription_to(stream.topic)
                if subscription is None:
                    continue
                arrived = session.arrivals.get(stream, {})
                settled = self._settled.get(stream, 0)
                for number, message in messages.items():
                    if (
                        message.acknowledged is not None
                        and not message.forbidden
                        and not self._expired(message)
                        and number not in arrived
                        and number > settled
                        and message.order > subscription.order
                    ):
                        yield session, stream, message

    def _retained_now(self, stream: Stream) -> tuple[int, bool, Message]:
        """The least number that must be retained, whether nothing may be, and the last message."""
        messages = self._streams[stream]
        acknowledged = [each for each in messages.values() if each.acknowledged is not None]
        number_min = max((each.number for each in acknowledged), default=0)
        later = [each for each in messages.values() if each.number >= number_min]
        may_miss = number_min == 0 or any(each.clears for each in later)
        return number_min, may_miss, messages[max(messages)]

    def _may_be_retained(self, stream: Stream, number_min: int, payload: bytes) -> bool:
        named = named_in(stream.topic, payload)
        message = None if named is None else self._sent(*named)
        return (
            message is not None
            and named is not None
            and named[0] == stream
            and message.number >= number_min
            and not message.clears
            and payload == payload_of(stream, message.number, message.size)
        )

    def _name(self, stream: Stream, number: int) -> str:
        return f"Message {number} of {stream.publisher} to {stream.topic} at QoS {stream.qos}"

    def _against(self, session: Session, kind: str, text: str) -> None:
        self.violation(kind, f"{text} (in {session.name}, {self.moment}).")

    def _account(self, session: Session, stream: Stream, message: Message) -> str:
        """Everything that is known of a message that did not arrive."""
        subscription = session.subscription_to(stream.topic)
        assert subscription is not None
        seen = [
            f"{each.name} in {arrival.moment}"
            for each in self._sessions.values()
            if (arrival := each.arrivals.get(stream, {}).get(message.number)) is not None
        ]
        highest = max(session.arrivals.get(stream, {}), default=0)
        return (
            f"{self._name(stream, message.number)} did not arrive in {session.name}, which has "
            f"{subscription.topic_filter} at QoS {subscription.qos_max}.\n"
            f"Sent in {message.sent}, resent {message.resent} times, acknowledged in "
            f"{message.acknowledged}.\n"
            f"Seen by {', '.join(seen) or 'nobody'}; the last of its stream that came is "
            f"{highest or 'none'}."
        )
