"""Plain counters of one node, added to where the work is done and read when somebody asks.

Nothing here locks, calls out or reads a clock: counting is one addition. What is a *state* rather
than a count (how many sessions there are) is not kept here at all: ``Gauges`` asks its owner at
reading time.
"""

from typing import Final, Protocol

from rookery.session.outbound import (
    DROPPED_EXPIRED,
    DROPPED_OFFLINE,
    DROPPED_OUTPUT_FULL,
    DROPPED_QUEUE_FULL,
    DROPPED_TOO_LARGE,
)

# Why a message was not delivered to a recipient it was meant for. Each reason is a key of
# ``Stats.dropped`` from the start, so a reader sees it at 0 before it first happens.
DROP_QUEUE_FULL: Final = "queue_full"
"""The session's outbound queue was at its limit of messages or bytes."""
DROP_OUTPUT_FULL: Final = "output_full"
"""QoS 0 for a link whose unsent output was at its limit: a slow reader."""
DROP_OFFLINE_QOS0: Final = "offline_qos0"
"""QoS 0 for a session without a link."""
DROP_EXPIRED: Final = "expired"
"""The message expiry interval passed before it could be sent."""
DROP_PACKET_TOO_LARGE: Final = "packet_too_large"
"""The PUBLISH would be larger than the client's maximum packet size."""
DROP_NOT_AUTHORIZED: Final = "not_authorized"
"""The publisher may not publish to that topic."""
DROP_INVALID: Final = "invalid"
"""The PUBLISH was refused for its content: its topic name, its payload format or its QoS."""
DROP_RETAINED_FULL: Final = "retained_full"
"""Retained messages were at their limit, so the message was not kept."""
DROP_COMMIT_FAILED: Final = "commit_failed"
"""The store could not make the message durable, so it was not acknowledged."""
DROP_TOO_MANY_BRANCHES: Final = "too_many_branches"
"""Its deep topic name led to more branches of the filter tree than are looked at."""
DROP_OVERLOAD: Final = "overload"
"""QoS 0 for a slow reader while the node is overloaded, before its output was at its limit."""
DROP_SESSION_ENDED: Final = "session_ended"
"""The message was still queued when its session ended, or its share group had no member left anywhere."""
DROP_PEER_DOWN: Final = "peer_down"
"""It was for another node that is not there now, and nobody there is owed it."""
DROP_PEER_SLOW: Final = "peer_slow"
"""QoS 0 for another node that takes less than it is told."""
DROP_REVOKED: Final = "revoked"
DROP_TOO_OLD: Final = "too_old"
"""The message was queued for a subscription that the client may no longer have."""

DROP_REASONS: Final[list[str]] = [
    DROP_QUEUE_FULL,
    DROP_OUTPUT_FULL,
    DROP_OFFLINE_QOS0,
    DROP_EXPIRED,
    DROP_PACKET_TOO_LARGE,
    DROP_NOT_AUTHORIZED,
    DROP_INVALID,
    DROP_RETAINED_FULL,
    DROP_COMMIT_FAILED,
    DROP_TOO_MANY_BRANCHES,
    DROP_OVERLOAD,
    DROP_SESSION_ENDED,
    DROP_REVOKED,
    DROP_TOO_OLD,
    DROP_PEER_DOWN,
    DROP_PEER_SLOW,
]

DROP_REASON_OF: Final = {
    DROPPED_OFFLINE: DROP_OFFLINE_QOS0,
    DROPPED_QUEUE_FULL: DROP_QUEUE_FULL,
    DROPPED_OUTPUT_FULL: DROP_OUTPUT_FULL,
    DROPPED_EXPIRED: DROP_EXPIRED,
    DROPPED_TOO_LARGE: DROP_PACKET_TOO_LARGE,
}
"""By the outcome of a delivery to a session."""

# Why a link ended: the keys of ``Stats.disconnects``.
END_CLIENT: Final = "client"
"""The client sent DISCONNECT."""
END_CONNECTION_LOST: Final = "connection_lost"
"""The network connection went without a DISCONNECT."""
END_KEEP_ALIVE: Final = "keep_alive"
"""Nothing came for one and a half times the keep alive."""
END_TAKEOVER: Final = "takeover"
"""Another link with the same client id took the session over."""
END_PEER_FAULT: Final = "peer_fault"
"""The client broke the protocol or a limit of it."""
END_NOT_AUTHORIZED: Final = "not_authorized"
"""The client was put out for something it may not do."""
END_OVERLOAD: Final = "overload"
"""The client did not read what it is owed, or the node was over a limit."""
END_ADMINISTRATIVE: Final = "administrative"
"""An operator ended the link."""
END_RATE_EXCEEDED: Final = "rate_exceeded"
"""The client sent more than its rates allow, where that ends a link."""
END_SHUTDOWN: Final = "shutdown"
"""The node is stopping."""
END_MOVED: Final = "moved"
"""Sent to another node, which serves it as well."""
END_INTERNAL: Final = "internal"
"""A fault of the node itself ended the link."""

