"""A node on a NATS server that somebody else configured."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rookery.cluster.jetstream import JetStream, JetStreamSettings
from rookery.cluster.nats_server import find_program
from rookery.cluster.streams import wanted_streams
from tests.support.command import rookery
from tests.support.node_process import NodeProcess
from tests.support.slapd import free_ports

SECONDS_MAX = 20


@contextmanager
def plain_server(directory: Path, text: str) -> Iterator[str]:
    """A server with this configuration; where it listens."""
    (port,) = free_ports(1)
    file = directory / "nats.conf"
    file.write_text(f"listen: 127.0.0.1:{port}\nlog_file: {directory / 'nats.log'}\n{text}")
    process = subprocess.Popen([find_program(None), "-c", file])
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def settings(directory: Path, address: str, *more: str) -> list[str]:
    mqtt, grpc = free_ports(2)
    given = (
        "broker.node_id=a",
        f"broker.mqtt_port={mqtt}",
        f"broker.grpc_port={grpc}",
        "metrics.enabled=false",
        f"store.directory={directory}/store",
        "cluster.enabled=true",
        f"cluster.nats.urls=nats://{address}",
        *more,
    )
    return [part for each in given for part in ("--set", each)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["has no JetStream", "takes messages of 1048576 bytes", "stands alone"]),
        ("max_payload: 8MB\njetstream {{ store_dir: {0}/js }}", ["stands alone"]),
    ],
)
def test_a_server_that_cannot_keep_a_log_is_refused(tmp_path: Path, text: str, said: list[str]):
    with plain_server(tmp_path, text.format(tmp_path)) as address:
        done = rookery("start", *settings(tmp_path, address))
    assert done.returncode == 1
    (line,) = [each for each in done.stderr.decode().splitlines() if each.startswith("rookery:")]
    assert len(line.split("; ")) == len(said)
    assert all(each in line for each in said), line
    assert address in line


def test_one_that_can_is_served_from_and_it_is_told_that_nobody_knows_whether_it_syncs(
    tmp_path: Path,
):
    text = f"max_payload: 8MB\njetstream {{ store_dir: {tmp_path}/js }}"
    with plain_server(tmp_path, text) as address:
        given = settings(tmp_path, address, "cluster.nats.replicas=1")
        with NodeProcess(*given) as node:
            told = node.event("nats_sync_unknown")
            assert told["server"] == address
            assert "sync_interval: always" in told["reason"]
            assert node.stop() == 0


def test_a_log_that_somebody_made_in_memory_is_not_relied_on(tmp_path: Path):
    text = f"max_payload: 8MB\njetstream {{ store_dir: {tmp_path}/js }}"
    with plain_server(tmp_path, text) as address:

        async def make() -> None:
            jetstream = JetStream(JetStreamSettings((address,)))
            await jetstream.connect()
            wanted = wanted_streams("a", 1)[0]
            await jetstream.api("STREAM.CREATE.LOG_a", {**wanted, "storage": "memory"})
            await jetstream.close()

        asyncio.run(make())
        node = NodeProcess(*settings(tmp_path, address, "cluster.nats.replicas=1"))
        try:
            told = node.event("waiting_for_jetstream")["streams"]
            assert set(told) == {"LOG_a"}
            assert "its storage is memory and has to be file" in told["LOG_a"]
            assert node.stop() == 0
        finally:
            node.__exit__()
