import pytest

from rookery_bench.cluster import rabbitmq
from rookery_bench.cluster.rabbitmq import configuration, find_rabbitmq
from rookery_bench.peers import PeerError

PORTS = [11, 12, 13, 21, 22, 23, 31, 32, 33]


def test_a_node_knows_all_and_keeps_sessions_on_several() -> None:
    lines = configuration(1, PORTS).splitlines()
    assert "mqtt.listeners.tcp.1 = 127.0.0.1:21" in lines
    assert "listeners.tcp.1 = 127.0.0.1:22" in lines
    assert "mqtt.durable_queue_type = quorum" in lines
    names = [line.partition(" = ")[2] for line in lines if "classic_config.nodes" in line]
    assert names == ["bench1@localhost", "bench2@localhost", "bench3@localhost"]


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "_SERVER", "/no/such/server")
    with pytest.raises(PeerError, match="apt-get install rabbitmq-server"):
        find_rabbitmq()