END_REASONS: Final[list[str]] = [
    END_CLIENT,
    END_CONNECTION_LOST,
    END_KEEP_ALIVE,
    END_TAKEOVER,
    END_PEER_FAULT,
    END_NOT_AUTHORIZED,
    END_OVERLOAD,
    END_ADMINISTRATIVE,
    END_RATE_EXCEEDED,
    END_SHUTDOWN,
    END_MOVED,
    END_INTERNAL,
]


# Why a network connection was closed before its client was answered: the keys of ``Stats.refused``.
REFUSED_CONNECTIONS_MAX: Final = "connections_max"
"""The node had far more connections than it may."""
REFUSED_LISTENER_FULL: Final = "listener_full"
"""The listener had all the connections it may."""
REFUSED_ADDRESS_FULL: Final = "address_full"
"""The address had all the connections it may."""
REFUSED_ADDRESS_RATE: Final = "address_rate"
"""The address made connections faster than it may."""
REFUSED_BANNED: Final = "banned"
"""The address is banned."""
REFUSED_HALF_OPEN: Final = "half_open"
"""It sent no CONNECT while newer ones needed its place."""

REFUSED_REASONS: Final[list[str]] = [
    REFUSED_CONNECTIONS_MAX,
    REFUSED_LISTENER_FULL,
    REFUSED_ADDRESS_FULL,
    REFUSED_ADDRESS_RATE,
    REFUSED_BANNED,
    REFUSED_HALF_OPEN,
]

# Whose rate made a link wait: the keys of ``Stats.paused``.
BOUND_CLIENT: Final = "client"
BOUND_ADDRESS: Final = "address"
BOUND_LISTENER: Final = "listener"

BOUNDS: Final[list[str]] = [BOUND_CLIENT, BOUND_ADDRESS, BOUND_LISTENER]

# What is put off or left undone when the node is overloaded: the keys of ``Stats.shed``.
SHED_SYS: Final = "sys_topics"
"""A round of ``$SYS`` messages that was not published."""
SHED_RETAINED: Final = "retained"
"""A turn in which a session got fewer retained messages than it would."""

SHED: Final[list[str]] = [SHED_SYS, SHED_RETAINED]

# Why the node bans by itself: the keys of ``Stats.bans_made``.
BAN_CAUSE_FAILURES: Final = "authentication_failures"
BAN_CAUSE_FLAPPING: Final = "flapping"

BAN_CAUSES: Final[list[str]] = [BAN_CAUSE_FAILURES, BAN_CAUSE_FLAPPING]
BAN_KINDS: Final[list[str]] = ["client_id", "username", "address", "topic"]
"""The keys of ``Stats.banned``."""


class Gauges(Protocol):
    """What stands at this moment, asked for at reading time only."""

    def connections(self) -> int:
        """Links with an accepted CONNECT."""

    def sessions(self) -> int:
        """Sessions, with or without a link."""

    def subscriptions(self) -> int:
        """Subscriptions of all sessions, shared ones among them."""

    def shared_subscriptions(self) -> int:
        """Subscriptions that are members of a share group."""

    def topics(self) -> int:
        """Different topic filters with a subscriber."""

    def retained_messages(self) -> int:
        """Topics with a retained message."""

    def retained_bytes(self) -> int:
        """Bytes the retained messages take against their limit."""

    def queued_messages(self) -> int:
        """Messages waiting for a session: outbound queues, backlogs, unacknowledged deliveries."""

    def paced_clients(self) -> int:
        """Links that are not read from for a while because of a rate."""

    def relayed_clients(self) -> int:
        """Clients that are connected here and have their sessions on other nodes."""

    def half_open(self) -> int:
        """Connections whose CONNECT has not come yet."""

    def overload_level(self) -> int:
        """How overloaded the node is: 0 not, 1 work is shed, 2 connections are refused too."""

    def bans(self) -> int:
        """Bans in force."""

    def store_bytes(self) -> int:
        """What the store takes, on disk or in memory."""

    def store_problems(self) -> int:
        """How many things are wrong with the store."""


