"""The configurations load, and say what a cluster on one machine needs."""

from pathlib import Path

import pytest

from rookery.cli.cluster.generated import configuration_text
from rookery.cli.cluster.plan import planned
from rookery.config import Config, load, store_directory, warnings


@pytest.fixture
def made(tmp_path: Path):
    def made(count: int, index: int) -> tuple[Config, Path]:
        secret = tmp_path / "secret"
        secret.write_text("0123456789abcdef\n")
        file = tmp_path / "rookery.yaml"
        plans = planned(count, {})
        file.write_text(configuration_text(plans[index], plans, secret))
        loaded = load(file)
        (warning,) = warnings(loaded.config, references=loaded.references)
        assert warning.startswith("anonymous clients are let in from this machine only")
        return loaded.config, store_directory(loaded)

    return made


def test_the_second_of_three(made, tmp_path: Path):
    config, directory = made(3, 1)
    broker, cluster = config.broker, config.cluster
    assert (broker.node_id, broker.mqtt_port, broker.grpc_port) == ("node2", 1884, 8083)
    assert (broker.metrics_port, broker.dashboard_port) == (8084, 18084)
    assert config.seeds == ("127.0.0.1:8081", "127.0.0.1:8085")
    assert cluster.enabled
    assert cluster.secret is not None
    assert cluster.secret.get_secret_value() == "0123456789abcdef"
    assert (cluster.nats.port, cluster.nats.route_port) == (4223, 6223)
    assert config.nats_routes == ("127.0.0.1:6222", "127.0.0.1:6224")
    assert cluster.nats.replicas == 3
    assert config.metrics.host == "127.0.0.1"
    assert directory == tmp_path / "data"


def test_fewer_than_three_have_no_majority_to_lose(made):
    assert made(1, 0)[0].cluster.nats.replicas == 1
    assert made(2, 0)[0].cluster.nats.replicas == 1
