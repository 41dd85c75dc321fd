"""Shared subscriptions: a group of sessions of which one gets each message. (MQTT 5.0, 4.8.2)"""

from typing import Final

from rookery.mqtt.topics import SHARE_PREFIX
from rookery.routing.subscriber import Recipient, Subscriber
from rookery.routing.wide import WideDict

ROUND_ROBIN: Final = "round_robin"
RANDOM: Final = "random"
STICKY: Final = "sticky"
LEAST_INFLIGHT: Final = "least_inflight"

STRATEGIES: Final = (ROUND_ROBIN, RANDOM, STICKY, LEAST_INFLIGHT)

NOBODY: Final = -1


def share_key(name: str, topic_filter: str) -> str:
    """Return a share group's topic filter as it is written in a SUBSCRIBE. [MQTT-4.8.2-1]"""
    return f"{SHARE_PREFIX}{name}/{topic_filter}"


def known_strategy(strategy: str) -> str:
    """Return the strategy; ``ValueError`` when there is no such one."""
    if strategy not in STRATEGIES:
        raise ValueError(f"{strategy!r} is none of {', '.join(STRATEGIES)}")
    return strategy


class ShareGroup:
    """The members of one group name with one topic filter, and whose turn it is.

    Strategies: ``round_robin`` takes the members in turn; ``random`` follows the caller's chance;
    ``sticky`` stays with a member while it is attached; ``least_inflight`` takes the member with
    the fewest unacknowledged messages, in turn where several have as few.

    A member with a live link always goes before one without. Members are in no lasting order:
    those before ``_turn`` had this round's turn, those from it on have not.
    """

    def __init__(self, name: str, topic_filter: str, strategy: str) -> None:
        """Make an empty group; ``ValueError`` when there is no such strategy."""
        self.name = name
        self.key = share_key(name, topic_filter)
        """The group as a client writes it."""
        self.topic_filter = topic_filter
        self.strategy = known_strategy(strategy)
        self._members: list[Recipient] = []
        self._positions: WideDict[Subscriber, int] = WideDict()
        self._turn = 0
        self._local_turn = 0
        self._stuck_to: Subscriber | None = None

    def member_count(self) -> int:
        """Return the number of members, attached or not."""
        return len(self._members)

    def members(self) -> list[Recipient]:
        """Return the members, in no lasting order."""
        return list(self._members)

    def put(self, recipient: Recipient) -> bool:
        """Add a member, or change its options; return whether it is new."""
        position = self._positions.get(recipient.subscriber)
        if position is not None:
            self._members[position] = recipient
            return False
        self._positions.put(recipient.subscriber, len(self._members))
        self._members.append(recipient)
        return True

    def remove(self, subscriber: Subscriber) -> bool:
        """Remove a member; return whether it was one."""
        position = self._positions.pop(subscriber)
        if position is None:
            return False
        gap: int = position
        if gap < self._turn:
            # The gap moves to the edge of those who had their turn, so that nobody changes sides.
            self._turn -= 1
            if gap != self._turn:
                self._move(self._turn, gap)
            gap = self._turn
        last = len(self._members) - 1
        if gap != last:
            self._move(last, gap)
        self._members.pop()
        if self._stuck_to is subscriber:
            self._stuck_to = None
        return True

    def local_count(self) -> int:
        """Return how many members have their session on this node."""
        return sum([not member.subscriber.remote for member in self._members])

    def local_counts(self) -> tuple[int, int, bool, int]:
        """Of the members of this node: how many, how many attached, whether any is durable, the highest QoS."""
        members = 0
        attached = 0
        durable = False
        qos_max = 0
        for member in self._members:
            subscriber = member.subscriber
            if subscriber.remote:
                continue
            members += 1
            if subscriber.attached:
                attached += 1
            if subscriber.durable:
                durable = True
            qos_max = max(qos_max, member.qos_max)
        return members, attached, durable, qos_max

    def pick_local(self, chance: int, attached_only: bool) -> Recipient | None:
        """Return a member of this node, ``None`` when there is none; one with a link first.

        Another node has picked this one, or messages stay where they are published.
        """
        attached: list[Recipient] = []
        detached: list[Recipient] = []
        for member in self._members:
            if not member.subscriber.remote:
                (attached if member.subscriber.attached else detached).append(member)
        candidates = attached or ([] if attached_only else detached)
        if not candidates:
            return None
        self._local_turn += 1
        if self.strategy == RANDOM:
            return candidates[chance % len(candidates)]
        return candidates[self._local_turn % len(candidates)]

    def pick(self, chance: int, excluded: Subscriber | None = None) -> Recipient | None:
        """Return the member that gets the next message, ``None`` when there is none.

        ``chance`` is any number >= 0, drawn by the caller from a range far wider than the group;
        only ``random`` looks at it. ``excluded`` is passed over: it handed the message back.
        """
        strategy = self.strategy
        if strategy == ROUND_ROBIN:
            position = self._in_turn(excluded)
        elif strategy == RANDOM:
            position = self._by_chance(chance, excluded)
        elif strategy == STICKY:
            position = self._stuck(excluded)
        else:
            position = self._least_inflight(excluded)
        return None if position == NOBODY else self._members[position]

    def _move(self, source: int, target: int) -> None:
        member = self._members[source]
        self._members[target] = member
        self._positions.put(member.subscriber, target)

    def _in_turn(self, excluded: Subscriber | None) -> int:
        members = self._members
        count = len(members)
        position = self._turn
        fallback = NOBODY
        for _ in range(count):
            if position >= count:
                position = 0
            subscriber = members[position].subscriber
            if subscriber is not excluded:
                if subscriber.attached:
                    self._turn = position + 1
                    return position
                if fallback == NOBODY:
                    fallback = position
            position += 1
        if fallback != NOBODY:
            self._turn = fallback + 1
        return fallback

    def _by_chance(self, chance: int, excluded: Subscriber | None) -> int:
        members = self._members
        count = len(members)
        if count == 0:
            return NOBODY
        position = chance % count
        subscriber = members[position].subscriber
        if subscriber.attached and subscriber is not excluded:
            return position
        attached: list[int] = []
        detached: list[int] = []
        for position in range(count):
            subscriber = members[position].subscriber
            if subscriber is not excluded:
                (attached if subscriber.attached else detached).append(position)
        candidates = attached or detached
        # The quotient is independent of the remainder that chose the member which is unfit.
        return candidates[chance // count % len(candidates)] if candidates else NOBODY

    def _stuck(self, excluded: Subscriber | None) -> int:
        stuck_to = self._stuck_to
        held = NOBODY
        if stuck_to is not None and stuck_to is not excluded:
            position = self._positions.get(stuck_to)
            assert position is not None  # A member that leaves is let go of.
            if stuck_to.attached:
                return position
            held = position
        other = self._in_turn(excluded)
        if other == NOBODY or (held != NOBODY and not self._members[other].subscriber.attached):
            return held
        self._stuck_to = self._members[other].subscriber
        return other

    def _least_inflight(self, excluded: Subscriber | None) -> int:
        members = self._members
        count = len(members)
        position = self._turn
        best = NOBODY
        best_inflight = 0
        for _ in range(count):
            if position >= count:
                position = 0
            subscriber = members[position].subscriber
            if subscriber.attached and subscriber is not excluded:
                inflight = subscriber.inflight_count()
                if best == NOBODY or inflight < best_inflight:
                    best = position
                    best_inflight = inflight
            position += 1
        if best == NOBODY:
            return self._in_turn(excluded)
        self._turn = best + 1
        return best
