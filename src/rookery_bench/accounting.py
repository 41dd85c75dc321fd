"""What the kernel says a broker has used: CPU time of all its threads, resident memory.

CPU time is read from the POSIX clock that the kernel keeps for each process: the scheduler's own
count in nanoseconds, of living and ended threads, the same sum that ``utime + stime`` of
``/proc/<pid>/stat`` shows in ticks of 10 ms. ``stat_cpu_ns`` reads the latter, for the test that
holds the two against each other.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

Pids = int | Sequence[int]
"""The process of a broker, or all those of a cluster."""

_CLOCK_OF_PROCESS: Final = 2
"""The kind of CPU clock that counts scheduled time (CPUCLOCK_SCHED of the Linux clock ids)."""
_SETTLED_READINGS: Final = 5
_SETTLE_INTERVAL_SECONDS: Final = 0.2
_SETTLE_SECONDS_MAX: Final = 5.0


def cpu_ns(pid: int) -> int:
    """Return the CPU time of all threads of a process, user and system, in nanoseconds.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        return time.clock_gettime_ns(~pid << 3 | _CLOCK_OF_PROCESS)
    except OSError as error:
        raise ProcessLookupError(f"no process {pid}") from error


def each_cpu_ns(pids: Pids) -> dict[int, int]:
    """Return the same for one process or several.

    Raises:
        ProcessLookupError: one of them is not there.
    """
    return {pid: cpu_ns(pid) for pid in ([pids] if isinstance(pids, int) else pids)}


def stat_cpu_ns(pid: int) -> int:
    """Return the same from /proc/<pid>/stat, in steps of a kernel tick."""
    text = Path(f"/proc/{pid}/stat").read_text()
    # The name before the last parenthesis may hold spaces.
    fields = text.rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process (Rss of /proc/<pid>/smaps_rollup) in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Rss":
            return int(value.split()[0]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup names no Rss")


def peak_resident_bytes(pid: int) -> int:
    """Return the most resident memory that a process has had (VmHWM of its status) in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    raise ValueError(f"/proc/{pid}/status names no VmHWM")


def settled_resident_bytes(pid: int) -> int:
    """Read the resident memory of a process until it stays the same for a second."""
    readings = [resident_bytes(pid)]
    deadline_ns = time.monotonic_ns() + int(_SETTLE_SECONDS_MAX * 1e9)
    while time.monotonic_ns() < deadline_ns:
        time.sleep(_SETTLE_INTERVAL_SECONDS)
        readings.append(resident_bytes(pid))
        if len(set(readings[-_SETTLED_READINGS:])) == 1 and len(readings) >= _SETTLED_READINGS:
            break
    return readings[-1]


class Usage:
    """CPU time since a moment, of the broker and of this process."""

    def __init__(self, pids: Pids) -> None:
        self._pids = pids
        self.each_ns: dict[int, int] = {}
        """What each of the broker's processes had used when this was last read."""
        self.restart()

    def restart(self) -> None:
        """Begin to count here."""
        self._broker_ns = each_cpu_ns(self._pids)
        self._own_ns = time.process_time_ns()
        self._wall_ns = time.monotonic_ns()

    def read(self) -> tuple[int, int, int]:
        """Return what the broker and this process used and how long it took, in nanoseconds."""
        now_ns = each_cpu_ns(self._pids)
        self.each_ns = {pid: used_ns - self._broker_ns[pid] for pid, used_ns in now_ns.items()}
        return (
            sum(self.each_ns.values()),
            time.process_time_ns() - self._own_ns,
            time.monotonic_ns() - self._wall_ns,
        )
