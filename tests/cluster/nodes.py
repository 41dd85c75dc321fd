"""The cluster under test: real nodes, each a ``rookery start`` with a configuration and a directory of its own.

A node's death takes what it started with it, its NATS server say, as the death of a machine would. Logs are kept in
files over all lives of a node. Processes are started from the main thread only and end with it.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.network import Place
from tests.cluster.shims import Shim
from tests.support.command import command

START_SECONDS_MAX: Final = 60.0
END_SECONDS_MAX: Final = 20.0
ASK_SECONDS_MAX: Final = 2.0
STUTTER_SECONDS: Final = 0.1
SECRET: Final = "the secret of a cluster under test"
LIMITS: Final = {
    # Limits drop messages or refuse clients and say so; a run is not to meet them, and all its clients have one
    # address.
    "queue_messages_max": 1_000_000,
    "queue_bytes_max": 1 << 30,
    "half_open_per_address_max": 10_000,
}
FAULTS: Final = ("Traceback", '"level": "error"', '"level":"error"', '"level": "critical"')


class ClusterFault(Exception):
    """A node did not start, or ended by itself."""


@dataclass
class Node:
    """One node over all its lives."""

    name: str
    host: str
    ports: dict[str, int]
    directory: Path
    shim: Shim | None = None
    process: "subprocess.Popen[bytes] | None" = None
    lag_seconds_max: float = 0.0
    """The worst lag of its loop that it told of."""
    dropped: dict[str, float] = field(default_factory=dict)
    """Its counters of messages dropped, by reason, as last told."""
    stopped: bool = False
    """Whether it was sent SIGSTOP."""

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.ports["mqtt"]

    @property
    def log(self) -> Path:
        return self.directory / "node.log"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None


class ClusterUnderTest:
    """So many nodes; one alone is a node without a cluster."""

    def __init__(
        self,
        directory: Path,
        place: Place,
        count: int,
        settings: dict[str, Any] | None = None,
        shim: Path | None = None,
    ) -> None:
        """``settings`` go over the nodes' own, by section; ``shim`` is the library of ``shims.build``."""
        self.directory = directory
        self.place = place
        self.nodes: dict[str, Node] = {}
        self._settings = settings or {}
        self._shim = shim
        self._founders = [f"n{number}" for number in range(1, count + 1)]
        for name in self._founders:
            self.add(name)

    def add(self, name: str) -> Node:
        """Make a place for a node; it does not run yet."""
        self.place.add(name)
        directory = self.directory / name
        directory.mkdir(parents=True)
        shim = None if self._shim is None else Shim(self._shim, directory)
        node = Node(name, self.place.host(name), self.place.ports(name), directory, shim)
        self.nodes[name] = node
        return node

    def start(self, name: str) -> None:
        """Begin a life; ``ready`` waits until it serves."""
        node = self.nodes[name]
        assert not node.running
        node.data.mkdir(exist_ok=True)
        path = node.directory / "rookery.yaml"
        path.write_text(yaml.safe_dump(self._configuration(node), sort_keys=False))
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("ROOKERY_")
        }
        if node.shim is not None:
            environment |= node.shim.environment
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(
                [
                    *_ends_with_us(),
                    *self.place.prefix(name),
                    *command("start", "--config", str(path)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=node.directory,
                env=environment,
                start_new_session=True,
            )
        node.stopped = False

    async def begin(self) -> None:
        """Start all and wait until all are ready."""
        for name in self.nodes:
            self.start(name)
        await self.all_ready(START_SECONDS_MAX)

    async def all_ready(self, seconds_max: float) -> None:
        """Wait until every node is ready."""
        deadline = time.monotonic() + seconds_max
        for name in self.nodes:
            await self.ready(name, max(0.0, deadline - time.monotonic()))

    async def ready(self, name: str, seconds_max: float = START_SECONDS_MAX) -> None:
        """Wait until a node says that it is ready for clients."""
        deadline = time.monotonic() + seconds_max
        while not await self.is_ready(name):
            self.expect_alive(name)
            if time.monotonic() > deadline:
                raise ClusterFault(
                    f"{name} is not ready after {seconds_max:.0f} s: {await self.health(name)}"
                )
            await asyncio.sleep(0.05)

    async def is_ready(self, name: str) -> bool:
        """Whether a node says now that it is ready."""
        answer = await self._get(name, "/health/ready")
        return answer is not None and answer[0] == 200

    async def health(self, name: str) -> str:
        """What a node says of its health."""
        answer = await self._get(name, "/health")
        return "no answer" if answer is None else answer[1].strip()

    async def observe(self, name: str) -> None:
        """Note what a node's metrics say, if it answers."""
        answer = await self._get(name, "/metrics")
        if answer is None or answer[0] != 200:
            return
        node = self.nodes[name]
        for line in answer[1].splitlines():
            what, _, value = line.rpartition(" ")
            if what == "emqx_eventloop_lag_seconds":
                node.lag_seconds_max = max(node.lag_seconds_max, float(value))
            elif what.startswith("emqx_messages_dropped_total{"):
                node.dropped[what.split('"')[1]] = float(value)

    def expect_alive(self, name: str) -> None:
        """Raise ``ClusterFault`` if a node ended by itself."""
        node = self.nodes[name]
        assert node.process is not None
        if node.process.poll() is not None:
            raise ClusterFault(
                f"{name} ended by itself with {node.process.returncode}: {self.last_words(name)}"
            )

    def kill(self, name: str) -> None:
        """SIGKILL the node and all it started, and wait until they are gone."""
        node = self.nodes[name]
        assert node.process is not None
        family = [*descendants(node.process.pid), node.process.pid]
        # Children first: they would notice the death of their parent and say goodbye.
        _signal(family, signal.SIGKILL)
        node.process.wait(END_SECONDS_MAX)
        _wait_gone(family)
        node.stopped = False

    def kill_many(self, names: Sequence[str]) -> None:
        """SIGKILL several nodes at the same moment."""
        family = []
        for name in names:
            process = self.nodes[name].process
            assert process is not None
            family += [*descendants(process.pid), process.pid]
        _signal(family, signal.SIGKILL)
        for name in names:
            process = self.nodes[name].process
            assert process is not None
            process.wait(END_SECONDS_MAX)
        _wait_gone(family)

    def kill_nats(self, name: str) -> int:
        """SIGKILL the NATS server of a node, and leave the node alone; its process id."""
        node = self.nodes[name]
        assert node.process is not None
        for pid in descendants(node.process.pid):
            if "nats-server" in _program(pid):
                _signal([pid], signal.SIGKILL)
                return pid
        raise ClusterFault(f"{name} has no nats-server of its own")

    def nats_pid(self, name: str) -> int | None:
        """The process of a node's NATS server."""
        process = self.nodes[name].process
        assert process is not None
        found = [pid for pid in descendants(process.pid) if "nats-server" in _program(pid)]
        return found[0] if found else None

    async def stutter(self, pid: int, seconds: float) -> None:
        """Let a process stand still for half of the time, a tenth of a second at once, as a slow disk makes it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for signum in (signal.SIGSTOP, signal.SIGCONT):
                _signal([pid], signum)
                await asyncio.sleep(STUTTER_SECONDS)

    def freeze(self, name: str) -> None:
        """SIGSTOP the node and all it started."""
        self._signal_all(name, signal.SIGSTOP)
        self.nodes[name].stopped = True

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._signal_all(name, signal.SIGCONT)
        self.nodes[name].stopped = False

    def wipe(self, name: str) -> None:
        """Take a dead node's disk away."""
        node = self.nodes[name]
        assert not node.running
        shutil.rmtree(node.data)

    def close(self) -> None:
        """Let no process be left; the files stay."""
        for name, node in self.nodes.items():
            if node.running:
                self.kill(name)
            if node.shim is not None:
                node.shim.close()
        self.place.close()

    def last_words(self, name: str, bytes_max: int = 3_000) -> str:
        """The end of a node's log."""
        log = self.nodes[name].log
        return log.read_text(errors="replace")[-bytes_max:] if log.exists() else ""

    def faults_logged(self, lines_max: int = 10) -> dict[str, list[str]]:
        """By node, the lines of its log that tell of a fault of its own."""
        found = {}
        for name, node in self.nodes.items():
            text = node.log.read_text(errors="replace") if node.log.exists() else ""
            lines = [line for line in text.splitlines() if any(mark in line for mark in FAULTS)]
            if lines:
                found[name] = lines[:lines_max]
        return found

    def _signal_all(self, name: str, signum: signal.Signals) -> None:
        process = self.nodes[name].process
        assert process is not None
        _signal([process.pid, *descendants(process.pid)], signum)

    def _configuration(self, node: Node) -> dict[str, Any]:
        ports = node.ports
        others = [each for each in self.nodes.values() if each is not node]
        own: dict[str, Any] = {
            "broker": {
                "node_id": node.name,
                "mqtt_port": ports["mqtt"],
                "grpc_port": ports["grpc"],
                "metrics_port": ports["metrics"],
            },
            "listeners": [{"type": "tcp", "host": node.host, "port": ports["mqtt"]}],
            "metrics": {"host": node.host},
            "authentication": {"anonymous": "allow"},
            "log": {"format": "json"},
            "limits": dict(LIMITS),
            "store": {"directory": str(node.data)},
        }
        if len(self._founders) > 1:
            own["broker"]["peer_nodes"] = [f"{each.host}:{each.ports['grpc']}" for each in others]
            own["cluster"] = {
                "enabled": True,
                "host": node.host,
                "secret": SECRET.replace(" ", "-"),
                "nats": {
                    "port": ports["nats"],
                    "route_port": ports["route"],
                    "routes": [f"{each.host}:{each.ports['route']}" for each in others],
                },
            }
        for section, values in self._settings.items():
            own[section] = {**own.get(section, {}), **values}
        return own

    async def _get(self, name: str, path: str) -> tuple[int, str] | None:
        node = self.nodes[name]
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                return await _http_get(node.host, node.ports["metrics"], path)
        except (OSError, TimeoutError, ValueError):
            return None


async def _http_get(host: str, port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode(errors="replace").partition("\r\n\r\n")
        return int(head.split(" ", 2)[1]), body
    except IndexError:
        raise ValueError("no HTTP answer") from None
    finally:
        writer.close()


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those they started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found.append(child)
            waiting.append(child)
    return found


def _program(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def _signal(pids: Iterable[int], signum: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def _wait_gone(pids: Iterable[int]) -> None:
    """Wait until processes are no more, or nothing but a name that its parent has not read yet."""
    deadline = time.monotonic() + END_SECONDS_MAX
    for pid in pids:
        while _is_there(pid):
            assert time.monotonic() < deadline, f"process {pid} outlives SIGKILL"
            time.sleep(0.005)


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _ends_with_us() -> list[str]:
    """A prefix that has the kernel end the process with this one, where there is such a program."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