class Stats:
    """The counters. They rise from 0 at the start of the process and never fall.

    A writer adds to the attributes itself; only what has a key has a method.
    """

    def __init__(self, started_at: float) -> None:
        self.started_at: float = started_at
        """Monotonic seconds at which the node began."""

        self.packets_received: int = 0
        self.packets_sent: int = 0
        self.packets_invalid: int = 0
        """Packets that ended their link: malformed or a protocol error."""
        self.bytes_received: int = 0
        """Bytes of control packets; TLS and WebSocket framing are not in it."""
        self.bytes_sent: int = 0

        self.messages_received: int = 0
        """PUBLISH packets in, whatever became of them. A resend counts again."""
        self.messages_received_qos0: int = 0
        self.messages_received_qos1: int = 0
        self.messages_received_qos2: int = 0
        self.messages_sent: int = 0
        """PUBLISH packets out. A resend counts again."""
        self.messages_sent_qos0: int = 0
        self.messages_sent_qos1: int = 0
        self.messages_sent_qos2: int = 0
        self.payload_bytes_received: int = 0
        """Payloads of PUBLISH packets in."""
        self.payload_bytes_sent: int = 0
        self.messages_acked: int = 0
        """QoS 1 and 2 deliveries that the receiver finished: PUBACK or PUBCOMP in."""
        self.messages_routed: int = 0
        """Recipients a message was given to: one message for three sessions counts three."""
        self.messages_unrouted: int = 0
        """Messages that nobody was subscribed to. Not a drop: nobody was meant to have them."""
        self.messages_retained: int = 0
        """Retained messages set or replaced."""
        self.retained_cleared: int = 0
        self.retained_sent: int = 0
        """Retained messages sent because of a subscription."""
        self.wills_published: int = 0
        self.messages_forwarded: int = 0
        """Messages told to other nodes, once for each node."""
        self.messages_kept_for_peers: int = 0
        """Those of them that our own log kept until the other node had them."""
        self.messages_from_peers: int = 0
        """Messages that other nodes told."""
        self.claims_asked: int = 0
        """CONNECTs for whose client id the other nodes were asked."""
        self.dropped: dict[str, int] = dict.fromkeys(DROP_REASONS, 0)

        self.connections_total: int = 0
        """Network connections accepted, before any CONNECT."""
        self.connects_received: int = 0
        """CONNECT packets that could be parsed."""
        self.connects_accepted: int = 0
        """CONNACK packets with success."""
        self.connects_refused: dict[int, int] = {}
        """By the 5.0 reason code, also where the client speaks 3.x."""
        self.refused: dict[str, int] = dict.fromkeys(REFUSED_REASONS, 0)
        """Network connections closed before their client was answered, for one of ``REFUSED_REASONS``."""
        self.connections_max: int = 0
        """The most connections there ever were at once."""
        self.disconnects: dict[str, int] = dict.fromkeys(END_REASONS, 0)

        self.sessions_created: int = 0
        self.sessions_resumed: int = 0
        self.sessions_taken_over: int = 0
        self.sessions_discarded: int = 0
        """Ended by a clean start or a clean session of the same client id."""
        self.sessions_expired: int = 0
        self.sessions_max: int = 0
        """The most sessions there ever were at once."""

        self.subscriptions_made: int = 0
        """Topic filters granted, a repeated one too."""
        self.subscriptions_refused: int = 0
        self.subscriptions_ended: int = 0
        """Topic filters unsubscribed."""
        self.subscriptions_revoked: int = 0
        """Subscriptions ended because rules changed."""

        self.commits: int = 0
        """Groups made durable."""
        self.commits_failed: int = 0
        self.records_committed: int = 0
        self.overloads: int = 0
        """How often the node became overloaded, or more so."""
        self.shed: dict[str, int] = dict.fromkeys(SHED, 0)
        """Work that was put off or left undone for that."""
        self.banned: dict[str, int] = dict.fromkeys(BAN_KINDS, 0)
        """How often a ban was met, by its kind: by a connection, a CONNECT, or a topic asked for."""
        self.bans_made: dict[str, int] = dict.fromkeys(BAN_CAUSES, 0)
        """Bans that the node made itself, by why."""
        self.paused: dict[str, int] = dict.fromkeys(BOUNDS, 0)
        """How often a link was not read from for a while, by whose rate was exceeded."""

        self.supervisor_restarts: int = 0
        """Sessions begun again after a fault of ours in one of their steps."""

        self.loop_lag_seconds: float = 0.0
        """How late the loop called what was due, when last measured."""
        self.loop_lag_seconds_max: float = 0.0
        """The latest it ever was."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages dropped for one of ``DROP_REASONS``; raises ``KeyError`` for another."""
        self.dropped[reason] += count

    def refuse_connect(self, reason_code: int) -> None:
        """Count a CONNECT answered with a failure."""
        self.connects_refused[reason_code] = self.connects_refused.get(reason_code, 0) + 1

    def refuse_connection(self, reason: str) -> None:
        """Count a network connection closed unanswered for one of ``REFUSED_REASONS``; else ``KeyError``."""
        self.refused[reason] += 1

    def disconnect(self, reason: str) -> None:
        """Count the end of an accepted link for one of ``END_REASONS``; else ``KeyError``."""
        self.disconnects[reason] += 1

    def observe_counts(self, connections: int, sessions: int) -> None:
        """Keep the highest counts; called where a link attaches, never per message."""
        self.connections_max = max(self.connections_max, connections)
        self.sessions_max = max(self.sessions_max, sessions)

    def dropped_total(self) -> int:
        """Messages dropped for whatever reason."""
        return sum(self.dropped.values())

    def connections_refused_total(self) -> int:
        """Network connections closed unanswered for whatever reason."""
        return sum(self.refused.values())

    def connects_refused_total(self) -> int:
        """CONNECTs refused for whatever reason."""
        return sum(self.connects_refused.values())

    def disconnects_total(self) -> int:
        """Accepted links that ended."""
        return sum(self.disconnects.values())
