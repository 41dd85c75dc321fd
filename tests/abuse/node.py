"""The node under attack, and what it says of itself."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.abuse.attacks import USER
from tests.support.command import rookery
from tests.support.node_process import NodeProcess

BYSTANDER: Final = ("bystander", b"bystander")
BOMBS: Final = 300
"""Patterns of bans that take long to be tried."""

WATCHED: Final = (
    "emqx_connections_refused",
    "emqx_connect",
    "emqx_disconnects",
    "emqx_messages_dropped",
    "emqx_clients_paced",
    "emqx_banned",
    "emqx_bans_made",
    "emqx_overloads",
    "emqx_overload_shed",
    "emqx_packets_invalid",
    "emqx_subscriptions_refused",
)
"""The counters that tell what became of an attack."""
GOOD: Final = {"result": "success"}


def settings(extra: list[str]) -> list[str]:
    """A node as it comes, but for users, and for strangers on the loopback network being strangers."""
    users = [
        {"username": name, "password": password.decode(), "algorithm": "bcrypt"}
        for name, password in (BYSTANDER, USER)
    ]
    given = {
        "listeners": [{"type": "tcp", "host": "127.0.0.1", "port": 0}],
        "broker.metrics_port": 0,
        "metrics.host": "127.0.0.1",
        "broker.auth.users": users,
        "bans.exempt_addresses": ["127.0.0.1"],
    }
    arguments = [f"{name}={json.dumps(value)}" for name, value in given.items()] + extra
    return [part for each in arguments for part in ("--set", each)]


class Node:
    """A node on the first core, inside ``with``."""

    def __init__(self, directory: Path, extra: list[str]) -> None:
        arguments = [*settings(extra), "--set", f"store.directory={directory}"]
        self._directory = directory
        self._process = NodeProcess(*arguments)

    def __enter__(self) -> Self:
        bans = [
            {"kind": "client_id", "pattern": f"*{'a?' * 20}{'*a' * 200}*b{number}"}
            for number in range(BOMBS)
        ]
        lines = "\n".join(json.dumps(ban) for ban in bans)
        place = f"store.directory={self._directory}"
        done = rookery("ban", "import", "-", "--set", place, stdin=lines.encode())
        assert done.returncode == 0, done.stderr
        self._process.__enter__()
        pin(self.pid, 0)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def address(self) -> tuple[str, int]:
        return self._process.addresses("tcp")[0]

    def memory_bytes(self) -> int:
        """What it holds in memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def counters(self) -> dict[str, float]:
        """The watched counters, as ``name{label}``."""
        host, port = self._process.addresses("http")[0]
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples if family.name in WATCHED else ():
                if sample.name.endswith("_total") and sample.labels != GOOD:
                    label = ",".join(sample.labels.values())
                    name = family.name.removeprefix("emqx_")
                    found[f"{name}{{{label}}}" if label else name] = sample.value
        return found


class Attackers:
    """One attack in a process of its own, on the other core, inside ``with``."""

    def __init__(self, name: str, address: tuple[str, int], niceness: int) -> None:
        given = [name, address[0], str(address[1]), str(niceness)]
        command = [sys.executable, "-m", "tests.abuse.attacks", *given]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def begin(self) -> None:
        """Wait until it attacks."""
        assert self._process.stdout is not None
        pin(self._process.pid, 1)
        self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def alive(self) -> bool:
        """Whether it still attacks."""
        return self._process.poll() is None


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cores[core % len(cores)]})
