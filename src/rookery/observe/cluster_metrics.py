"""How the node stands in its cluster, as Prometheus metrics, made when somebody scrapes."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class ClusterGauges(Protocol):
    """What the cluster tells of itself at this moment."""

    def nodes_running(self) -> int:
        """How many members this node knows to be alive, itself among them."""

    def links(self) -> Mapping[str, bool]:
        """By the name of each other member: whether there is a link to it."""

    def forward_queue(self) -> int:
        """What was told to other nodes and is not acknowledged, in items."""

    def lease_held(self) -> bool:
        """Whether the node may acknowledge what must last."""

    def cell_epoch(self) -> int:
        """That of the node's cell: rises whenever the cell was adopted by another node."""


class ClusterCollector(Collector):
    """The gauges of one node's cluster."""

    def __init__(self, gauges: ClusterGauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        gauges = self._gauges
        for name, text, value in (
            (
                "emqx_cluster_nodes_running",
                "Members alive as this node sees it.",
                gauges.nodes_running(),
            ),
            (
                "emqx_cluster_forward_queue",
                "Items told to other nodes and not acknowledged.",
                gauges.forward_queue(),
            ),
            (
                "emqx_cluster_lease_held",
                "1: the node may acknowledge what must last.",
                int(gauges.lease_held()),
            ),
            ("emqx_cluster_epoch", "Rises when the node's cell was adopted.", gauges.cell_epoch()),
        ):
            yield GaugeMetricFamily(name, text, value)
        links = GaugeMetricFamily(
            "emqx_cluster_link_up", "1: there is a link to this member.", labels=["peer"]
        )
        for peer, up in sorted(gauges.links().items()):
            links.add_metric([peer], int(up))
        yield links
