"""QoS 1 to persistent sessions on other nodes: the highest rate, and the highest that is acknowledged in time.

A closed loop shows what is the most. How long a PUBACK takes shows an open loop, at rates between which a search
narrows down: the windows of the closed one would only show how full they are.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rookery_bench import wire
from rookery_bench.bursts import BurstLoad
from rookery_bench.cluster.results import (
    Line,
    Result,
    at_least,
    at_most,
    figure,
    number,
    of_runs,
)
from rookery_bench.cluster.systems import System
from rookery_bench.generator import Generator
from rookery_bench.links import Spread, open_link
from rookery_bench.measurement import Measurement
from rookery_bench.peers import PeerError
from rookery_bench.run import WARM_UP_SECONDS, Runs
from rookery_bench.scenarios import Bursts, Saturating, Scenario

ACKED_PER_SECOND_MIN: Final = 15_000
ACK_P99_MS_MAX: Final = 60.0
RATE_KEPT_MIN: Final = 0.97
"""Of the rate asked for, so much must be acknowledged: messages left out would wait for nobody."""
_FIRST_SHARE: Final = 0.6
_WINDOW: Final = 400
_TURNS: Final = 8
_BURST: Final = 8
_RATE_MIN: Final = 100
_RATE_STEP: Final = 100
_FORGET_SECONDS: Final = 0.2
"""Some brokers end a session a moment after its connection."""


class RateSearch:
    """Narrows the highest rate that is kept down, by halves, below a rate that is not.

    The first try is the rate that is asked for, or where a system mostly still keeps up.
    """

    def __init__(self, ceiling: float) -> None:
        self._low = 0.0
        self._high = max(ceiling, _RATE_MIN)
        self._asked = False

    @property
    def next_rate(self) -> int:
        """What to try next."""
        if not self._asked:
            rate = min(self._high * _FIRST_SHARE, ACKED_PER_SECOND_MIN)
        else:
            rate = (self._low + self._high) / 2
        return max(_RATE_MIN, round(rate / _RATE_STEP) * _RATE_STEP)

    def tell(self, rate: int, *, kept: bool) -> None:
        """Take what a try showed."""
        self._asked = True
        if kept:
            self._low = rate
        else:
            self._high = rate


@dataclass
class Best:
    """The fastest run that kept its rate and acknowledged in time."""

    rate: int
    measured: Measurement


def is_kept(measured: Measurement, rate: int) -> bool:
    """Whether a run kept the rate and its acks were in time."""
    if measured.faults or measured.acked_per_second is None or measured.ack_latency is None:
        return False
    in_time = measured.ack_latency.p99_us <= ACK_P99_MS_MAX * 1000
    return in_time and measured.acked_per_second >= RATE_KEPT_MIN * rate


def durable(
    systems: Sequence[System],
    pairs: int,
    rounds: int,
    tries: int,
    seconds: float,
    tell: Callable[[str], None],
) -> Result:
    """Measure systems in turn; the first is the one from which something is asked."""
    title = f"durable QoS 1, {pairs} pairs over all nodes"
    load = Saturating(1, pairs, pairs, _WINDOW, _TURNS, persistent=True)
    scenario = Scenario("cluster_durable", title, load)
    lines, searches = [], {}
    runs = {system: Runs(scenario, f"{system.name}, as fast as it goes") for system in systems}
    for done in range(rounds):
        for system in systems:
            tell(f"{title}: {runs[system].peer}, round {done + 1} of {rounds}")
            runs[system].measurements.append(_run(system, load, seconds))
    for system in systems:
        of_system = runs[system]
        line = of_runs(of_system, system.pids())
        line.figures["acked/s"] = of_system.median_of(lambda each: each.acked_per_second)
        lines.append(line)
        searches[system] = RateSearch(line.figures["acked/s"] or ACKED_PER_SECOND_MIN)
    remarks = [f"in time is an ack p99 of at most {ACK_P99_MS_MAX:g} ms while the rate is kept"]
    lines += _search(scenario, searches, pairs, tries, seconds, tell, remarks)
    found = Result(scenario.name, title, lines, [], remarks)
    label = f"{systems[0].name}, {_in_time()}"
    rate = figure(found, label, "acked/s")
    p99 = figure(found, label, "ack p99 ms")
    found.verdicts.append(at_least("acknowledged in time", rate, ACKED_PER_SECOND_MIN, "/s"))
    found.verdicts.append(at_most("ack p99 at that rate", p99, ACK_P99_MS_MAX, " ms"))
    return found


def _search(
    scenario: Scenario,
    searches: dict[System, RateSearch],
    pairs: int,
    tries: int,
    seconds: float,
    tell: Callable[[str], None],
    remarks: list[str],
) -> list[Line]:
    best: dict[System, Best] = {}
    faults: dict[System, list[str]] = {system: [] for system in searches}
    for done in range(tries):
        for system, search in searches.items():
            rate = search.next_rate
            tell(f"{scenario.title}: {system.name} at {rate:,}/s, try {done + 1} of {tries}")
            measured = _run(system, Bursts(pairs, rate, _BURST, _WINDOW), seconds)
            faults[system] += measured.faults
            kept = is_kept(measured, rate)
            search.tell(rate, kept=kept)
            remarks.append(said(system.name, rate, measured, kept=kept))
            if kept:
                best[system] = Best(rate, measured)
    return [_line(scenario, system, best.get(system), faults[system]) for system in searches]


def said(name: str, rate: int, measured: Measurement, *, kept: bool) -> str:
    """What a try showed."""
    times = measured.ack_latency
    p99 = number(None if times is None else times.p99_us / 1000)
    acked = number(measured.acked_per_second)
    return (
        f"{name} at {rate:,}/s: {acked} acked/s, ack p99 {p99} ms, {'' if kept else 'not '}in time"
    )


def _line(scenario: Scenario, system: System, best: Best | None, faults: list[str]) -> Line:
    label = f"{system.name}, {_in_time()}"
    if best is None:
        return Line(label, {}, faults)
    line = of_runs(Runs(scenario, label, [best.measured]), system.pids())
    line.figures["acked/s"] = best.measured.acked_per_second
    if best.measured.ack_latency is not None:
        line.figures["ack p50 ms"] = best.measured.ack_latency.p50_us / 1000
        line.figures["ack p99 ms"] = best.measured.ack_latency.p99_us / 1000
    return Line(label, line.figures, faults)


def _in_time() -> str:
    return "acknowledged in time"


def _run(system: System, load: Saturating | Bursts, seconds: float) -> Measurement:
    pids = [pid for group in system.pids().values() for pid in group]
    nodes = system.addresses
    where = Spread(nodes, [*nodes[1:], nodes[0]])
    count = load.subscribers if isinstance(load, Saturating) else load.pairs
    gc.collect()
    try:
        system.expect_running()
        running: Generator | BurstLoad
        if isinstance(load, Saturating):
            running = Generator(load, where, pids)
        else:
            running = BurstLoad(load, where, pids)
        try:
            return running.run(seconds, WARM_UP_SECONDS)
        finally:
            running.close()
            forget(where, count)
            time.sleep(_FORGET_SECONDS)
    except (OSError, PeerError, wire.WireError) as error:
        return Measurement(0.0, None, None, None, None, [str(error)])


def forget(where: Spread, subscribers: int) -> None:
    """End the sessions of a run, so that the next one owes nothing to them."""
    for index in range(subscribers):
        open_link(where.subscriber(index), f"bench-sub-{index}", wire.V3_1_1).close()
