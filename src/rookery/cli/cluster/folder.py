"""The directory of ``rookery cluster up``: the nodes' data and logs, the secret, and a state file.

``cluster.json`` says which nodes there are, on which ports, and with which process each was last started. It is
written whole and renamed into place, so whoever reads it finds one state or the next.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rookery.cli.cluster.generated import configuration_text
from rookery.cli.cluster.plan import NodePlan, Ports
from rookery.cli.cluster.processes import Process, is_running

DEFAULT_DIRECTORY: Final = Path("rookery-cluster")
VERSION: Final = 1
SECRET_BYTES: Final = 32
GROWS_FROM: Final = 3
"""State on fewer servers than this is not replicated, and cannot be spread out afterwards."""


class FolderFault(Exception):
    """The directory cannot be used so; the text says why and what to do."""


@dataclass(frozen=True)
class NodeState:
    """One node as the state file has it."""

    plan: NodePlan
    process: Process | None
    """The process it was last started with; ``None`` after it was stopped."""

    @property
    def running(self) -> bool:
        """Whether that process is there."""
        return self.process is not None and is_running(self.process)


@dataclass(frozen=True)
class State:
    """What the state file says."""

    supervisor: Process | None
    """The ``rookery cluster up`` in the foreground that looks after the nodes."""
    nodes: tuple[NodeState, ...]

    def running(self) -> list[NodeState]:
        """The nodes whose processes are there."""
        return [node for node in self.nodes if node.running]

    def stopped(self) -> "State":
        """The same, without processes."""
        return State(None, tuple(NodeState(node.plan, None) for node in self.nodes))


class Folder:
    """One such directory."""

    def __init__(self, path: Path, *, own_files: bool = True) -> None:
        """``own_files`` says whether each node has a configuration and a log of its own here."""
        self._own_files = own_files
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def secret_file(self) -> Path:
        """Where the cluster's secret is, for its owner only."""
        return self.path / "secret"

    @property
    def state_file(self) -> Path:
        """Which nodes there are."""
        return self.path / "cluster.json"

    def config_file(self, node_id: str) -> Path:
        """The configuration of a node."""
        return self.path / node_id / "rookery.yaml"

    def log_file(self, node_id: str) -> Path:
        """What a node says."""
        return self.path / node_id / "node.log"

    def pid_file(self, node_id: str) -> Path:
        """The number of a node's process, while it runs."""
        return self.path / node_id / "node.pid"

    def lock(self) -> None:
        """Be the only one who starts nodes here, until ``unlock``; makes the directory."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FolderFault(f"{self.path} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise FolderFault(
                f"another 'rookery cluster up' or 'rookery start --workers' runs in {self.path}; "
                "'rookery cluster down' stops it"
            ) from None

    def unlock(self) -> None:
        """Let others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret(self) -> str:
        """The cluster's secret."""
        try:
            return self.secret_file.read_text().strip()
        except OSError as error:
            raise FolderFault(f"{self.secret_file} cannot be read: {error.strerror}") from None

    def read(self) -> State | None:
        """What is there; ``None`` where no cluster ever was."""
        try:
            data = json.loads(self.state_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise FolderFault(f"{self.state_file} cannot be read: {error}") from None
        try:
            return _state(data)
        except (KeyError, TypeError, ValueError):
            raise FolderFault(
                f"{self.state_file} is not a state file of this version of Rookery"
            ) from None

    def write(self, state: State) -> None:
        """Replace what is there; pid files follow."""
        data = {
            "version": VERSION,
            "supervisor": None if state.supervisor is None else asdict(state.supervisor),
            "nodes": [self._node_data(node) for node in state.nodes],
        }
        _replace(self.state_file, json.dumps(data, indent=2) + "\n")
        for node in state.nodes:
            file = self.pid_file(node.plan.node_id)
            if node.process is None:
                file.unlink(missing_ok=True)
            else:
                _replace(file, f"{node.process.pid}\n")

    def prepare(self, plans: Sequence[NodePlan]) -> None:
        """Write the secret and the configurations that are not there yet."""
        self.make_secret()
        self.make_directories(plans)
        try:
            for plan in plans:
                file = self.config_file(plan.node_id)
                if not file.exists():
                    _replace(file, configuration_text(plan, plans, self.secret_file))
        except OSError as error:
            raise FolderFault(f"{error.filename} cannot be written: {error.strerror}") from None

    def make_secret(self) -> None:
        """Write the secret, unless there is one."""
        try:
            if not self.secret_file.exists():
                _replace(self.secret_file, secrets.token_hex(SECRET_BYTES) + "\n")
        except OSError as error:
            raise FolderFault(f"{error.filename} cannot be written: {error.strerror}") from None

    def make_directories(self, plans: Sequence[NodePlan]) -> None:
        """Make a directory for each node."""
        try:
            for plan in plans:
                self.pid_file(plan.node_id).parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise FolderFault(f"{error.filename} cannot be written: {error.strerror}") from None

    def _node_data(self, node: NodeState) -> dict[str, Any]:
        node_id = node.plan.node_id
        process = node.process
        return {
            "node_id": node_id,
            "pid": None if process is None else process.pid,
            "started": None if process is None else process.started,
            "ports": asdict(node.plan.ports),
            "config": str(self.config_file(node_id)) if self._own_files else None,
            "log": str(self.log_file(node_id)) if self._own_files else None,
        }


def checked(path: Path, state: State | None, plans: Sequence[NodePlan]) -> None:
    """Whether these nodes may be started on what is there already; raises ``FolderFault``."""
    check_none_runs(path, state)
    if state is None:
        return
    known = [node.plan for node in state.nodes]
    for old, new in zip(known, plans, strict=False):
        if old != new:
            old_ports, new_ports = dict(old.ports.each()), dict(new.ports.each())
            changed = ", ".join(
                f"{service} {port}, not {new_ports[service]}"
                for service, port in old_ports.items()
                if port != new_ports[service]
            )
            raise FolderFault(
                f"{old.node_id} in {path} has other ports ({changed}); ask for the same, or give another "
                "--directory"
            )
    if len(plans) < len(known):
        raise FolderFault(
            f"the cluster in {path} has {len(known)} nodes; start as many, or give another --directory"
        )
    if len(plans) > len(known) and len(known) < GROWS_FROM:
        raise FolderFault(
            f"the cluster in {path} has {len(known)} and its state is on one server only, so it cannot grow; "
            "give another --directory"
        )


def check_none_runs(path: Path, state: State | None) -> None:
    """Raises ``FolderFault`` where nodes of the directory run."""
    running = [] if state is None else state.running()
    if running:
        names = ", ".join(f"{node.plan.node_id} (pid {_pid(node)})" for node in running)
        raise FolderFault(
            f"{names} run in {path} already; 'rookery cluster down --directory {path}' stops them"
        )


def _pid(node: NodeState) -> int:
    return 0 if node.process is None else node.process.pid


def _state(data: dict[str, Any]) -> State:
    if data["version"] != VERSION:
        raise ValueError("another version")
    supervisor = data["supervisor"]
    return State(
        None if supervisor is None else Process(**supervisor),
        tuple(
            NodeState(
                NodePlan(node["node_id"], Ports(**node["ports"])),
                None if node["pid"] is None else Process(node["pid"], node["started"]),
            )
            for node in data["nodes"]
        ),
    )


def _replace(file: Path, text: str) -> None:
    """Write a file for its owner only, whole or not at all."""
    new = file.with_name(f".{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    new.replace(file)
