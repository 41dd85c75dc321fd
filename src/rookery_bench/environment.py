"""What a measurement was made on: without it the figures mean nothing later."""

import os
import platform
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

from rookery_bench.latency import percentiles
from rookery_bench.peers import Peer

_SYNCS = 50
_BLOCK = bytes(4_096)


def describe(peers: Iterable[Peer]) -> dict[str, str]:
    """Name the machine, the interpreter and the brokers."""
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": version("numpy"),
    }
    return found | {peer.name: peer.version for peer in peers}


def _processor() -> str:
    """The model name; some virtual machines tell only numbers."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    if name == "unknown" or not name:
        name = f"family {fields.get('cpu family')} model {fields.get('model')}"
    return f"{name} ({fields.get('vendor_id', platform.machine())})"


def describe_disk(folder: str | None = None) -> str:
    """Tell what is under a folder (default: where the brokers' folders are made).

    The time of a sync of 4 KiB says what durability can cost at least; on a file system in memory
    it is nothing.
    """
    folder = folder or gettempdir()
    times_ns: list[int] = []
    with TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(_BLOCK)
            started_ns = time.monotonic_ns()
            os.fsync(file.fileno())
            times_ns.append(time.monotonic_ns() - started_ns)
    taken = percentiles(times_ns)
    assert taken is not None  # There were syncs.
    p50, p99 = taken.p50_us / 1000, taken.p99_us / 1000
    return f"{folder} on {_file_system(Path(folder))}, fsync p50 {p50:.2f} ms, p99 {p99:.2f} ms"


def _file_system(folder: Path) -> str:
    """The type of the file system with the longest mount point above a folder."""
    found, longest = "?", -1
    resolved = folder.resolve()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point, kind = line.split()[1:3]
        if resolved.is_relative_to(point) and len(point) > longest:
            found, longest = kind, len(point)
    return found
