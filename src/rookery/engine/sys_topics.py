"""What the node publishes about itself below ``$SYS``, for tools that read it there.

Two vocabularies are spoken, because both have readers: that of EMQX below ``$SYS/brokers``
(``stats`` is what stands, ``metrics`` what was counted) and that of mosquitto below
``$SYS/broker``. In the latter, ``messages/...`` counts packets of every type and
``publish/messages/...`` application messages; loads are averages per minute.
"""

import math
from datetime import UTC, datetime
from typing import Final

from rookery.engine.stats import (
    DROP_EXPIRED,
    DROP_OFFLINE_QOS0,
    DROP_OUTPUT_FULL,
    DROP_PACKET_TOO_LARGE,
    DROP_QUEUE_FULL,
    Gauges,
    Stats,
)

LOAD_MINUTES: Final = (1, 5, 15)

SysMessage = tuple[str, bytes]


class LoadAverages:
    """Moving averages of what happens per minute, over the last 1, 5 and 15 minutes.

    Each ``observe`` weighs the rate since the one before against the past, with a weight that
    decays by ``e`` over the length of the average, so the interval need not be regular.
    """

    def __init__(self, stats: Stats, now: float) -> None:
        self._observed_at = now
        self._counts = _load_counts(stats)
        self.per_minute: dict[str, list[float]] = {
            name: [0.0] * len(LOAD_MINUTES) for name in self._counts
        }
        """By name, in the order of ``LOAD_MINUTES``."""

    def observe(self, stats: Stats, now: float) -> None:
        """Take in what was counted until ``now``, in monotonic seconds."""
        elapsed_seconds = now - self._observed_at
        if elapsed_seconds <= 0:
            return
        counts = _load_counts(stats)
        for name, averages in self.per_minute.items():
            rate = (counts[name] - self._counts[name]) * 60.0 / elapsed_seconds
            for position, minutes in enumerate(LOAD_MINUTES):
                past_weight = math.exp(-elapsed_seconds / (60.0 * minutes))
                averages[position] = rate + past_weight * (averages[position] - rate)
        self._counts = counts
        self._observed_at = now


def _load_counts(stats: Stats) -> dict[str, int]:
    return {
        "messages/received": stats.packets_received,
        "messages/sent": stats.packets_sent,
        "publish/dropped": stats.dropped_total(),
        "publish/received": stats.messages_received,
        "publish/sent": stats.messages_sent,
        "bytes/received": stats.bytes_received,
        "bytes/sent": stats.bytes_sent,
        "sockets": stats.connections_total,
        "connections": stats.connects_received,
    }


def sys_messages(
    stats: Stats,
    gauges: Gauges,
    loads: LoadAverages,
    *,
    node_id: str,
    version: str,
    now: float,
    wall: float,
) -> list[SysMessage]:
    """The topics and payloads as they stand; all are meant to be retained.

    ``node_id`` must be fit to be a topic level. ``now`` is in monotonic seconds as
    ``Stats.started_at`` is, ``wall`` in seconds since 1970.
    """
    uptime_seconds = now - stats.started_at
    below = f"$SYS/brokers/{node_id}/"
    messages: list[SysMessage] = [
        ("$SYS/brokers", node_id.encode()),
        (below + "version", version.encode()),
        (below + "sysdescr", b"Rookery"),
        (below + "uptime", str(int(uptime_seconds * 1000)).encode()),
        (below + "datetime", datetime.fromtimestamp(wall, UTC).isoformat().encode()),
        ("$SYS/broker/version", f"rookery version {version}".encode()),
        ("$SYS/broker/uptime", f"{int(uptime_seconds)} seconds".encode()),
    ]
    messages += _numbers(below + "stats/", _standing(stats, gauges))
    messages += _numbers(below + "metrics/", _counted(stats))
    messages += _numbers("$SYS/broker/", _mosquitto(stats, gauges))
    for name, averages in loads.per_minute.items():
        for minutes, average in zip(LOAD_MINUTES, averages, strict=True):
            messages.append((f"$SYS/broker/load/{name}/{minutes}min", f"{average:.2f}".encode()))
    return messages


def _numbers(prefix: str, values: dict[str, int]) -> list[SysMessage]:
    return [(prefix + name, str(value).encode()) for name, value in values.items()]


