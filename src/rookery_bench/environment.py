"""What a measurement was made on: without it the figures mean nothing later."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rookery_bench.peers import Peer


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
