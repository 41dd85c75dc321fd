import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rookery.app.cluster import ground as module
from rookery.app.cluster.ground import Ground, reference_of
from rookery.app.cluster.keeper import ServerKeeper
from rookery.config.models import Config
from rookery.ports import LogUnavailable
from tests.support.engine import FakeClock


def config(**sections: Any) -> Config:
    values = {"broker": {"node_id": "n1", "mqtt_port": 1999}, "cluster": {"enabled": True}}
    return Config.model_validate({**values, **sections})


def made(tmp_path: Any, settings: Config) -> Any:
    nobody: Any = SimpleNamespace()
    return Ground(settings, tmp_path, FakeClock(), nobody, ServerKeeper(), Path())


def test_clients_are_told_the_address_that_other_nodes_know():
    assert reference_of(config()) == "127.0.0.1:1999"
    elsewhere = config(cluster={"enabled": True, "advertise": "n1.example.com:8081"})
    assert reference_of(elsewhere) == "n1.example.com:1999"
    assert reference_of(config(listeners=[{"type": "ws", "port": 9_001}])) == ""
    files = {"certificate": __file__, "private_key": __file__}
    tls = {"type": "tls", "port": 8_883, "tls": files}
    assert reference_of(config(listeners=[tls])) == "127.0.0.1:8883"
    both = [tls, {"type": "tcp", "port": 1_999}]
    assert reference_of(config(listeners=both)) == "127.0.0.1:1999"


def test_the_node_describes_itself_for_the_registers(tmp_path):
    record = made(tmp_path, config())._record()
    assert (record.node_id, record.holder, record.state) == ("n1", "n1", "joining")
    assert record.address == "127.0.0.1:8081"
    assert record.boot != made(tmp_path, config())._record().boot


def test_a_log_without_a_leader_is_emptied_later(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    ground = made(tmp_path, config())
    asked = []

    async def empty() -> int:
        asked.append(1)
        if len(asked) < 3:
            raise LogUnavailable("no leader")
        return 0

    ground.cell_log = SimpleNamespace(empty=empty)
    asyncio.run(ground._empty())
    assert len(asked) == 3


def test_what_is_wrong_below_is_told(tmp_path):
    assert made(tmp_path, config()).problems() == ["there is no connection to NATS"]
