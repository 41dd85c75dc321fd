"""Where the nodes of a cluster under test live: a network namespace each, or all on the loopback interface.

With namespaces every node has an address, a stack and ports of its own, as if it were a machine; all hang on one
bridge, and the clients reach them over it. The bridge is in the namespace of this process, which ``__main__``
enters before anything else: nothing of the machine's own network is touched, runs beside each other do not meet,
and the kernel takes everything away with the last process. A node's namespace is held by a process that ends with
us. What is cut is cut by dropping packets where they come in, so that a sender learns nothing.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final, Protocol, Self

from tests.crash.broker import free_port

INSIDE: Final = "CLUSTER_TEST_NAMESPACE"
"""Set in the environment of a run that has entered its namespace."""
PROGRAMS: Final = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
}
"""The programs that are needed, and the Debian packages that have them."""
BRIDGE: Final = "br0"
SUBNET: Final = "10.99.0"
PORTS: Final = {"mqtt": 1883, "grpc": 8081, "metrics": 8082, "nats": 4222, "route": 6222}


class Place(Protocol):
    """Where nodes are put."""

    isolated: bool
    """Whether the nodes can be cut off from each other."""

    def add(self, node: str) -> None:
        """Make a place for a node."""

    def host(self, node: str) -> str:
        """The address of a node, for other nodes and for clients."""

    def ports(self, node: str) -> dict[str, int]:
        """The ports of a node by what they are for."""

    def prefix(self, node: str) -> list[str]:
        """What goes before a node's command line, so that it runs in its place."""

    def close(self) -> None:
        """Take everything away."""


class Loopback:
    """All nodes on the loopback interface, with ports nobody has."""

    isolated = False

    def __init__(self) -> None:
        self._ports: dict[str, dict[str, int]] = {}

    def add(self, node: str) -> None:
        taken: set[int] = {port for ports in self._ports.values() for port in ports.values()}
        chosen = {}
        for what in PORTS:
            port = free_port()
            while port in taken:
                port = free_port()
            taken.add(port)
            chosen[what] = port
        self._ports[node] = chosen

    def host(self, node: str) -> str:
        return "127.0.0.1"

    def ports(self, node: str) -> dict[str, int]:
        return self._ports[node]

    def prefix(self, node: str) -> list[str]:
        return []

    def close(self) -> None:
        self._ports.clear()


class Namespaces:
    """A network namespace for each node, and faults between them; inside ``with``."""

    isolated = True

    def __init__(self) -> None:
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        assert os.environ.get(INSIDE), "the run has not entered a namespace of its own"
        if not _answers("ip", "link", "show", "dev", BRIDGE):
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", BRIDGE, "type", "bridge")
            _run("ip", "address", "add", f"{SUBNET}.254/24", "dev", BRIDGE)
            _run("ip", "link", "set", BRIDGE, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, node: str) -> None:
        number = self._numbers[node] = len(self._numbers) + 1
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._holders[node] = holder
        assert holder.stdout is not None
        holder.stdout.readline()
        outer = self._outer(node)
        _run("ip", "link", "add", outer, "type", "veth", "peer", "eth0", "netns", str(holder.pid))
        _run("ip", "link", "set", outer, "master", BRIDGE, "up")
        _run(*self.prefix(node), "ip", "link", "set", "lo", "up")
        address = f"{SUBNET}.{number}/24"
        _run(*self.prefix(node), "ip", "address", "add", address, "dev", "eth0")
        _run(*self.prefix(node), "ip", "link", "set", "eth0", "up")

    def host(self, node: str) -> str:
        return f"{SUBNET}.{self._numbers[node]}"

    def ports(self, node: str) -> dict[str, int]:
        return dict(PORTS)

    def prefix(self, node: str) -> list[str]:
        return ["nsenter", "--target", str(self._holders[node].pid), "--net", "--"]

    def cut_one_way(self, sender: str, receiver: str) -> None:
        """Let no packet of one node reach another; those the other way still do."""
        rule = f"ip saddr {self.host(sender)} drop"
        script = (
            "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; "
            f"add rule inet cut in {rule}"
        )
        _run(*self.prefix(receiver), "nft", script)

    def cut(self, some: Sequence[str], others: Sequence[str]) -> None:
        """Let no packet pass between these and those, either way. Clients reach both."""
        for one in some:
            for other in others:
                self.cut_one_way(one, other)
                self.cut_one_way(other, one)

    def unplug(self, node: str) -> None:
        """Pull a node's cable: nobody reaches it, and nobody is told."""
        _run("ip", "link", "set", self._outer(node), "down")

    def heal(self) -> None:
        """Let everything pass again."""
        for node in self._holders:
            subprocess.run(
                [*self.prefix(node), "nft", "delete table inet cut"],
                check=False,
                capture_output=True,
            )
            _run("ip", "link", "set", self._outer(node), "up")

    def close(self) -> None:
        for node, holder in self._holders.items():
            subprocess.run(
                ["ip", "link", "delete", self._outer(node)], check=False, capture_output=True
            )
            holder.communicate()
        self._holders.clear()
        self._numbers.clear()

    def _outer(self, node: str) -> str:
        return f"veth-{node}"


def missing() -> str:
    """What keeps this machine from having namespaces, in words; empty when nothing does."""
    absent = sorted({package for name, package in PROGRAMS.items() if _found(name) is None})
    if absent:
        return f"needs the packages {', '.join(absent)}"
    tried = subprocess.run(
        [*unshare(), "sh", "-c", "ip link add br0 type bridge && nft list ruleset"],
        check=False,
        capture_output=True,
        env=_environment(),
    )
    if tried.returncode != 0:
        said = tried.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        return f"the kernel gives no network namespace with a bridge and nftables: {said[-1]}"
    return ""


def unshare() -> list[str]:
    """The command that runs another one in a network namespace of its own; without root, as root of it."""
    return ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net", "--"]


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, env=_environment())
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    assert done.returncode == 0, f"{' '.join(command)}: {said}"


def _answers(*command: str) -> bool:
    return (
        subprocess.run(command, check=False, capture_output=True, env=_environment()).returncode
        == 0
    )


def _environment() -> dict[str, str]:
    # Debian keeps ip and nft where an ordinary user's path does not lead.
    return {**os.environ, "PATH": _path()}


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _found(name: str) -> str | None:
    return shutil.which(name, path=_path())
