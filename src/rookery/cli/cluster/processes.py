"""The nodes' processes: started in sessions of their own, found again, and ended.

A process is known by its number and by when it began, so one that got the number of a node that is gone is never
taken for the node.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STOP_SECONDS_MAX: Final = 30.0
"""How long a node may take to send its clients away, finish its commits and stop what it started."""
KILL_SECONDS_MAX: Final = 10.0
"""How long the system may take to end what was killed."""
LOOK_SECONDS: Final = 0.05
OWN_VARIABLES: Final = ("NODE_ID", "MQTT_PORT", "GRPC_PORT", "METRICS_PORT", "DASHBOARD_PORT")
SHARED_VARIABLES: Final = ("PEER_NODES", "POD_NAMESPACE", "ROOKERY_CONFIG")
OWN_SECTIONS: Final = (
    "ROOKERY_BROKER__",
    "ROOKERY_LISTENERS",
    "ROOKERY_STORE__DIRECTORY",
    "ROOKERY_METRICS__",
    "ROOKERY_CLUSTER__",
)
"""Variables that would win over what the nodes' files say, and say the same to all of them."""


@dataclass(frozen=True)
class Process:
    """One process."""

    pid: int
    started: int
    """When it began, in ticks since the machine did."""


def process_of(pid: int) -> Process | None:
    """The process with this number; ``None`` where there is none, or it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # The name before it may hold anything.
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def is_running(process: Process) -> bool:
    """Whether this very process is there."""
    return process_of(process.pid) == process


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What nodes that differ may all be told."""
    return {
        name: value
        for name, value in environ.items()
        if name not in OWN_VARIABLES + SHARED_VARIABLES and not name.startswith(OWN_SECTIONS)
    }


def start_node(config: Path, log: Path, overrides: Sequence[str]) -> Process:
    """Start a node in a session of its own, so that Ctrl-C here does not reach it."""
    arguments = [sys.executable, "-m", "rookery", "start", "-c", str(config)]
    for override in overrides:
        arguments += ["--set", override]
    pid = os.posix_spawn(
        sys.executable,
        arguments,
        environment(os.environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return _begun(pid)


def start_worker(arguments: Sequence[str]) -> Process:
    """Start a node that writes where we do, and is told to stop when we end, even without a word."""
    from rookery.cluster.child import command

    whole = command([sys.executable, "-m", "rookery", "start", *arguments])
    pid = os.posix_spawn(
        whole[0],
        whole,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setsid=True,
    )
    return _begun(pid)


def _begun(pid: int) -> Process:
    # A child that ended at once still is there until it is waited for.
    stat = Path(f"/proc/{pid}/stat").read_text()
    return Process(pid, int(stat.rpartition(")")[2].split()[19]))


def ended(process: Process) -> str | None:
    """How a child of ours ended, in words; ``None`` while it runs."""
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return "ended"
    if pid == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def sweep(process: Process) -> None:
    """End what a node that is dead has left behind in its session, a NATS server for one."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def stop_processes(
    processes: Iterable[Process],
    monotonic: Callable[[], float],
    *,
    hurried: Callable[[], bool] = lambda: False,
    seconds_max: float = STOP_SECONDS_MAX,
) -> list[Process]:
    """Ask all to end, wait, and kill those that did not; returns these. ``hurried`` ends the waiting."""
    left = [process for process in processes if is_running(process)]
    for process in left:
        signal_to(process, signal.SIGTERM)
    deadline = monotonic() + seconds_max
    while left and monotonic() < deadline and not hurried():
        time.sleep(LOOK_SECONDS)
        left = [process for process in left if is_running(process)]
    for process in left:
        sweep(process)
    killed = monotonic()
    while any(map(is_running, left)) and monotonic() < killed + KILL_SECONDS_MAX:
        time.sleep(LOOK_SECONDS)
    return left


def signal_to(process: Process, signum: signal.Signals) -> None:
    """Send a signal, unless the process has ended meanwhile."""
    try:
        os.kill(process.pid, signum)
    except ProcessLookupError:
        return
