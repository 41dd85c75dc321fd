"""What is measured: a system of one broker process or several, with an address for each node."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from rookery_bench import wire
from rookery_bench.blocks import PublishBlock
from rookery_bench.links import Address, open_link, read_packet, subscribe
from rookery_bench.peers import PeerError, free_port

READY_SECONDS_MAX: Final = 60.0
READY_LOOK_SECONDS: Final = 0.02
_PROBE_SECONDS: Final = 2.0
BROKERS: Final = "brokers"
"""The group of processes that speak MQTT."""
NATS_SERVERS: Final = "nats servers"
"""The group of those that keep the brokers' state."""


class System(Protocol):
    """Brokers that run."""

    name: str
    version: str

    @property
    def addresses(self) -> list[Address]:
        """Where each node listens, in the order of the nodes."""
        ...

    def pids(self) -> dict[str, list[int]]:
        """The processes by group."""
        ...

    def expect_running(self) -> None:
        """Raise PeerError when one of them ended by itself."""
        ...


def free_ports(count: int) -> list[int]:
    """Return different ports that were free a moment ago."""
    found: list[int] = []
    while len(found) < count:
        port = free_port()
        if port not in found:
            found.append(port)
    return found


def wait_until(what: str, done: Callable[[], bool], seconds_max: float = READY_SECONDS_MAX) -> None:
    """Ask again and again.

    Raises:
        PeerError: it is not so in time.
    """
    deadline_ns = time.monotonic_ns() + int(seconds_max * 1e9)
    while not done():
        if time.monotonic_ns() > deadline_ns:
            raise PeerError(f"{what}: not so after {seconds_max:g} s")
        time.sleep(READY_LOOK_SECONDS)


def passes(publisher: Address, subscriber: Address) -> bool:
    """Whether a message of QoS 1 comes from one node to another now."""
    topic, version = f"bench/probe/{subscriber.port}", wire.V3_1_1
    try:
        with (
            open_link(subscriber, f"bench-probe-{subscriber.port}", version) as taker,
            open_link(publisher, f"bench-prober-{subscriber.port}", version) as giver,
        ):
            taker.settimeout(_PROBE_SECONDS)
            giver.settimeout(_PROBE_SECONDS)
            subscribe(taker, topic, 1, version)
            giver.sendall(PublishBlock(topic, 1, version, 0).fill(0, 1, 0))
            return read_packet(taker)[0] & 0xF0 == wire.PUBLISH
    except (OSError, wire.WireError):
        return False


def folder_of(parent: Path, name: str) -> Path:
    """Make a folder."""
    folder = parent / name
    folder.mkdir(parents=True)
    return folder
