from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest

from rookery.observe.cluster_metrics import ClusterCollector


class Gauges:
    """A cluster at some moment."""

    def __init__(self) -> None:
        self.held = True
        self.up = {"c": False, "b": True}

    def nodes_running(self) -> int:
        return 2

    def links(self) -> Mapping[str, bool]:
        return self.up

    def forward_queue(self) -> int:
        return 17

    def lease_held(self) -> bool:
        return self.held

    def cell_epoch(self) -> int:
        return 4


def scraped(registry: CollectorRegistry) -> list[str]:
    """The samples as they stand on the page."""
    return [
        line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")
    ]


def test_say_how_things_are_at_the_scrape():
    registry = CollectorRegistry()
    gauges = Gauges()
    registry.register(ClusterCollector(gauges))
    assert scraped(registry) == [
        "emqx_cluster_nodes_running 2.0",
        "emqx_cluster_forward_queue 17.0",
        "emqx_cluster_lease_held 1.0",
        "emqx_cluster_epoch 4.0",
        'emqx_cluster_link_up{peer="b"} 1.0',
        'emqx_cluster_link_up{peer="c"} 0.0',
    ]
    gauges.held = False
    gauges.up = {}
    assert "emqx_cluster_lease_held 0.0" in scraped(registry)
    assert not [line for line in scraped(registry) if "link_up" in line]