def _standing(stats: Stats, gauges: Gauges) -> dict[str, int]:
    connections, sessions = gauges.connections(), gauges.sessions()
    connections_max = max(stats.connections_max, connections)
    return {
        "connections/count": connections,
        "connections/max": connections_max,
        "live_connections/count": connections,
        "live_connections/max": connections_max,
        "sessions/count": sessions,
        "sessions/max": max(stats.sessions_max, sessions),
        "topics/count": gauges.topics(),
        "subscriptions/count": gauges.subscriptions(),
        "subscriptions/shared/count": gauges.shared_subscriptions(),
        "retained/count": gauges.retained_messages(),
    }


def _counted(stats: Stats) -> dict[str, int]:
    dropped = stats.dropped
    return {
        "bytes/received": stats.bytes_received,
        "bytes/sent": stats.bytes_sent,
        "packets/received": stats.packets_received,
        "packets/sent": stats.packets_sent,
        "packets/connect/received": stats.connects_received,
        "packets/connack/sent": stats.connects_accepted + stats.connects_refused_total(),
        "packets/connack/error": stats.connects_refused_total(),
        "packets/publish/received": stats.messages_received,
        "packets/publish/sent": stats.messages_sent,
        "messages/received": stats.messages_received,
        "messages/sent": stats.messages_sent,
        "messages/qos0/received": stats.messages_received_qos0,
        "messages/qos0/sent": stats.messages_sent_qos0,
        "messages/qos1/received": stats.messages_received_qos1,
        "messages/qos1/sent": stats.messages_sent_qos1,
        "messages/qos2/received": stats.messages_received_qos2,
        "messages/qos2/sent": stats.messages_sent_qos2,
        "messages/publish": stats.messages_received,
        "messages/dropped": stats.messages_unrouted,
        "messages/dropped/no_subscribers": stats.messages_unrouted,
        "messages/delivered": stats.messages_routed,
        "messages/acked": stats.messages_acked,
        "delivery/dropped": stats.dropped_total(),
        "delivery/dropped/too_large": dropped[DROP_PACKET_TOO_LARGE],
        "delivery/dropped/qos0_msg": dropped[DROP_OFFLINE_QOS0] + dropped[DROP_OUTPUT_FULL],
        "delivery/dropped/queue_full": dropped[DROP_QUEUE_FULL],
        "delivery/dropped/expired": dropped[DROP_EXPIRED],
        "client/connect": stats.connects_received,
        "client/connack": stats.connects_accepted + stats.connects_refused_total(),
        "client/connected": stats.connects_accepted,
        "client/disconnected": stats.disconnects_total(),
        "client/subscribe": stats.subscriptions_made,
        "client/unsubscribe": stats.subscriptions_ended,
        "session/created": stats.sessions_created,
        "session/resumed": stats.sessions_resumed,
        "session/takenover": stats.sessions_taken_over,
        "session/discarded": stats.sessions_discarded,
        "session/terminated": stats.sessions_expired,
    }


def _mosquitto(stats: Stats, gauges: Gauges) -> dict[str, int]:
    connections, sessions = gauges.connections(), gauges.sessions()
    disconnected = max(0, sessions - connections)
    retained = gauges.retained_messages()
    stored = gauges.queued_messages() + retained
    return {
        "clients/total": sessions,
        "clients/connected": connections,
        "clients/active": connections,
        "clients/disconnected": disconnected,
        "clients/inactive": disconnected,
        "clients/expired": stats.sessions_expired,
        "clients/maximum": max(stats.sessions_max, sessions),
        "messages/received": stats.packets_received,
        "messages/sent": stats.packets_sent,
        "messages/stored": stored,
        "store/messages/count": stored,
        "publish/messages/received": stats.messages_received,
        "publish/messages/sent": stats.messages_sent,
        "publish/messages/dropped": stats.dropped_total(),
        "publish/bytes/received": stats.payload_bytes_received,
        "publish/bytes/sent": stats.payload_bytes_sent,
        "bytes/received": stats.bytes_received,
        "bytes/sent": stats.bytes_sent,
        "connections/socket/count": stats.connections_total,
        "subscriptions/count": gauges.subscriptions(),
        "shared_subscriptions/count": gauges.shared_subscriptions(),
        "retained messages/count": retained,
    }
