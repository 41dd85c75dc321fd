"""Which sessions a topic name reaches.

Filters without a wildcard are one mapping from filter to audience: they cost no tree and match by
one look-up. Filters with wildcards form a tree with one node per topic level, walked level by level
with the set of nodes reached so far, never by recursion. What was found is cached per topic name;
a change of a filter without a wildcard forgets that one topic name, a change of a wildcard forgets
all. A session that joins or leaves a share group that goes on existing changes no cached result:
the group is asked for a member at each message.
"""

from __future__ import annotations

from typing import Final

from rookery.routing.cache import MatchCache
from rookery.routing.shared import ROUND_ROBIN, ShareGroup, known_strategy, share_key
from rookery.routing.subscriber import (
    Matches,
    Recipient,
    Subscriber,
    Subscription,
    recipient_of,
)
from rookery.routing.wide import WideDict

SEARCH_STEPS_MAX: Final = 16_384
"""Nodes that one topic name may lead to before the search is given up.

At each level a node leads to two at most, so a topic name of up to 14 levels never does, whatever anybody
subscribes to. A longer one does only where thousands of filters differ in where they have their wildcards:
without a bound each message to it would take seconds.
"""


WHOLE_ANSWER: Final = 3
"""The highest QoS, counted from 1."""


class Audience(WideDict[Subscriber, Recipient]):
    """All who subscribed with one filter: the mapping of sessions, and the share groups by name."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: WideDict[str, ShareGroup] | None = None


class Node(WideDict[str, "Node"]):
    """One level of the wildcard filters: the mapping of its literal children, and the others."""

    def __init__(self) -> None:
        super().__init__()
        self.plus: Node | None = None
        """The child of the single-level wildcard."""
        self.here: Audience | None = None
        """Who subscribed with the filter that ends at this level."""
        self.rest: Audience | None = None
        """Who subscribed with the filter that ends with a multi-level wildcard below this level."""


class Router:
    """All subscriptions of this node."""

    def __init__(self, share_strategy: str = ROUND_ROBIN) -> None:
        """Make an empty router; ``ValueError`` when there is no such share strategy."""
        self.subscription_count = 0
        """How many subscriptions there are, shared ones included."""
        self.share_count = 0
        """How many of them are shared."""
        self.filter_count = 0
        """How many different topic filters they have."""
        self.searched = 0
        """Nodes visited by searches since somebody last set it to 0."""
        self.changed: set[str] | None = None
        """The filters (with share prefix) that sessions of this node joined or left; ``None`` is not noted."""
        self._share_strategy = known_strategy(share_strategy)
        self._exact: WideDict[str, Audience] = WideDict()
        self._root = Node()
        self._cache = MatchCache()

    def subscribe(
        self, subscriber: Subscriber, subscription: Subscription, share: str | None
    ) -> bool:
        """Add a subscription, to the share group of this name unless that is ``None`` or empty.

        Returns ``True`` when it is new and ``False`` when it replaced the session's subscription
        with the same filter (and group). [MQTT-3.8.4-3]
        """
        topic_filter = subscription.topic_filter
        audience = self._audience_made(topic_filter)
        recipient = recipient_of(subscriber, subscription)
        if not share:
            known = audience.get(subscriber)
            if known is not None and known.same_as(recipient):
                return False  # Clients repeat their subscriptions whenever they reconnect.
            new = audience.put(subscriber, recipient)
            self._forget_matches(topic_filter)
        else:
            new = self._group_made(audience, share, topic_filter).put(recipient)
            if new and not subscriber.remote:
                self.share_count += 1
        if not subscriber.remote:
            if new:
                self.subscription_count += 1
            if self.changed is not None:
                self.note_change(topic_filter, share)
        return new

    def note_change(self, topic_filter: str, share: str | None) -> None:
        """Somebody of this node joined or left, or is durable now and was not before."""
        changed = self.changed
        if changed is not None:
            changed.add(share_key(share, topic_filter) if share else topic_filter)

    def local_audience(self, topic_filter: str) -> tuple[int, bool]:
        """Of the sessions of this node with just this filter: the highest QoS, and whether any is durable.

        The QoS counts from 1 here: 0 says that there is no session.
        """
        audience = self._audience(topic_filter)
        found = 0
        durable = False
        if audience is not None:
            recipients: list[Recipient] = []
            audience.values_into(recipients)
            for recipient in recipients:
                subscriber = recipient.subscriber
                if subscriber.remote:
                    continue
                found = max(found, recipient.qos_max + 1)
                if subscriber.durable and recipient.qos_max:
                    durable = True
                if durable and found == WHOLE_ANSWER:
                    break
        return found, durable

    def unsubscribe(self, subscriber: Subscriber, topic_filter: str, share: str | None) -> bool:
        """Remove a subscription; return whether there was one. [MQTT-3.10.4-1]"""
        if not is_wildcard(topic_filter):
            audience = self._exact.get(topic_filter)
            if audience is None or not self._leave(audience, subscriber, topic_filter, share):
                return False
            if is_deserted(audience):
                self.filter_count -= 1
                self._exact.pop(topic_filter)
            return True
        levels = topic_filter.split("/")
        path = self._path(levels)
        if path is None:
            return False
        node = path[-1]
        audience = node.rest if levels[-1] == "#" else node.here
        if audience is None or not self._leave(audience, subscriber, topic_filter, share):
            return False
        if is_deserted(audience):
            self.filter_count -= 1
            if levels[-1] == "#":
                node.rest = None
            else:
                node.here = None
            prune(path, levels)
        return True

    def match(self, topic: str) -> Matches:
        """Return what a topic name reaches. The answer is shared: do not change it."""
        matches = self._cache.get(topic)
        if matches is None:
            audiences = self._audiences(topic, SEARCH_STEPS_MAX)
            if audiences is None:
                matches = Matches([], [])
                matches.cut_short = True
            else:
                matches = matches_of(audiences)
            self._cache.put(topic, matches)
        return matches

    def match_whole(self, topic: str) -> Matches:
        """Return what a topic name reaches however long it takes; for the start, when nobody waits."""
        matches = self.match(topic)
        if not matches.cut_short:
            return matches
        audiences = self._audiences(topic, 0)
        assert audiences is not None
        return matches_of(audiences)

    def share(self, name: str, topic_filter: str) -> ShareGroup | None:
        """Return the share group of this name and filter, ``None`` when it has no member."""
        audience = self._audience(topic_filter)
        if audience is None or audience.shares is None:
            return None
        return audience.shares.get(name)

    def _audience(self, topic_filter: str) -> Audience | None:
        if not is_wildcard(topic_filter):
            return self._exact.get(topic_filter)
        path = self._path(topic_filter.split("/"))
        if path is None:
            return None
        return path[-1].rest if topic_filter.endswith("#") else path[-1].here

    def _audiences(self, topic: str, steps_max: int) -> list[Audience] | None:
        """The audiences of a topic name; ``None`` where that takes more steps, unless the bound is 0."""
        steps = 0
        audiences: list[Audience] = []
        exact = self._exact.get(topic)
        if exact is not None:
            audiences.append(exact)
        root = self._root
        reached: list[Node] = [root]
        # [MQTT-4.7.2-1] A leading wildcard matches no topic name that begins with $.
        hidden = topic.startswith("$")
        levels = topic.split("/")
        if steps_max:
            steps_max += 2 * len(levels)  # Those of a long name that leads straight on.
        for level in levels:
            below: list[Node] = []
            steps += len(reached)
            if steps_max and steps > steps_max:
                self.searched += steps
                return None
            for node in reached:
                rest = node.rest
                if rest is not None and not hidden:
                    audiences.append(rest)
                child = node.get(level)
                if child is not None:
                    below.append(child)
                plus = node.plus
                if plus is not None and not hidden:
                    below.append(plus)
            if not below:
                self.searched += steps
                return audiences
            reached = below
            hidden = False
        self.searched += steps
        for node in reached:
            here = node.here
            if here is not None:
                audiences.append(here)
            rest = node.rest  # ``a/#`` matches ``a`` too. (MQTT 5.0, 4.7.1.2)
            if rest is not None:
                audiences.append(rest)
        return audiences

    def _audience_made(self, topic_filter: str) -> Audience:
        if not is_wildcard(topic_filter):
            audience = self._exact.get(topic_filter)
            if audience is None:
                audience = Audience()
                self.filter_count += 1
                self._exact.put(topic_filter, audience)
            return audience
        node = self._root
        for level in topic_filter.split("/"):
            if level == "#":
                audience = node.rest
                if audience is None:
                    audience = Audience()
                    self.filter_count += 1
                    node.rest = audience
                return audience
            child = node.plus if level == "+" else node.get(level)
            if child is None:
                child = Node()
                if level == "+":
                    node.plus = child
                else:
                    node.put(level, child)
            node = child
        audience = node.here
        if audience is None:
            audience = Audience()
            self.filter_count += 1
            node.here = audience
        return audience

    def _group_made(self, audience: Audience, name: str, topic_filter: str) -> ShareGroup:
        shares = audience.shares
        if shares is None:
            shares = WideDict()
            audience.shares = shares
        group = shares.get(name)
        if group is None:
            group = ShareGroup(name, topic_filter, self._share_strategy)
            shares.put(name, group)
            self._forget_matches(topic_filter)
        return group

    def _leave(
        self, audience: Audience, subscriber: Subscriber, topic_filter: str, share: str | None
    ) -> bool:
        if not share:
            if audience.pop(subscriber) is None:
                return False
            self._forget_matches(topic_filter)
        else:
            shares = audience.shares
            group = None if shares is None else shares.get(share)
            if shares is None or group is None or not group.remove(subscriber):
                return False
            if not subscriber.remote:
                self.share_count -= 1
            if group.member_count() == 0:
                shares.pop(share)
                self._forget_matches(topic_filter)
        if not subscriber.remote:
            self.subscription_count -= 1
            if self.changed is not None:
                self.note_change(topic_filter, share)
        return True

    def _forget_matches(self, topic_filter: str) -> None:
        if is_wildcard(topic_filter):
            self._cache.clear()
        else:
            self._cache.forget(topic_filter)

    def _path(self, levels: list[str]) -> list[Node] | None:
        """Return the nodes from the root to a filter's last level (the one above its ``#``)."""
        node = self._root
        path = [node]
        for level in levels:
            if level == "#":
                break
            child = node.plus if level == "+" else node.get(level)
            if child is None:
                return None
            node = child
            path.append(node)
        return path


