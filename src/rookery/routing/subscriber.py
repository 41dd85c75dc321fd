"""The words the router and the engine share: who subscribes, how, and what a topic name reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from rookery.message import Delivery

if TYPE_CHECKING:
    from rookery.routing.shared import ShareGroup


@mypyc_attr(allow_interpreted_subclasses=True)
class Subscriber:
    """What the router knows of a session. The engine's session derives from it."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.attached = False
        """Whether the session has a live link."""
        self.durable = False
        """Whether the session outlives its link, so that what it is owed must be kept."""
        self.number = 0
        """What the session is called where it is kept; 0 when it is not."""
        self.adopted_from = ""
        """The dead node whose cell it came from; empty for one of this node's own."""
        self.remote = False
        """Whether it stands for sessions of another node."""

    def tell(self, delivery: Delivery) -> None:
        """Put a delivery into the session's mailbox, without waiting."""
        raise NotImplementedError

    def inflight_count(self) -> int:
        """Return how many messages the session has sent and not seen acknowledged."""
        raise NotImplementedError


class Subscription:
    """The granted options of one topic filter. (MQTT 5.0, 3.8.3.1)

    ``topic_filter`` is valid and stands without its ``$share/{group}/``; ``identifier`` 0 is none.
    """

    def __init__(
        self,
        topic_filter: str,
        qos_max: int,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int = 0,
    ) -> None:
        self.topic_filter = topic_filter
        self.qos_max = qos_max
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling
        self.identifier = identifier


class Recipient:
    """One session that gets a message once, with the options of all its subscriptions that match.

    ``no_local`` says that some of them are not for what the session published itself; ``own`` is the
    recipient of those that are, ``None`` where there are none. [MQTT-3.8.3-3]
    """

    def __init__(
        self,
        subscriber: Subscriber,
        qos_max: int,
        no_local: bool,
        retain_as_published: bool,
        identifiers: tuple[int, ...],
        own: Recipient | None = None,
    ) -> None:
        self.subscriber = subscriber
        self.qos_max = qos_max
        self.no_local = no_local
        self.own = own
        self.retain_as_published = retain_as_published
        self.identifiers = identifiers
        """Of a recipient on another node: not empty where a durable session is among those it stands for."""

    def same_as(self, other: Recipient) -> bool:
        """Return whether both are the same session with the same options."""
        return (
            self.subscriber is other.subscriber
            and self.qos_max == other.qos_max
            and self.no_local == other.no_local
            and self.retain_as_published == other.retain_as_published
            and self.identifiers == other.identifiers
        )

    def merged_with(self, other: Recipient) -> Recipient:
        """Return the recipient of two overlapping subscriptions of one session.

        Identifiers are in ascending order; one that both subscriptions have is there twice, as
        MQTT 5.0, 3.3.4 asks.
        """
        return Recipient(
            self.subscriber,
            # [MQTT-3.3.4-2] One copy, at the highest of the granted levels.
            self.qos_max if self.qos_max > other.qos_max else other.qos_max,
            self.no_local or other.no_local,
            self.retain_as_published or other.retain_as_published,
            # [MQTT-3.3.4-4] One copy carries the identifiers of all subscriptions that match.
            tuple(sorted(self.identifiers + other.identifiers)),
            self._own_merged_with(other),
        )

    def _own_merged_with(self, other: Recipient) -> Recipient | None:
        """Return the recipient of what the session published itself, where that differs."""
        if not self.no_local and not other.no_local:
            return None
        mine = self.own if self.no_local else self
        others = other.own if other.no_local else other
        if mine is None or others is None:
            return others if mine is None else mine
        return mine.merged_with(others)


def recipient_of(subscriber: Subscriber, subscription: Subscription) -> Recipient:
    """Return what a single subscription makes of a session."""
    identifier = subscription.identifier
    return Recipient(
        subscriber,
        subscription.qos_max,
        subscription.no_local,
        subscription.retain_as_published,
        (identifier,) if identifier != 0 else (),
    )


class Matches:
    """What a topic name reaches: each recipient once, and the share groups that pick one each.

    It is shared by all who ask for the same topic name: never change it. A share group in it may
    have changed or lost its members since; picking from it is right at any time.
    """

    def __init__(self, recipients: list[Recipient], shares: list[ShareGroup]) -> None:
        self.recipients = recipients
        self.shares = shares
        self.cut_short = False
        """Whether looking for them was given up: it would have taken too long, and nobody is named."""
