"""The counters and gauges as Prometheus metrics, made when somebody scrapes.

Names follow what dashboards for EMQX ask for. Every reason appears with 0 from the start, so that
``rate`` and ``increase`` see its first occurrence. There are no labels per client or topic.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rookery.engine.stats import Gauges, Stats
from rookery.mqtt.types import ReasonCode
from rookery.observe.lag import LagProbe
from rookery.ports import Clock

CONNACK_REASON_CODES: Final = (
    *range(ReasonCode.UNSPECIFIED_ERROR, ReasonCode.BANNED + 1),
    ReasonCode.BAD_AUTHENTICATION_METHOD,
    ReasonCode.TOPIC_NAME_INVALID,
    ReasonCode.PACKET_TOO_LARGE,
    ReasonCode.QUOTA_EXCEEDED,
    ReasonCode.PAYLOAD_FORMAT_INVALID,
    ReasonCode.RETAIN_NOT_SUPPORTED,
    ReasonCode.QOS_NOT_SUPPORTED,
    ReasonCode.USE_ANOTHER_SERVER,
    ReasonCode.SERVER_MOVED,
    ReasonCode.CONNECTION_RATE_EXCEEDED,
)
"""The failures a CONNACK can tell (MQTT 5.0, 3.2.2.2)."""

COUNTERS: Final = (
    # name without "_total", attribute of Stats, help
    ("emqx_go_connections", "connections_total", "Network connections accepted."),
    ("emqx_connects_received", "connects_received", "CONNECT packets received."),
    ("emqx_packets_received", "packets_received", "Control packets received."),
    ("emqx_packets_sent", "packets_sent", "Control packets sent."),
    ("emqx_packets_invalid", "packets_invalid", "Packets that ended their link as faulty."),
    ("emqx_bytes_received", "bytes_received", "Bytes of control packets received."),
    ("emqx_bytes_sent", "bytes_sent", "Bytes of control packets sent."),
    ("emqx_messages_received", "messages_received", "PUBLISH packets received."),
    ("emqx_messages_sent", "messages_sent", "PUBLISH packets sent."),
    ("emqx_payload_bytes_received", "payload_bytes_received", "Payload bytes received."),
    ("emqx_payload_bytes_sent", "payload_bytes_sent", "Payload bytes sent."),
    ("emqx_messages_acked", "messages_acked", "QoS 1 and 2 deliveries that receivers finished."),
    ("emqx_messages_routed", "messages_routed", "Recipients that messages were given to."),
    ("emqx_messages_unrouted", "messages_unrouted", "Messages that nobody subscribed to."),
    ("emqx_retained_set", "messages_retained", "Retained messages set or replaced."),
    ("emqx_retained_cleared", "retained_cleared", "Retained messages cleared."),
    ("emqx_retained_sent", "retained_sent", "Retained messages sent for a subscription."),
    ("emqx_wills_published", "wills_published", "Wills published."),
    ("emqx_sessions_created", "sessions_created", "Sessions begun."),
    ("emqx_sessions_resumed", "sessions_resumed", "Sessions taken up again by their client."),
    ("emqx_sessions_taken_over", "sessions_taken_over", "Sessions taken over from a live link."),
    ("emqx_sessions_discarded", "sessions_discarded", "Sessions ended by a clean start."),
    ("emqx_sessions_expired", "sessions_expired", "Sessions that expired."),
    ("emqx_subscriptions_made", "subscriptions_made", "Topic filters granted."),
    ("emqx_subscriptions_refused", "subscriptions_refused", "Topic filters refused."),
    ("emqx_subscriptions_ended", "subscriptions_ended", "Topic filters unsubscribed."),
    (
        "emqx_subscriptions_revoked",
        "subscriptions_revoked",
        "Subscriptions ended because rules changed.",
    ),
    ("emqx_messages_forwarded", "messages_forwarded", "Messages told to other nodes."),
    (
        "emqx_messages_kept_for_peers",
        "messages_kept_for_peers",
        "Messages kept here until another node had them.",
    ),
    ("emqx_messages_from_peers", "messages_from_peers", "Messages told by other nodes."),
    (
        "emqx_claims_asked",
        "claims_asked",
        "CONNECTs for which other nodes were asked for the session.",
    ),
    ("emqx_overloads", "overloads", "Times the node became overloaded, or more so."),
    ("emqx_commits", "commits", "Groups of records made durable."),
    ("emqx_commits_failed", "commits_failed", "Groups of records that could not be made durable."),
    ("emqx_records_committed", "records_committed", "Records made durable."),
)

BY_QOS: Final = (
    # name without "_total", prefix of the attributes of Stats, help
    (
        "emqx_messages_received_by_qos",
        "messages_received_qos",
        "PUBLISH packets received, by their QoS.",
    ),
    ("emqx_messages_sent_by_qos", "messages_sent_qos", "PUBLISH packets sent, by their QoS."),
)

MAXIMA: Final = (
    ("emqx_connections_max", "connections_max", "The most clients there were at once."),
    ("emqx_sessions_max", "sessions_max", "The most sessions there were at once."),
)

GAUGES: Final = (
    ("emqx_connections_count", "connections", "Clients connected now."),
    ("emqx_sessions_count", "sessions", "Sessions now, with or without a link."),
    ("emqx_subscriptions_count", "subscriptions", "Subscriptions now."),
    ("emqx_subscriptions_shared", "shared_subscriptions", "Shared subscriptions now."),
    ("emqx_topics", "topics", "Different topic filters with a subscriber now."),
    ("emqx_retained_count", "retained_messages", "Retained messages now."),
    ("emqx_retained_bytes", "retained_bytes", "Bytes of retained messages now."),
    ("emqx_queued_messages", "queued_messages", "Messages waiting for sessions now."),
    ("emqx_clients_paced_count", "paced_clients", "Clients not read from now for a rate."),
    (
        "emqx_clients_relayed_count",
        "relayed_clients",
        "Clients here now whose sessions are on other nodes.",
    ),
    ("emqx_half_open_count", "half_open", "Connections whose CONNECT has not come yet."),
    (
        "emqx_overload_level",
        "overload_level",
        "0: normal, 1: work is shed, 2: connections refused.",
    ),
    ("emqx_bans_count", "bans", "Bans in force now."),
    ("emqx_store_bytes", "store_bytes", "Bytes the durable store takes now."),
    ("emqx_store_problems", "store_problems", "Things wrong with the durable store now."),
)


class NodeCollector(Collector):
    """Reads one node's counters and gauges at each scrape, on the loop."""

    def __init__(
        self,
        stats: Stats,
        gauges: Gauges,
        lag: LagProbe,
        clock: Clock,
        version: str,
        compiled: bool,
    ) -> None:
        self._stats = stats
        self._gauges = gauges
        self._lag = lag
        self._clock = clock
        self._build = {"version": version, "compiled": "true" if compiled else "false"}

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand."""
        stats = self._stats
        for name, attribute, text in COUNTERS:
            yield CounterMetricFamily(name, text, value=getattr(stats, attribute))
        for name, attribute, text in MAXIMA:
            yield GaugeMetricFamily(name, text, value=getattr(stats, attribute))
        for name, attribute, text in GAUGES:
            read: Callable[[], int] = getattr(self._gauges, attribute)
            yield GaugeMetricFamily(name, text, value=read())
        yield from self._labelled()
        yield from self._node()

    def _labelled(self) -> Iterator[Metric]:
        stats = self._stats
        for name, prefix, text in BY_QOS:
            by_qos = {str(qos): getattr(stats, f"{prefix}{qos}") for qos in range(3)}
            yield _labelled(name, text, "qos", by_qos)
        yield _labelled(
            "emqx_messages_dropped",
            "Messages not delivered to a recipient they were meant for.",
            "reason",
            stats.dropped,
        )
        yield _labelled(
            "emqx_connections_refused",
            "Network connections closed before their client was answered.",
            "reason",
            stats.refused,
        )
        yield _labelled(
            "emqx_overload_shed",
            "Work put off or left undone while the node was overloaded.",
            "what",
            stats.shed,
        )
        yield _labelled(
            "emqx_banned",
            "Times a ban was met, by its kind.",
            "kind",
            stats.banned,
        )
        yield _labelled(
            "emqx_bans_made", "Bans that the node made itself.", "cause", stats.bans_made
        )
        yield _labelled(
            "emqx_clients_paced",
            "Times a client was not read from for a while, by whose rate was exceeded.",
            "limit",
            stats.paused,
        )
        yield _labelled(
            "emqx_disconnects", "Links of clients that ended.", "reason", stats.disconnects
        )
        results = {"success": stats.connects_accepted}
        for code in CONNACK_REASON_CODES:
            results[ReasonCode(code).name.lower()] = 0
        for code, count in stats.connects_refused.items():
            results[ReasonCode(code).name.lower()] = count
        yield _labelled("emqx_connect", "CONNECTs answered, by the answer.", "result", results)
        # The kind of actor, never its id: a label per client would have no bound.
        yield _labelled(
            "emqx_go_supervisor_restarts",
            "Actors begun again after a fault of the node.",
            "actor_id",
            {"session": stats.supervisor_restarts},
        )

    def _node(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "emqx_uptime_seconds",
            "Seconds since the node began.",
            value=self._clock.monotonic() - self._stats.started_at,
        )
        yield GaugeMetricFamily(
            "emqx_eventloop_lag_seconds",
            "How late the event loop was at worst in the last one to two minutes.",
            value=self._lag.worst_seconds(),
        )
        yield InfoMetricFamily("emqx_build", "What runs here.", value=self._build)


def _labelled(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def node_registry(collector: NodeCollector) -> CollectorRegistry:
    """A registry of the node's metrics and those of its process and interpreter."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