def is_wildcard(topic_filter: str) -> bool:
    """Return whether a valid topic filter has a wildcard."""
    return "+" in topic_filter or "#" in topic_filter


def is_deserted(audience: Audience) -> bool:
    """Return whether nobody is left."""
    shares = audience.shares
    return audience.count == 0 and (shares is None or shares.count == 0)


def prune(path: list[Node], levels: list[str]) -> None:
    """Cut off the nodes at the end of a path that lead nowhere any more, the last one first."""
    for depth in range(len(path) - 1, 0, -1):
        node = path[depth]
        if node.count or node.plus is not None or node.here is not None or node.rest is not None:
            return
        if levels[depth - 1] == "+":
            path[depth - 1].plus = None
        else:
            path[depth - 1].pop(levels[depth - 1])


def matches_of(audiences: list[Audience]) -> Matches:
    """Return the recipients, each session once, and the share groups of some audiences."""
    recipients: list[Recipient] = []
    shares: list[ShareGroup] = []
    for audience in audiences:
        audience.values_into(recipients)
        groups = audience.shares
        if groups is not None:
            groups.values_into(shares)
    if len(audiences) > 1 and len(recipients) > 1:
        recipients = merged(recipients)
    return Matches(recipients, shares)


def merged(recipients: list[Recipient]) -> list[Recipient]:
    """Return the recipients with those of one session made one."""
    by_subscriber: dict[Subscriber, Recipient] = {}
    for recipient in recipients:
        subscriber = recipient.subscriber
        known = by_subscriber.get(subscriber)
        by_subscriber[subscriber] = recipient if known is None else known.merged_with(recipient)
    if len(by_subscriber) == len(recipients):
        return recipients
    return list(by_subscriber.values())
