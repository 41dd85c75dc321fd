"""A node on its own becomes a member of a cluster: what it had stays, or it is said that it would not."""

from pathlib import Path

from tests.support.command import rookery
from tests.support.node_process import NodeProcess
from tests.support.slapd import free_ports
from tests.support.wire import PUBLISH, V5
from tests.support.wire_client import Client, tcp

LASTING = {"clean": False, "properties": {"session_expiry": 600}}


def given(*settings: str) -> list[str]:
    common = ("metrics.enabled=false", "broker.mqtt_port=0")
    return [part for each in (*common, *settings) for part in ("--set", each)]


def member() -> tuple[str, ...]:
    grpc, nats = free_ports(2)
    return (
        "broker.node_id=a",
        "cluster.enabled=true",
        "cluster.nats.replicas=1",
        f"broker.grpc_port={grpc}",
        f"cluster.nats.port={nats}",
    )


def test_sessions_and_retained_messages_begin_the_cell(tmp_path: Path):
    with NodeProcess(*given(), cwd=tmp_path) as node:
        (address,) = node.addresses("tcp")
        with Client(tcp(("127.0.0.1", address[1])), V5) as client:
            client.connect("lasting", **LASTING)
            client.subscribe("owed")
        with Client(tcp(("127.0.0.1", address[1])), V5) as client:
            client.connect("publisher")
            client.publish("owed", b"1", qos=1)
            client.publish("kept", b"2", qos=1, retain=True)
        assert node.stop() == 0
    refused = rookery("start", *given(*member()), cwd=tmp_path)
    assert refused.returncode == 1
    (line,) = refused.stderr.decode().splitlines()
    assert line.startswith("rookery: rookery-data/rookery-0 has the sessions, retained messages")
    assert "set store.directory to it" in line
    moved = "store.directory=rookery-data/rookery-0"
    with NodeProcess(*given(*member(), moved), cwd=tmp_path) as node:
        (address,) = node.addresses("tcp")
        with Client(tcp(("127.0.0.1", address[1])), V5) as client:
            assert client.connect("lasting", **LASTING).session_present
            assert client.expect(PUBLISH).payload == b"1"
            client.subscribe("kept")
            assert client.take(PUBLISH).payload == b"2"
        assert node.stop() == 0


def test_a_store_of_its_own_name_is_found(tmp_path: Path):
    for settings in (("broker.node_id=a",), member(), member()):
        with NodeProcess(*given(*settings), cwd=tmp_path) as node:
            (address,) = node.addresses("tcp")
            with Client(tcp(("127.0.0.1", address[1])), V5) as client:
                present = client.connect("lasting", **LASTING).session_present
            assert present == (settings != ("broker.node_id=a",))
            assert node.stop() == 0
