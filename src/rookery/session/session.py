"""A session: everything the node remembers of one client. (MQTT 5.0, 4.1)"""

from rookery.message import NO_IDENTIFIERS
from rookery.mqtt.packets import Will
from rookery.mqtt.topics import matches
from rookery.mqtt.types import SESSION_NEVER_EXPIRES
from rookery.session.inbound import Inbound
from rookery.session.outbound import Outbound


class GrantedSubscription:
    """What the session was granted for one topic filter."""

    def __init__(
        self,
        topic_filter: str,
        share: str | None,
        qos_max: int,
        no_local: bool,
        retain_as_published: bool,
        identifier: int,
        began: int = 0,
    ) -> None:
        self.topic_filter = topic_filter
        """Without the share prefix."""
        self.share = share
        """The share group's name; ``None`` for a subscription of its own."""
        self.qos_max = qos_max
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier
        """The subscription identifier; 0 is none."""
        self.began = began
        """The position in the message log from which on it holds."""
        self.kept_in: int = 0
        """The commit group it went into; 0 when the last process kept it."""

    def same_as(self, other: "GrantedSubscription") -> bool:
        """Whether both say the same, for one topic filter."""
        return (
            self.qos_max == other.qos_max
            and self.no_local == other.no_local
            and self.retain_as_published == other.retain_as_published
            and self.identifier == other.identifier
            and self.began == other.began
        )


class PendingWill:
    """The will of the client's present or last link, until it is published or given up."""

    def __init__(self, will: Will, delay_seconds: int) -> None:
        self.will = will
        self.delay_seconds = delay_seconds


class Session:
    """The state of one client id.

    ``expiry_seconds`` counts from the end of the last link; 0 ends the session with the link and
    ``SESSION_NEVER_EXPIRES`` keeps it. [MQTT-3.1.2-23]
    """

    def __init__(self, client_id: str, inbound: Inbound, outbound: Outbound) -> None:
        self.client_id = client_id
        self.expiry_seconds: int = 0
        self.subscriptions: dict[str, GrantedSubscription] = {}
        """By the topic filter as the client wrote it, share prefix and all."""
        self.inbound = inbound
        self.outbound = outbound
        self.will: PendingWill | None = None

    def identifiers_for(self, topic: str, share: str) -> tuple[int, ...]:
        """The subscription identifiers that a message of the log carries to this client.

        They are those of the subscriptions of now; the log does not keep them. [MQTT-3.3.4-3]
        """
        if share:
            granted = self.subscriptions.get(share)
            if granted is None or not granted.identifier:
                return NO_IDENTIFIERS
            return (granted.identifier,)
        found = [
            granted.identifier
            for granted in self.subscriptions.values()
            if granted.identifier and granted.share is None and matches(granted.topic_filter, topic)
        ]
        return tuple(sorted(found)) if found else NO_IDENTIFIERS

    def wants(self, topic: str, share: str) -> bool:
        """Whether a subscription asks for this topic name, or is the shared one it came by."""
        if share:
            return share in self.subscriptions
        return any(
            granted.share is None and matches(granted.topic_filter, topic)
            for granted in self.subscriptions.values()
        )

    @property
    def durable(self) -> bool:
        """Whether the session outlives its link, so that what it is owed must be kept."""
        return self.expiry_seconds > 0

    def expires_at(self, detached_at: float) -> float | None:
        """When a session without a link ends; ``None`` is never. [MQTT-4.1.0-2]"""
        if self.expiry_seconds == SESSION_NEVER_EXPIRES:
            return None
        return detached_at + self.expiry_seconds

    def will_delay_seconds(self, will: PendingWill) -> int:
        """How long a will waits: its delay, or until the session ends if that is sooner.

        [MQTT-3.1.2-8]
        """
        return min(will.delay_seconds, self.expiry_seconds)
