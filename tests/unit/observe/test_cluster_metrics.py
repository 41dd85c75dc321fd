from prometheus_client import CollectorRegistry, generate_latest

from rookery.observe.cluster_metrics import ClusterCollector


class Gauges:
    """A cluster of three, of which one has no link."""

    def nodes_running(self) -> int:
        return 3

    def links(self) -> dict[str, bool]:
        return {"b": True, "c": False}

    def forward_queue(self) -> int:
        return 17

    def lease_held(self) -> bool:
        return True

    def cell_epoch(self) -> int:
        return 4


def test_what_the_cluster_tells_is_there_by_name():
    registry = CollectorRegistry()
    registry.register(ClusterCollector(Gauges()))
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "emqx_cluster_nodes_running 3.0",
        "emqx_cluster_forward_queue 17.0",
        "emqx_cluster_lease_held 1.0",
        "emqx_cluster_epoch 4.0",
        'emqx_cluster_link_up{peer="b"} 1.0',
        'emqx_cluster_link_up{peer="c"} 0.0',
    ]
