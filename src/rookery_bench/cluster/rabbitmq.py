"""RabbitMQ with its MQTT, as a cluster: another broker that keeps sessions and messages on several nodes.

Persistent sessions get quorum queues, because others would be on one node only. Its nodes find each other by a name
server, ``epmd``, which is started here: one that a node starts would outlive the run.
"""

import os
import shutil
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rookery_bench.cluster.processes import Process, descendants, kill_all, program
from rookery_bench.cluster.systems import BROKERS, folder_of, free_ports, passes, wait_until
from rookery_bench.credentials import PASSWORD, USERNAME
from rookery_bench.links import Address
from rookery_bench.peers import PeerError

HOST: Final = "127.0.0.1"
NAME: Final = "rabbitmq"
VERSION_FILES: Final = "/usr/lib/rabbitmq/lib/rabbitmq_server-*"
_SERVER: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""What is on the path in Debian changes to a user of its own, who may not read our folders."""
_COOKIE: Final = "bench"
_WINDOW_MAX: Final = 4_096
_PORTS_EACH: Final = 3


def find_rabbitmq() -> Path:
    """Find Debian's RabbitMQ.

    Raises:
        PeerError: it is not there.
    """
    server = Path(_SERVER)
    if not server.exists() or shutil.which("epmd") is None:
        raise PeerError("no RabbitMQ (Debian: apt-get install rabbitmq-server)")
    return server


class RabbitMq:
    """The nodes and their name server."""

    def __init__(self, server: Path, count: int, folder: Path) -> None:
        """They keep all they have in ``folder``."""
        self.name = NAME
        self.version = ", ".join(
            each.name.rpartition("-")[2] for each in Path("/").glob(VERSION_FILES[1:])
        )
        self._server = server
        self._name_port, *self._ports = free_ports(1 + count * _PORTS_EACH)
        self._folders = [folder_of(folder, f"{NAME}{number}") for number in range(1, count + 1)]
        self._names = Process("epmd", folder / "epmd.log")
        self._nodes = [
            Process(f"{NAME}{number}", each / "output")
            for number, each in enumerate(self._folders, 1)
        ]

    def __enter__(self) -> Self:
        try:
            command = ["epmd", "-port", str(self._name_port), "-address", HOST]
            self._names.start(command, dict(os.environ))
            for number, node in enumerate(self._nodes):
                # One after the other: of several that begin at once each may found a cluster of its own.
                node.start([str(self._server)], self._environment(number))
                wait_until(f"{NAME}{number + 1} serves", partial(self._serves, number))
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
        """Where each node listens for MQTT."""
        return [Address(port, USERNAME, PASSWORD, HOST) for port in self._ports[::_PORTS_EACH]]

    def pids(self) -> dict[str, list[int]]:
        """The virtual machines of the nodes."""
        found = [
            pid
            for node in self._nodes
            for pid in (node.pid, *descendants(node.pid))
            if "beam" in program(pid).partition(" ")[0]
        ]
        return {BROKERS: found}

    def expect_running(self) -> None:
        """Raise PeerError when a node ended by itself."""
        for node in self._nodes:
            node.expect_running()

    def close(self) -> None:
        """Let no process be left."""
        kill_all([*self._nodes, self._names])

    def _serves(self, number: int) -> bool:
        self._nodes[number].expect_running()
        return passes(self.addresses[0], self.addresses[number])

    def _environment(self, number: int) -> dict[str, str]:
        folder = self._folders[number]
        config, plugins = folder / "rabbitmq.conf", folder / "plugins"
        config.write_text(configuration(number, self._ports))
        plugins.write_text("[rabbitmq_mqtt].\n")
        return {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._name_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": _node_name(number),
            "RABBITMQ_DIST_PORT": str(self._ports[number * _PORTS_EACH + 2]),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ERL_ARGS": f"-setcookie {_COOKIE}",
        }


def configuration(number: int, ports: list[int]) -> str:
    """The text of a node's configuration; of three ports each, MQTT's, AMQP's and the nodes' own."""
    count = len(ports) // _PORTS_EACH
    mqtt, amqp, _ = ports[number * _PORTS_EACH : (number + 1) * _PORTS_EACH]
    lines = [
        f"listeners.tcp.1 = {HOST}:{amqp}",
        f"mqtt.listeners.tcp.1 = {HOST}:{mqtt}",
        "mqtt.allow_anonymous = false",
        f"mqtt.prefetch = {_WINDOW_MAX}",
        "mqtt.durable_queue_type = quorum",
        f"default_user = {USERNAME}",
        f"default_pass = {PASSWORD}",
        "log.file.level = error",
        "cluster_formation.peer_discovery_backend = classic_config",
        "cluster_formation.randomized_startup_delay_range.min = 0",
        "cluster_formation.randomized_startup_delay_range.max = 1",
    ]
    lines += [
        f"cluster_formation.classic_config.nodes.{each + 1} = {_node_name(each)}"
        for each in range(count)
    ]
    return "\n".join(lines) + "\n"


def _node_name(number: int) -> str:
    return f"bench{number + 1}@localhost"
