"""Processes that end with this one, and the processes that those start in turn."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from rookery_bench.peers import PeerError

STOP_SECONDS_MAX: Final = 20.0
_LAST_WORDS_BYTES: Final = 2_000
_LOOK_SECONDS: Final = 0.005


class Process:
    """A server with its log, over all its lives."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its number; only while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Begin a life."""
        assert not self.running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*ends_with_us(), *command],
                cwd=self.log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def expect_running(self) -> None:
        """Raise PeerError when it ended by itself."""
        if not self.running:
            raise PeerError(f"{self.name} ended: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return text.strip()[-_LAST_WORDS_BYTES:] or "no output"

    def stop(self) -> None:
        """Have it end in order; kill it when it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            kill_all([self])

    def reap(self) -> None:
        """Wait for one that was killed."""
        if self._process is not None:
            self._process.wait(STOP_SECONDS_MAX)


def kill_all(processes: Iterable[Process]) -> int:
    """SIGKILL these and all they started, children first; return when that was done (monotonic ns).

    A child that outlived its parent for a moment would say goodbye to its peers.
    """
    running = [process for process in processes if process.running]
    families = [(descendants(process.pid), process.pid) for process in running]
    pids = [pid for children, _ in families for pid in children] + [pid for _, pid in families]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    killed_ns = time.monotonic_ns()
    for process in running:
        process.reap()
    deadline_ns = killed_ns + int(STOP_SECONDS_MAX * 1e9)
    while any(_is_there(pid) for pid in pids) and time.monotonic_ns() < deadline_ns:
        time.sleep(_LOOK_SECONDS)
    return killed_ns


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
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
        begun = children.get(waiting.pop(), [])
        found += begun
        waiting += begun
    return found


def program(pid: int) -> str:
    """Return the command line of a process; empty when there is none."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return data.replace(b"\0", b" ").decode(errors="replace")


def ends_with_us() -> list[str]:
    """Return a prefix that has the kernel end the process with this one, where there is such a program."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
