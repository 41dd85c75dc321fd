"""``rookery start --workers`` with real nodes: one port, and what becomes of it when a node is killed."""

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rookery.cli.cluster.processes import process_of
from tests.support.command import rookery_open
from tests.support.ports import free_row
from tests.support.wire import V5
from tests.support.wire_client import Client, tcp

SECONDS_MAX = 40.0
CLIENTS = 40


class Port:
    """Two workers in the foreground, and their lines one by one."""

    def __init__(self, process: subprocess.Popen[bytes], first: int) -> None:
        self.process = process
        self.address = ("127.0.0.1", first)
        self.metrics = (first + 2, first + 4)

    def until(self, pattern: str) -> re.Match[str]:
        """The next line in which this is found."""
        said = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said.append(line.decode().rstrip("\n"))
            if found := re.search(pattern, said[-1]):
                return found
        raise AssertionError(f"never said {pattern!r}: {said}")

    def client(self, client_id: str) -> Client:
        """A client that came in, on whichever worker the system chose."""
        client = Client(tcp(self.address), V5)
        client.connect(client_id)
        return client

    def connections(self, index: int) -> int:
        """How many clients a worker has."""
        url = f"http://127.0.0.1:{self.metrics[index]}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(r"^emqx_connections_count(?:{[^}]*})? (\S+)$", text, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Port]:
    for variable in list(os.environ):
        if variable.startswith("ROOKERY_") or variable.endswith("_PORT"):
            monkeypatch.delenv(variable)
    first = free_row(9)
    file = tmp_path / "rookery.yaml"
    file.write_text(
        f"broker: {{node_id: w, mqtt_port: {first}, grpc_port: {first + 1},"
        f" metrics_port: {first + 2}, dashboard_port: {first + 7}}}\n"
        f"cluster: {{nats: {{port: {first + 5}, route_port: {first + 6}}}}}\n"
        "store: {directory: data}\n"
    )
    with rookery_open("start", "--workers", "2", "-c", str(file)) as process:
        made = Port(process, first)
        try:
            yield made
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=SECONDS_MAX)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def delivered(port: Port, clients: list[Client], topic: str) -> None:
    """Everybody subscribes, one publishes, and all get it, wherever they are."""
    for client in clients:
        client.subscribe(topic)
    with port.client(f"publisher of {topic}") as publisher:
        publisher.publish(topic, b"x", qos=1)
        publisher.disconnect()
    for client in clients:
        client.receive_message(topic, b"x")


def end(clients: list[Client]) -> None:
    for client in clients:
        client.close()


def test_two_workers_from_beginning_to_end(port: Port, tmp_path: Path):
    first = int(port.until(r"w-1 starts \(pid (\d+)\)")[1])
    second = int(port.until(r"w-2 starts \(pid (\d+)\)")[1])
    port.until("all 2 workers are ready")

    clients = [port.client(f"c{number}") for number in range(CLIENTS)]
    shares = [port.connections(0), port.connections(1)]
    assert sum(shares) == CLIENTS
    assert all(shares), shares
    delivered(port, clients, "a/b")
    end(clients)
    until(lambda: port.connections(0) + port.connections(1) == 0)

    os.kill(first, signal.SIGKILL)
    port.until(rf"w-1 \(pid {first}\) ended by itself: SIGKILL; it is started again in 1 s")
    clients = [port.client(f"d{number}") for number in range(CLIENTS)]
    assert port.connections(1) == CLIENTS
    delivered(port, clients, "c/d")
    again = int(port.until(r"w-1 starts \(pid (\d+)\)")[1])
    port.until("w-1 is ready")
    end(clients)

    clients = [port.client(f"e{number}") for number in range(CLIENTS)]
    until(lambda: port.connections(0) > 0)
    delivered(port, clients, "e/f")

    port.process.send_signal(signal.SIGTERM)
    said = port.process.communicate(timeout=SECONDS_MAX)[0].decode()
    assert "did not end by itself" not in said
    assert port.process.returncode == 0
    end(clients)
    assert [process_of(pid) for pid in (first, second, again)] == [None] * 3
    nats = re.findall(r"\[(\d+)\]", (tmp_path / "data" / "nats" / "nats-server.log").read_text())
    assert {process_of(int(pid)) for pid in nats} == {None}


def test_workers_end_when_nobody_looks_after_them(port: Port):
    pids = [int(port.until(rf"w-{number} starts \(pid (\d+)\)")[1]) for number in (1, 2)]
    port.until("all 2 workers are ready")
    port.process.kill()
    until(lambda: [process_of(pid) for pid in pids] == [None, None])
