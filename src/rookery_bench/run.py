"""Runs cases against brokers in turn, so that a slow minute of the machine falls on all of them.

Broker and load each have a core of their own where there are two; every run starts a fresh broker.
"""

import gc
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from rookery_bench.bursts import BurstLoad
from rookery_bench.crowd import Crowd
from rookery_bench.generator import Generator
from rookery_bench.latency import Percentiles
from rookery_bench.measurement import Measurement
from rookery_bench.paced import PacedLoad
from rookery_bench.peers import Broker, Peer, PeerError, on_core
from rookery_bench.scenarios import (
    Bursts,
    Connecting,
    Idle,
    Load,
    Paced,
    Saturating,
    Scenario,
    Single,
)
from rookery_bench.single import SingleLoad

WARM_UP_SECONDS = 0.5


@dataclass
class Runs:
    """All runs of one case against one broker."""

    scenario: Scenario
    peer: str
    measurements: list[Measurement] = field(default_factory=list)

    @property
    def sound(self) -> list[Measurement]:
        """The runs in which nothing went wrong."""
        return [measured for measured in self.measurements if not measured.faults]

    @property
    def faults(self) -> list[str]:
        """What went wrong in any run."""
        return [fault for measured in self.measurements for fault in measured.faults]

    def median_of(self, figure: Callable[[Measurement], float | None]) -> float | None:
        """Return the median of a figure over the sound runs; None when none has it."""
        values = [value for value in map(figure, self.sound) if value is not None]
        return median(values) if values else None

    @property
    def value(self) -> float | None:
        """The figure of the row; None when a run had faults, for it counts for nothing then."""
        return None if self.faults else self.median_of(lambda measured: measured.value)

    @property
    def latency(self) -> Percentiles | None:
        """The medians of the percentiles."""
        return _medians(measured.latency for measured in self.sound)

    @property
    def ack_latency(self) -> Percentiles | None:
        """The same of the way to the ack."""
        return _medians(measured.ack_latency for measured in self.sound)


def _medians(latencies: Iterable[Percentiles | None]) -> Percentiles | None:
    found = [latency for latency in latencies if latency]
    if not found:
        return None
    return Percentiles(
        median(latency.p50_us for latency in found),
        median(latency.p95_us for latency in found),
        median(latency.p99_us for latency in found),
    )


def cores() -> tuple[int | None, int | None]:
    """Choose a core for the broker and one for the load; none where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else (None, None)


def measure_all(
    plan: Iterable[tuple[Scenario, list[Peer]]],
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Runs]:
    """Run everything: for each case its brokers one after the other, and that ``rounds`` times."""
    found: list[Runs] = []
    for scenario, peers in plan:
        of_peer = {peer.name: Runs(scenario, peer.name) for peer in peers}
        for number in range(rounds):
            for peer in peers:
                tell(f"{scenario.title}, {peer.name}, round {number + 1} of {rounds}")
                of_peer[peer.name].measurements.append(measure(scenario, peer, seconds))
        found.extend(of_peer.values())
    return found


def measure(scenario: Scenario, peer: Peer, seconds: float) -> Measurement:
    """Start a broker, put the load on it, stop it."""
    broker_core, own_core = cores()
    gc.collect()
    try:
        durable = scenario.durable is not None
        with peer.running(broker_core, durable=durable) as broker, on_core(own_core):
            return _measure(scenario.load, broker, seconds)
    except (OSError, PeerError) as error:
        return Measurement(0.0, None, None, None, None, [str(error)])


def _measure(load: Load, broker: Broker, seconds: float) -> Measurement:
    running: Generator | PacedLoad | BurstLoad | SingleLoad | Crowd
    match load:
        case Saturating():
            running = Generator(load, broker.address, broker.pid)
        case Paced():
            running = PacedLoad(load, broker.address, broker.pid)
        case Bursts():
            running = BurstLoad(load, broker.address, broker.pid)
        case Single():
            running = SingleLoad(load, broker.address, broker.pid)
        case Connecting() | Idle():
            running = Crowd(load, broker.address, broker.pid)
    try:
        if isinstance(running, Crowd):
            return running.run()
        return running.run(seconds, WARM_UP_SECONDS)
    finally:
        running.close()
