"""Traffic that nothing keeps: what it costs and takes from node to node, beside one node and another broker.

All systems run at the same time and are loaded in turn, round by round, so that a slow minute of the machine
falls on all of them. What those do that are not loaded, leases and heartbeats, is the same for each.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rookery_bench import wire
from rookery_bench.cluster.results import (
    Result,
    Verdict,
    added,
    at_least,
    at_most,
    figure,
    of_runs,
    quotient,
)
from rookery_bench.cluster.systems import BROKERS, NATS_SERVERS, System
from rookery_bench.generator import Generator
from rookery_bench.links import Spread
from rookery_bench.measurement import Measurement
from rookery_bench.paced import PacedLoad
from rookery_bench.peers import PeerError
from rookery_bench.run import WARM_UP_SECONDS, Runs
from rookery_bench.scenarios import Paced, Saturating, Scenario

CROSS: Final = "node to node"
SAME: Final = "on one node of it"
EVERYWHERE: Final = "to all nodes"
ALONE: Final = "a node alone"
SHARE_MIN: Final = 0.5
"""Messages per second and core between nodes, of those of one node."""
ADDED_P50_MS_MAX: Final = 1.0
ADDED_P99_MS_MAX: Final = 5.0


@dataclass(frozen=True)
class Trial:
    """A load on a system, with its clients where the trial says."""

    system: System
    way: str

    @property
    def label(self) -> str:
        """What the line is called."""
        return self.way if self.way == ALONE else f"{self.system.name}, {self.way}"

    @property
    def where(self) -> Spread:
        """Publishers on the first node, subscribers as the way has it."""
        nodes = self.system.addresses
        subscribers = {CROSS: nodes[1:2], EVERYWHERE: nodes}
        return Spread(nodes[:1], subscribers.get(self.way, nodes[:1]))


@dataclass(frozen=True)
class Stage:
    """The systems that run beside each other."""

    cluster: System
    alone: System
    others: Sequence[System]
    rounds: int
    seconds: float
    tell: Callable[[str], None]


def between_nodes(stage: Stage, qos: int) -> Result:
    """One publisher and one subscriber on another node, as fast as it goes."""
    load = Saturating(qos, 1, 1, *((2_000, 8) if qos == 0 else (1_000, 6)))
    scenario = Scenario(f"cluster_qos{qos}_1to1", f"QoS {qos}, 1 to 1, from node to node", load)
    found = _interleaved(scenario, stage, _trials(stage, CROSS))
    return _with_share(found, stage, CROSS)


def fan_out(stage: Stage, subscribers: int) -> Result:
    """One publisher, and subscribers on all nodes."""
    title = f"QoS 0, 1 to {subscribers} on all nodes"
    scenario = Scenario("cluster_fanout", title, Saturating(0, 1, subscribers, 1_000, 8))
    trials = [
        Trial(stage.alone, ALONE),
        *(Trial(system, EVERYWHERE) for system in (stage.cluster, *stage.others)),
    ]
    return _with_share(_interleaved(scenario, stage, trials), stage, EVERYWHERE, target=False)


def added_latency(stage: Stage, pairs: int, messages_per_second: int) -> Result:
    """What a message takes longer when its subscriber is on another node."""
    load = Paced(pairs, messages_per_second, prompt=True)
    title = f"QoS 1, {pairs} pairs at {messages_per_second:,}/s, from node to node"
    scenario = Scenario("cluster_latency", title, load)
    # What others add is not asked, and to some of them so many subscribers take long.
    trials = [Trial(stage.alone, ALONE), Trial(stage.cluster, SAME)]
    trials += [Trial(system, CROSS) for system in (stage.cluster, *stage.others)]
    found = _interleaved(scenario, stage, trials)
    name = stage.cluster.name
    p50, p99 = (
        added(figure(found, f"{name}, {CROSS}", each), figure(found, f"{name}, {SAME}", each))
        for each in ("p50 ms", "p99 ms")
    )
    found.verdicts.append(at_most("added p50", p50, ADDED_P50_MS_MAX, " ms"))
    found.verdicts.append(at_most("added p99", p99, ADDED_P99_MS_MAX, " ms"))
    return found


def _trials(stage: Stage, way: str) -> list[Trial]:
    several = [stage.cluster, *stage.others]
    return [
        Trial(stage.alone, ALONE),
        *(Trial(system, each) for system in several for each in (SAME, way)),
    ]


def _with_share(found: Result, stage: Stage, way: str, *, target: bool = True) -> Result:
    """Add what the cluster does per second and core, of what the node alone does."""
    label, alone = f"{stage.cluster.name}, {way}", figure(found, ALONE, f"{BROKERS} us/msg")
    nodes = figure(found, label, f"{BROKERS} us/msg")
    servers = figure(found, label, f"{NATS_SERVERS} us/msg")
    share = quotient(alone, nodes)
    if target:
        wanted = at_least("msg/s per core, of a node alone", share, SHARE_MIN)
        found.verdicts.append(wanted)
    if share is not None and nodes is not None and servers is not None:
        whole = quotient(alone, nodes + servers)
        text = f"the nodes do {share:.0%} of a node alone per core"
        found.remarks.append(f"{text}, with their NATS servers counted {whole:.0%}")
    return found


def _interleaved(scenario: Scenario, stage: Stage, trials: Sequence[Trial]) -> Result:
    runs = {trial: Runs(scenario, trial.label) for trial in trials}
    groups = {trial: trial.system.pids() for trial in trials}
    for number in range(stage.rounds):
        for trial in trials:
            stage.tell(f"{scenario.title}: {trial.label}, round {number + 1} of {stage.rounds}")
            runs[trial].measurements.append(measure(scenario, trial, groups[trial], stage.seconds))
    lines = [of_runs(runs[trial], groups[trial]) for trial in trials]
    verdicts: list[Verdict] = []
    return Result(scenario.name, scenario.title, lines, verdicts)


def measure(
    scenario: Scenario, trial: Trial, groups: dict[str, list[int]], seconds: float
) -> Measurement:
    """Put the load on a system for so long."""
    pids = [pid for group in groups.values() for pid in group]
    gc.collect()
    try:
        trial.system.expect_running()
        running: Generator | PacedLoad
        if isinstance(scenario.load, Paced):
            running = PacedLoad(scenario.load, trial.where, pids)
        else:
            assert isinstance(scenario.load, Saturating)
            running = Generator(scenario.load, trial.where, pids)
        try:
            return running.run(seconds, WARM_UP_SECONDS)
        finally:
            running.close()
    except (OSError, PeerError, wire.WireError) as error:
        return Measurement(0.0, None, None, None, None, [str(error)])
