"""What the nodes of a cluster say of it, put together: one report a node, from every node asked."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rookery.cli.cluster.asking import Readiness, Unreachable, get, readiness
from rookery.cli.cluster.targets import Target

UNKNOWN = "-"
GONE, STOPPED = "gone", "stopped"


@dataclass(frozen=True)
class Report:
    """What one node says."""

    target: Target
    process: str
    """``running``, ``gone`` by itself, ``stopped``, or ``unknown`` for a node that was not started here."""
    readiness: Readiness | None
    """``None`` for a node whose process is not there."""
    cluster: dict[str, Any] | None
    """Its answer about the cluster."""
    problem: str | None
    """Why there is none."""

    @property
    def node_id(self) -> str:
        """Its name, as far as it is known; else its address."""
        told = None if self.cluster is None else self.cluster.get("node_id")
        return str(told or self.target.node_id or self.target.address)

    @property
    def ready(self) -> bool:
        """Whether it is there and ready."""
        return self.readiness is not None and self.readiness.ready

    def told(self, key: str) -> object:
        """One value of its answer, as a table shows it."""
        value = None if self.cluster is None else self.cluster.get(key)
        return UNKNOWN if value is None else value

    def links(self) -> dict[str, str]:
        """The state of its link to each other member, by the other's name."""
        return {
            str(member["node_id"]): str(member.get("link", UNKNOWN))
            for member in self.members()
            if member["node_id"] != self.node_id
        }

    def members(self) -> list[dict[str, Any]]:
        """The members it knows."""
        found = [] if self.cluster is None else self.cluster.get("members", [])
        return [member for member in found if isinstance(member, dict) and "node_id" in member]

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        state = self.target.state
        pid = None if state is None or state.process is None else state.process.pid
        return {
            "node_id": self.node_id,
            "process": self.process,
            "pid": pid,
            "metrics": self.target.address,
            "ready": self.ready,
            "reasons": [] if self.readiness is None else list(self.readiness.reasons),
            "cluster": self.cluster,
            "problem": self.problem,
        }


def reports_of(targets: Sequence[Target]) -> list[Report]:
    """Ask all at once."""
    with ThreadPoolExecutor(len(targets)) as pool:
        return list(pool.map(_report, targets))


def _report(target: Target) -> Report:
    process = _process(target)
    if process in (GONE, STOPPED):
        return Report(target, process, None, None, f"its process is {process}")
    ready = readiness(target.address)
    try:
        answer = get(target.address, "/cluster")
    except Unreachable as fault:
        return Report(target, process, ready, None, str(fault))
    if answer.status_code != 200:
        return Report(target, process, ready, None, answer.error)
    return Report(target, process, ready, answer.data, None)


def _process(target: Target) -> str:
    if target.state is None:
        return "unknown"
    if target.state.process is None:
        return STOPPED
    return "running" if target.state.running else GONE
