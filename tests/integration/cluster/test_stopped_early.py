"""SIGTERM for a node that waits: for names, for servers, for its cell, for other nodes."""

import asyncio
import contextlib
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rookery.actors.clock import SystemClock
from rookery.cluster.cells import CellRecord
from rookery.cluster.registers import Registers
from rookery.cluster.streams import ensure_streams
from tests.support.nats_cluster import SECRET, NatsCluster, nats_cluster
from tests.support.node_process import NodeProcess
from tests.support.slapd import free_ports

END_SECONDS_MAX = 2.0
WAIT_SECONDS_MAX = 30
RENEW_SECONDS = 0.3


def settings(**values: object) -> list[str]:
    return [
        part
        for key, value in values.items()
        for part in ("--set", f"{key.replace('__', '.')}={value}")
    ]


@contextlib.contextmanager
def starting(directory: Path, **cluster: object) -> Iterator[NodeProcess]:
    """A node of a cluster that does not get as far as to serve."""
    mqtt, grpc, nats, route = free_ports(4)
    given = settings(
        broker__node_id="a",
        broker__mqtt_port=mqtt,
        broker__grpc_port=grpc,
        metrics__enabled="false",
        store__directory=directory / "store",
        cluster__enabled="true",
        cluster__nats__port=nats,
        cluster__nats__route_port=route,
        **{f"cluster__{key}": value for key, value in cluster.items()},
    )
    node = NodeProcess(*given)
    try:
        yield node
    finally:
        node.__exit__()


def ends_in_good_order(node: NodeProcess) -> None:
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < END_SECONDS_MAX
    assert not [line for line in node.remaining_log() if "Traceback" in line]


def test_while_names_are_looked_up(tmp_path: Path):
    found = {"discovery": "dns", "dns_name": "nowhere.invalid"}
    with starting(tmp_path, host="0.0.0.0", secret=SECRET, **found) as node:
        node.event("waiting_for_others")
        ends_in_good_order(node)


def test_while_no_server_answers(tmp_path: Path):
    (nobody,) = free_ports(1)
    with starting(tmp_path, nats__urls=f"nats://127.0.0.1:{nobody}") as node:
        node.event("nats_connection_error")
        ends_in_good_order(node)


def test_while_other_servers_are_missing(tmp_path: Path):
    (nobody,) = free_ports(1)
    with starting(tmp_path, nats__routes=f"127.0.0.1:{nobody}") as node:
        node.event("waiting_for_jetstream")
        ends_in_good_order(node)
    # The directories that were made meanwhile hold passwords, and messages in time.
    for made in (tmp_path / "store", tmp_path / "store" / "nats"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsCluster]:
    with nats_cluster(1, tmp_path / "nats") as cluster:
        yield cluster


def with_another(servers: NatsCluster, record: CellRecord, work: Callable[[], None]) -> None:
    """Do something off the loop while somebody else keeps a record in the registers."""

    async def main() -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX), servers.connected() as jetstream:
            await ensure_streams(jetstream, "b", 1, None)
            registers = Registers(jetstream, SystemClock())
            held = await registers.claim(record.node_id, None, record)
            assert held is not None
            working = asyncio.create_task(asyncio.to_thread(work))
            while not working.done():
                held = replace(held, beat=held.beat + 1)
                await registers.renew(held)
                await asyncio.wait({working}, timeout=RENEW_SECONDS)
            await working
            await registers.stop()

    asyncio.run(main())


def of_server(servers: NatsCluster) -> dict[str, object]:
    return {
        "nats__urls": f"nats://{servers.addresses()[0]}",
        "nats__login": "secret",
        "nats__replicas": 1,
        "secret": SECRET,
    }


def test_while_another_has_its_cell(tmp_path: Path, server: NatsCluster):
    def work() -> None:
        with starting(tmp_path, **of_server(server)) as node:
            node.event("waiting_for_cell")
            ends_in_good_order(node)

    taken = CellRecord("a", "b", "x", state="adopting")
    with_another(server, taken, work)


def test_while_another_node_is_not_reached(tmp_path: Path, server: NatsCluster):
    (nobody,) = free_ports(1)

    def work() -> None:
        with starting(tmp_path, **of_server(server)) as node:
            node.event("waiting_for_members")
            ends_in_good_order(node)

    living = CellRecord("b", "b", "x", state="up", address=f"127.0.0.1:{nobody}")
    with_another(server, living, work)
