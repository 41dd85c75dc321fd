"""Rookery's nodes, started by the ``rookery`` command: several as a cluster, or one on its own."""

import http.client
import json
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rookery_bench import access
from rookery_bench.cluster.processes import Process, descendants, kill_all, program
from rookery_bench.cluster.systems import (
    BROKERS,
    NATS_SERVERS,
    READY_SECONDS_MAX,
    folder_of,
    free_ports,
    wait_until,
)
from rookery_bench.credentials import PASSWORD, USERNAME
from rookery_bench.links import Address
from rookery_bench.peers import find_rookery, source_folder

HOST: Final = "127.0.0.1"
SECRET: Final = "only-for-nodes-that-are-measured"
_SERVICES: Final = ("mqtt", "grpc", "metrics", "dashboard", "nats", "route")
_ASK_SECONDS_MAX: Final = 2.0
_CLIENTS_MAX: Final = 100_000
"""All clients of a run have one address, and come at once."""
_WINDOW_MAX: Final = 4_096
LAG_METRIC: Final = "emqx_eventloop_lag_seconds"


@dataclass(frozen=True)
class Command:
    """What starts a node."""

    python: str
    version: str
    environment: dict[str, str]


def find_command(python: str | None, *, interpreted: bool) -> Command:
    """Find Rookery: as installed for a Python (this one), or interpreted from the source folder.

    Raises:
        PeerError: that Python cannot import it.
    """
    found = find_rookery(
        "rookery", python or sys.executable, source_folder() if interpreted else None
    )
    return Command(python or sys.executable, found.version, found.environment)


class Node:
    """One node over all its lives."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.ports = dict(zip(_SERVICES, free_ports(len(_SERVICES)), strict=True))
        self.process = Process(name, folder / "node.log")

    @property
    def address(self) -> Address:
        """Where its clients connect."""
        return Address(self.ports["mqtt"], USERNAME, PASSWORD, HOST)

    @property
    def ready(self) -> bool:
        """Whether it says that it is ready for clients."""
        answer = self.ask("/health/ready")
        return answer is not None and answer[0] == 200

    @property
    def lag_seconds(self) -> float | None:
        """The worst lag of its loop that it tells of: of one to two minutes."""
        answer = self.ask("/metrics")
        return None if answer is None else metric(answer[1], LAG_METRIC)

    def ask(self, path: str) -> tuple[int, str] | None:
        """What it says on its metrics port; None when nothing."""
        link = http.client.HTTPConnection(HOST, self.ports["metrics"], timeout=_ASK_SECONDS_MAX)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            link.close()

    def wipe(self) -> None:
        """Take the disk of one that does not run away."""
        assert not self.process.running
        shutil.rmtree(self.folder / "data", ignore_errors=True)


class Nodes:
    """So many nodes; one is on its own, several are a cluster."""

    def __init__(self, command: Command, name: str, count: int, folder: Path) -> None:
        """All that the nodes keep is in ``folder``."""
        self.name = name
        self.version = command.version
        self._command = command
        self.nodes = [
            Node(f"node{number}", folder_of(folder, f"{name}-node{number}"))
            for number in range(1, count + 1)
        ]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                self.start(node)
            for node in self.nodes:
                self.wait_ready(node)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def addresses(self) -> list[Address]:
        """Where each node listens."""
        return [node.address for node in self.nodes]

    def pids(self) -> dict[str, list[int]]:
        """The processes by group."""
        found = {BROKERS: [node.process.pid for node in self.nodes]}
        servers = [
            pid
            for node in self.nodes
            for pid in descendants(node.process.pid)
            if "nats-server" in program(pid)
        ]
        return found | {NATS_SERVERS: servers} if servers else found

    def expect_running(self) -> None:
        """Raise PeerError when a node ended by itself."""
        for node in self.nodes:
            node.process.expect_running()

    def start(self, node: Node) -> None:
        """Begin a life of a node; ``wait_ready`` waits until it serves."""
        path = node.folder / "rookery.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(configuration(node, self.nodes)))
        command = [self._command.python, "-m", "rookery", "start", "-c", str(path)]
        node.process.start(command, self._command.environment)

    def wait_ready(self, node: Node, seconds_max: float = READY_SECONDS_MAX) -> None:
        """Wait until a node is ready.

        Raises:
            PeerError: it ended, or is not ready in time.
        """

        def ready() -> bool:
            node.process.expect_running()
            return node.ready

        wait_until(f"{node.name} is ready", ready, seconds_max)

    def stop(self, node: Node) -> None:
        """Have a node end in order."""
        node.process.stop()

    def kill(self, nodes: Iterable[Node]) -> int:
        """SIGKILL nodes and their NATS servers; return when (monotonic ns)."""
        return kill_all([node.process for node in nodes])

    def close(self) -> None:
        """Let no process be left."""
        self.kill(self.nodes)


def configuration(node: Node, nodes: list[Node]) -> dict[str, Any]:
    """The settings of a node among these: as in the other rows, with limits that no load reaches."""
    config = access.users()
    ports = node.ports
    config["broker"] |= {
        "node_id": node.name,
        "mqtt_port": ports["mqtt"],
        "grpc_port": ports["grpc"],
        "metrics_port": ports["metrics"],
        "dashboard_port": ports["dashboard"],
    }
    config |= {
        "listeners": [{"type": "tcp", "host": HOST, "port": ports["mqtt"]}],
        "limits": {
            "inflight_max": _WINDOW_MAX,
            "receive_maximum": _WINDOW_MAX,
            "connects_per_second_max": _CLIENTS_MAX,
            "half_open_max": _CLIENTS_MAX,
            "half_open_per_address_max": _CLIENTS_MAX,
        },
        "store": {"directory": str(node.folder / "data")},
        "metrics": {"host": HOST},
        "log": {"level": "warning"},
    }
    others = [each for each in nodes if each is not node]
    if others:
        config["broker"]["peer_nodes"] = [f"{HOST}:{each.ports['grpc']}" for each in others]
        config["cluster"] = {
            "enabled": True,
            "host": HOST,
            "secret": SECRET,
            "nats": {
                "port": ports["nats"],
                "route_port": ports["route"],
                "routes": [f"{HOST}:{each.ports['route']}" for each in others],
            },
        }
    return config


def metric(text: str, name: str) -> float | None:
    """Find a metric without labels in what a node tells; None when it is not there."""
    for line in text.splitlines():
        what, _, value = line.rpartition(" ")
        if what == name:
            return float(value)
    return None


def seconds_since(start_ns: int) -> float:
    """The time since a moment of the monotonic clock."""
    return (time.monotonic_ns() - start_ns) / 1e9
