"""A node, hostile connections and bystanders; and what must be true at the end."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fuzz.node.attack import attack
from fuzz.node.bystanders import Pair
from fuzz.node.streams import Scripts
from tests.support.node_process import NodeProcess

PAIRS: Final = 6
EXPIRY_SECONDS: Final = 3
SETTLE_SECONDS: Final = EXPIRY_SECONDS + 2.0
"""After this the sessions of the hostile ones are gone."""
WARM_PART: Final = 0.2
"""The part of the run after which the memory has reached its level."""
GROWTH_BYTES_MAX: Final = 48 * 1_048_576
SETTINGS: Final = {
    "listeners": "[{type: tcp, host: 127.0.0.1, port: 0}, {type: ws, host: 127.0.0.1, port: 0}]",
    "metrics.enabled": "false",
    "log.level": "info",
    "log.repeat_limit_per_minute": "1000000",
    # Hostile clients may fill what a limit bounds: the limits are low, so that the level is reached.
    "limits.retained_messages_max": "200",
    "limits.retained_bytes_max": "4000000",
    "limits.queue_bytes_max": "1000000",
    "limits.output_bytes_max": "1000000",
    "limits.session_expiry_seconds_max": str(EXPIRY_SECONDS),
    "limits.connect_deadline_seconds": "2",
    "limits.connects_per_second_max": "100000",
}


@dataclass
class Report:
    """What happened."""

    connections: int = 0
    exchanged: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """Reasons for which clients were refused or put out."""
    faults: list[str] = field(default_factory=list)
    """All that must not be."""
    rss_warm_bytes: int = 0
    rss_end_bytes: int = 0


async def fuzz(
    directory: Path, seed: int, seconds: float, at_once: int, progress: Callable[[Report], None]
) -> Report:
    """Fuzz a node of its own for some seconds."""
    given = [f"{name}={value}" for name, value in SETTINGS.items()]
    given.append(f"store.directory={directory}/store")
    given.append("store.durability=os")
    arguments = [part for each in given for part in ("--set", each)]
    report = Report()
    with NodeProcess(*arguments, cwd=directory) as node:
        await _fuzz(node, report, seed, seconds, at_once, progress)
        code = node.stop()
        if code:
            report.faults.append(f"the node ended with {code}")
        _judge_log(node.remaining_log(), report)
    return report


async def _fuzz(
    node: NodeProcess,
    report: Report,
    seed: int,
    seconds: float,
    at_once: int,
    progress: Callable[[Report], None],
) -> None:
    (tcp,), (web_socket,) = node.addresses("tcp"), node.addresses("ws")
    pairs = [Pair(tcp, number) for number in range(PAIRS)]
    scripts = Scripts()
    began = time.monotonic()
    warm_at, end_at = began + seconds * WARM_PART, began + seconds

    async def assail() -> None:
        while time.monotonic() < end_at:
            number = report.connections
            report.connections += 1
            await attack(scripts.script(f"{seed}/{number}"), tcp, web_socket)

    async def watch() -> None:
        while (now := time.monotonic()) < end_at:
            if not report.rss_warm_bytes and now >= warm_at:
                report.rss_warm_bytes = rss_bytes(node.pid)
            report.exchanged = sum(pair.got for pair in pairs)
            _judge_log(node.logged(), report)
            report.rss_end_bytes = rss_bytes(node.pid)
            progress(report)
            await asyncio.sleep(min(1.0, max(end_at - now, 0.01)))

    async with asyncio.TaskGroup() as group:
        for pair in pairs:
            group.create_task(pair.run())
        async with asyncio.TaskGroup() as hostile:
            hostile.create_task(watch())
            for _ in range(at_once):
                hostile.create_task(assail())
        await asyncio.sleep(SETTLE_SECONDS)
        for pair in pairs:
            pair.end()
    report.exchanged = sum(pair.got for pair in pairs)
    report.faults += [fault for pair in pairs for fault in pair.faults]
    report.rss_end_bytes = rss_bytes(node.pid)
    growth = report.rss_end_bytes - report.rss_warm_bytes
    if growth > GROWTH_BYTES_MAX:
        report.faults.append(f"the node's memory grew by {growth} bytes and did not come back")


def _judge_log(lines: list[str], report: Report) -> None:
    """Faults of ours are errors in the log; a peer's fault is a warning with its reason."""
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            report.faults.append(f"not a log line: {line}")
            continue
        if record["event"] == "client_refused":
            report.refusals[record["reason"]] += 1
        if record["level"] in ("error", "critical"):
            report.faults.append(line)


def rss_bytes(pid: int) -> int:
    """The resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
