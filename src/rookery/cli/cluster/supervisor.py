"""Looks after several nodes of one machine: starts them, tells what becomes of them, starts them again.

It is a plain loop without threads of its own: ``step`` looks at each node once, and between two steps the caller
waits for a signal. A node that ends while the cluster comes up is a fault of the start. One that ends later is
started again, after a wait that doubles each time and is short again when the node has lasted.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rookery.cli.cluster.asking import Readiness, readiness
from rookery.cli.cluster.folder import Folder, NodeState, State
from rookery.cli.cluster.generated import HOST
from rookery.cli.cluster.plan import NodePlan
from rookery.cli.cluster.processes import (
    Process,
    ended,
    start_node,
    stop_processes,
    sweep,
)

BACKOFF_SECONDS_MIN: Final = 1.0
BACKOFF_SECONDS_MAX: Final = 30.0
LASTED_SECONDS: Final = 60.0
"""A node that ran for so long is started again as if it had never ended."""
READY_SECONDS_MAX: Final = 1.0
LOG_BYTES: Final = 4_096
LOG_LINES: Final = 10


class StartFault(Exception):
    """The nodes did not all become ready; the text says which and why."""


@dataclass
class Watched:
    """One node and what is known of it."""

    plan: NodePlan
    host: str = HOST
    """Where its metrics port answers."""
    process: Process | None = None
    started: float = 0.0
    log_start: int = 0
    """Where in the log its present process began."""
    readiness: Readiness | None = None
    """As last asked; ``None`` before it was asked."""
    again: float = 0.0
    """When it is to be started again."""
    backoff_seconds: float = BACKOFF_SECONDS_MIN

    @property
    def node_id(self) -> str:
        """Its name."""
        return self.plan.node_id

    @property
    def ready(self) -> bool:
        """Whether it said so when last asked."""
        return self.readiness is not None and self.readiness.ready


class Supervisor:
    """The nodes of one directory. ``tell`` gets a line for each thing that becomes of one."""

    def __init__(
        self,
        folder: Folder,
        plans: Sequence[NodePlan],
        overrides: Sequence[str],
        monotonic: Callable[[], float],
        tell: Callable[[str], None],
        host: str = HOST,
    ) -> None:
        self.nodes = [Watched(plan, host) for plan in plans]
        self.myself: Process | None = None
        """What the state file calls who looks after the nodes."""
        self._folder = folder
        self._overrides = overrides
        self._monotonic = monotonic
        self._tell = tell
        self._up = False

    @property
    def all_ready(self) -> bool:
        """Whether every node is."""
        return all(node.ready for node in self.nodes)

    def start(self) -> None:
        """Start all nodes."""
        for node in self.nodes:
            self._start(node)
        self.save()

    def step(self) -> None:
        """Look at every node once. Raises ``StartFault`` while they come up for the first time."""
        for node in self.nodes:
            if node.process is not None:
                how = ended(node.process)
                if how is not None:
                    self._ended(node, node.process, how)
            elif self._monotonic() >= node.again:
                self._start(node)
                self.save()
        self._ask()
        self._up = self._up or self.all_ready

    def stop(self, hurried: Callable[[], bool]) -> bool:
        """Stop all nodes; whether they all ended by themselves."""
        running = {node.process: node for node in self.nodes if node.process is not None}
        killed = stop_processes(running, self._monotonic, hurried=hurried)
        for process in killed:
            self._tell(f"{running[process].node_id} did not end by itself and was killed")
        for process, node in running.items():
            ended(process)
            node.process = None
        self.myself = None
        self.save()
        return not killed

    def missing(self) -> str:
        """Which nodes are not ready, with reasons and the ends of their logs."""
        lines = []
        for node in self.nodes:
            if not node.ready:
                reasons = () if node.readiness is None else node.readiness.reasons
                lines.append(f"{node.node_id} is not ready: {'; '.join(reasons) or 'it starts'}")
                lines.append(self._log_end(node))
        return "\n".join(lines)

    def save(self) -> None:
        """Write the state file."""
        nodes = tuple(NodeState(node.plan, node.process) for node in self.nodes)
        self._folder.write(State(self.myself, nodes))

    def _start(self, node: Watched) -> None:
        node.process = self._launched(node)
        node.started = self._monotonic()
        node.readiness = None
        self._tell(f"{node.node_id} starts (pid {node.process.pid})")

    def _launched(self, node: Watched) -> Process:
        log = self._folder.log_file(node.node_id)
        node.log_start = log.stat().st_size if log.exists() else 0
        config = self._folder.config_file(node.node_id)
        return start_node(config, log, self._overrides)

    def _ended(self, node: Watched, process: Process, how: str) -> None:
        sweep(process)
        node.process, node.readiness = None, None
        self.save()
        said = f"{node.node_id} (pid {process.pid}) ended by itself: {how}"
        if not self._up:
            raise StartFault(f"{said}\n{self._log_end(node)}")
        if self._monotonic() - node.started >= LASTED_SECONDS:
            node.backoff_seconds = BACKOFF_SECONDS_MIN
        node.again = self._monotonic() + node.backoff_seconds
        self._tell(f"{said}; it is started again in {node.backoff_seconds:g} s")
        node.backoff_seconds = min(node.backoff_seconds * 2, BACKOFF_SECONDS_MAX)

    def _ask(self) -> None:
        asked = [node for node in self.nodes if node.process is not None]
        if not asked:
            return
        # At once, so that one that hangs does not keep the others waiting.
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = list(pool.map(_readiness, asked))
        for node, answer in zip(asked, answers, strict=True):
            before, node.readiness = node.readiness, answer
            if answer.ready and not (before and before.ready):
                self._tell(f"{node.node_id} is ready")
            elif before is not None and before.ready and not answer.ready:
                self._tell(f"{node.node_id} is not ready: {'; '.join(answer.reasons)}")

    def _log_end(self, node: Watched) -> str:
        log = self._folder.log_file(node.node_id)
        return f"the end of {log}:\n" + "\n".join(
            f"  {line}" for line in last_lines(log, node.log_start)
        )


def last_lines(log: Path, start: int) -> list[str]:
    """The last lines of a file behind ``start``."""
    with log.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(start, size - LOG_BYTES))
        text = stream.read().decode(errors="replace")
    return text.splitlines()[-LOG_LINES:] or ["(nothing)"]


def _readiness(node: Watched) -> Readiness:
    return readiness(f"{node.host}:{node.plan.ports.metrics}", READY_SECONDS_MAX)
