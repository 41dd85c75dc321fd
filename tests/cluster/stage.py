"""One scenario from beginning to end: a fresh cluster, its load, the faults, and the verdict.

A scenario is a coroutine that is handed its ``Stage``; what it measures it compares with a limit at once, and what
must hold of every run is checked at the end of each.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.cluster import checks, measures
from tests.cluster.history import Fault, History
from tests.cluster.load import Load, Plan, world_of
from tests.cluster.network import Namespaces, Place
from tests.cluster.nodes import ClusterFault, ClusterUnderTest, Node
from tests.support.ledger import Violation

OBSERVE_SECONDS: Final = 3.0
AFTERMATH_SECONDS: Final = 12.0
"""How long after a fault began its effects on others are looked for."""
OWED_AGE_SECONDS: Final = 1.0
"""A cluster that works has delivered what was acknowledged so long ago."""


@dataclass(frozen=True)
class Measure:
    """One figure of a run."""

    name: str
    value: float | str
    unit: str = ""
    limit: float | None = None
    """What it must not exceed."""

    @property
    def kept(self) -> bool:
        return self.limit is None or (
            isinstance(self.value, float | int) and self.value <= self.limit
        )


@dataclass
class Outcome:
    """What became of a scenario."""

    scenario: str
    seed: int
    seconds: float = 0.0
    skipped: str = ""
    fault: str = ""
    """What kept it from being run to its end."""
    measures: list[Measure] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    directory: str = ""

    @property
    def passed(self) -> bool:
        return not self.fault and not self.violations and all(each.kept for each in self.measures)


@dataclass(frozen=True)
class Scenario:
    """A fault and what it may cost."""

    name: str
    text: str
    play: "Callable[[Stage], Awaitable[None]]"
    fault_seconds: float = 0.0
    """How long the fault lasts, where that is not in its nature."""
    plan: Plan = field(default_factory=Plan)
    isolated: bool = False
    """Whether nodes must be cut off from each other."""
    shim: bool = False
    """Whether clocks or disks are tampered with."""
    at_victim: bool = False
    """Whether all idle sessions begin at the victim."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    nodes: int = 3


class Stage:
    """What a scenario has to work with."""

    def __init__(
        self,
        scenario: Scenario,
        outcome: Outcome,
        cluster: ClusterUnderTest,
        plan: Plan,
        fault_seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self.scenario = scenario
        self.outcome = outcome
        self.cluster = cluster
        self.chance = random.Random(f"{outcome.seed}/{scenario.name}")
        names = list(cluster.nodes)
        self.victim = self.chance.choice(names)
        self.others = [name for name in names if name != self.victim]
        self.fault_seconds = fault_seconds
        self.history = History()
        self._failed: list[str] = []
        self._say = say
        self._began = time.monotonic()
        addresses = {name: node.address for name, node in cluster.nodes.items()}
        self.world = world_of(self.history, addresses, self._failed, self._began)
        if scenario.at_victim:
            plan = Plan(**{**plan.__dict__, "sessions_at": (self.victim,)})
        self.load = Load(self.world, plan, outcome.seed, names)

    @property
    def place(self) -> Namespaces:
        """The network, where nodes can be cut off."""
        assert isinstance(self.cluster.place, Namespaces)
        return self.cluster.place

    @property
    def victim_node(self) -> Node:
        return self.cluster.nodes[self.victim]

    def now(self) -> float:
        """Seconds since the run began."""
        return self.world.now()

    def say(self, text: str) -> None:
        """A line of progress."""
        self._say(f"  {self.now():7.2f} s  {text}")

    def measure(
        self, name: str, value: float | str, unit: str = "", limit: float | None = None
    ) -> None:
        """Note a figure, and what it may be at most."""
        if isinstance(value, float):
            value = round(value, 3)
        self.outcome.measures.append(Measure(name, value, unit, limit))

    def measure_shares(self, name: str, shares: measures.Shares, p99_limit: float | None) -> None:
        """Note how some durations are spread."""
        self.measure(f"{name}: number", shares.count)
        self.measure(f"{name}: p50", shares.p50, "s")
        self.measure(f"{name}: p99", shares.p99, "s", p99_limit)
        self.measure(f"{name}: max", shares.max, "s")

    # The run

    async def run(self) -> None:
        """Start everything, play the scenario, reckon."""
        asyncio.get_running_loop().set_exception_handler(self._complain)
        try:
            self.say(f"starting {len(self.cluster.nodes)} nodes, victim is {self.victim}")
            await self.cluster.begin()
            self.measure("start until all are ready", self.now(), "s")
            self.say("all are ready; the clients come")
            self.world.tasks.start("observe", self._observe())
            await self.load.begin()
            self.say(
                f"{len(self.load.idle)} idle sessions and {len(self.load.senders)} publishers are there"
            )
            await self.scenario.play(self)
            await self._reckon()
        except ClusterFault as error:
            self.outcome.fault = str(error)
        except TimeoutError:
            self.outcome.fault = f"the clients were not all served in time: {self._who_waits()}"
        finally:
            await self.load.end()
            self.outcome.seconds = self.now()

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._failed.append(f"{context.get('message')}: {context.get('exception')!r}")

    async def wait(self, seconds: float) -> None:
        """Let the load run for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 1.0))
            if self._failed:
                raise ClusterFault(f"the load itself failed: {self._failed[0]}")

    def begin_fault(self, kind: str, *nodes: str) -> Fault:
        """Note that a fault begins now."""
        fault = Fault(kind, nodes, self.now())
        self.history.faults.append(fault)
        self.say(f"{kind}: {', '.join(nodes)}")
        return fault

    def end_fault(self, fault: Fault) -> None:
        """Note that the cause of a fault is gone."""
        fault.ended_at = self.now()
        self.say(f"{fault.kind} is over")

    def victims_died(self, nodes: Iterable[str], at: float, *, surely: bool = True) -> None:
        """Clients with a will on these nodes are dead to the cluster from now on, or perhaps."""
        chosen = set(nodes)
        for each in self.history.last_wills.values():
            if each.node in chosen and each.died_at is None:
                if surely:
                    each.died_at = at
                else:
                    each.harmless = True

    async def converge(self, fault: Fault, limit: float, seconds_max: float = 60.0) -> None:
        """Wait until everything works again after the cause of a fault is gone, and measure how long that took."""
        assert fault.ended_at is not None
        steps: dict[str, float] = {}
        deadline = fault.ended_at + seconds_max
        while self.now() < deadline:
            await self._look_for_recovery(fault.ended_at, steps)
            if len(steps) == len(RECOVERY):
                break
            await asyncio.sleep(0.1)
        fault.settled_at = self.now()
        for step in RECOVERY:
            self.measure(f"{step} after {fault.kind}", steps.get(step, math.inf), "s", limit)
        missing = [step for step in RECOVERY if step not in steps]
        if missing:
            self.outcome.notes.append(
                f"after {fault.kind}: {self._what_is_missing(fault.ended_at, missing)}"
            )
        self.say(
            f"recovered: {', '.join(f'{step} {at:.1f} s' for step, at in steps.items()) or 'not at all'}"
        )

    async def _look_for_recovery(self, since: float, steps: dict[str, float]) -> None:
        passed = self.now() - since
        if "all ready" not in steps:
            ready = [await self.cluster.is_ready(name) for name in self.load.probers]
            if all(ready):
                steps["all ready"] = passed
        if "all hear all" not in steps and self.load.hear_each_other(since):
            steps["all hear all"] = passed
        if "all clients back" not in steps and not self.load.unattached():
            steps["all clients back"] = passed
        if "nothing overdue" not in steps:
            before = self.now() - OWED_AGE_SECONDS
            overdue = any(
                (each.acknowledged_at or before) < before for _, each in self.history.owed()
            )
            if not overdue and "all clients back" in steps:
                steps["nothing overdue"] = passed

    def _what_is_missing(self, since: float, steps: list[str]) -> str:
        said = {
            "all hear all": f"deaf: {', '.join(self.load.deaf(since))}",
            "all clients back": f"without a link: {', '.join(self.load.unattached()[:10])}",
            "nothing overdue": f"{len(self.history.owed())} arrivals are overdue",
        }
        return "; ".join(f"no '{step}' ({said.get(step, '')})" for step in steps)

    # What the scenarios measure

    def silence_of_survivors(self, fault: Fault, nodes: Iterable[str], limit: float | None) -> None:
        """The longest time without an acknowledgement at publishers that were at living nodes all the time."""
        living = set(nodes)
        begin = fault.began_at - 1.0
        end = min(self.now(), begin + 1.0 + AFTERMATH_SECONDS)
        settled = []
        for sender in self.load.senders:
            lives = [
                life
                for life in self.history.lives_of(sender.name)
                if life.opened_at <= end and (life.ended_at is None or life.ended_at >= begin)
            ]
            if len(lives) == 1 and lives[0].node in living and lives[0].opened_at <= begin:
                settled.append(sender.name)
        longest, who = measures.longest_silence(self.history, settled, begin, end)
        before, _ = measures.longest_silence(self.history, settled, max(0.0, begin - 5), begin)
        self.measure("publishers at survivors", len(settled))
        self.measure("their longest wait for an ack", longest, f"s ({who})", limit)
        self.measure("the same before the fault", before, "s")

    def silence_after(self, fault: Fault) -> None:
        """The longest time without an acknowledgement at any publisher once the cause of a fault was gone."""
        assert fault.ended_at is not None
        names = [sender.name for sender in self.load.senders]
        longest, who = measures.longest_silence(self.history, names, fault.ended_at, self.now())
        self.measure(f"longest wait for an ack after {fault.kind}", longest, f"s ({who})")

    def resumed(
        self, clients: Iterable[str], fault: Fault, p99_limit: float | None, what: str = "resume"
    ) -> None:
        """How long the clients of a dead node took to be served again."""
        found = measures.resumptions(self.history, clients, fault.began_at)
        if found:
            self.measure_shares(what, measures.shares(found.values()), p99_limit)

    def clients_at(self, node: str) -> list[str]:
        """The lasting clients that have a link to a node now."""
        lasting = {client.name for client in self.load.lasting}
        return [
            name for name in measures.at_node(self.history, node, self.now()) if name in lasting
        ]

    # The end

    async def _reckon(self) -> None:
        self.say("no more messages; waiting for what is owed")
        if not await self.load.drain():
            self.outcome.notes.append(
                f"not drained: {len(self.history.owed())} arrivals owed, "
                f"{sum(len(each.inflight) for each in self.load.senders)} without an answer, "
                f"{len(self.load.unattached())} clients without a link"
            )
        retained = await self.load.retained(self.load.probers)
        for name in self.cluster.nodes:
            await self.cluster.observe(name)
        history, load = self.history, self.load
        faults = history.faults
        self.outcome.violations += [
            *checks.lost(history),
            *checks.unknown(history),
            *checks.twice(history),
            *checks.repeated(history),
            *checks.disorder(history),
            *checks.unanswered(history, [each.name for each in load.senders]),
            *checks.sessions_lost(history),
            *checks.two_owners(history, load.late_seconds_max),
            *checks.two_links(history, faults, load.late_seconds_max),
            *checks.wills(history, load.watchers, self.now()),
            *checks.retained(history, retained, load.shared_topics),
            *[
                Violation("misbehaviour", f"{at:.3f} s: {what}")
                for at, what in history.misbehaviour
            ],
            *[Violation("load", text) for text in self._failed],
        ]
        self._measure_all()

    def _measure_all(self) -> None:
        history = self.history
        messages = history.messages.values()
        self.measure("messages sent", len(messages))
        self.measure("acknowledged", sum(each.acknowledged_at is not None for each in messages))
        self.measure("sent again", sum(len(each.resent_at) for each in messages))
        self.measure("refused", sum(bool(each.refused) for each in messages))
        self.measure("arrivals", sum(map(len, history.arrivals.values())))
        again = checks.repetitions(history)
        self.measure("arrivals again at QoS 1", again[1])
        self.measure("arrivals again at QoS 2", again[2])
        self.measure_shares("ack", measures.answers(history, 0.0, self.now()), None)
        for watcher in self.load.watchers[:1]:
            delays = measures.will_delays(history, watcher)
            if delays.count:
                self.measure("wills of the dead that came", delays.count)
                self.measure("will: max delay", delays.max, "s", checks.WILL_SECONDS_MAX)
        for name, node in self.cluster.nodes.items():
            self.measure(f"loop lag of {name}: max", node.lag_seconds_max, "s")
            if node.dropped:
                self.measure(
                    f"dropped by {name}", str({k: v for k, v in node.dropped.items() if v})
                )
        self.measure("lateness of the load itself: max", self.load.late_seconds_max, "s")
        reasons: dict[str, int] = {}
        for refusal in history.refusals:
            reasons[refusal.why] = reasons.get(refusal.why, 0) + 1
        self.measure("CONNECTs without success", str(reasons) if reasons else "none")
        for name, lines in self.cluster.faults_logged().items():
            traced = any("Traceback" in line for line in lines)
            self.outcome.notes.append(
                f"{name} logged {'a traceback' if traced else 'errors'}: {lines[0][:400]}"
            )

    def _who_waits(self) -> str:
        waiting = [each.name for each in self.load.lasting if each.wire is None]
        unsubscribed = [
            each.name for each in self.load.readers + self.load.idle if not each.subscribed.is_set()
        ]
        last = [f"{each.client} at {each.node}: {each.why}" for each in self.history.refusals[-3:]]
        return (
            f"{len(waiting)} without a link, {len(unsubscribed)} without a subscription, deaf: "
            f"{', '.join(self.load.deaf(0.0)) or 'none'}; last refusals: {last or 'none'}"
        )

    async def _observe(self) -> None:
        while True:
            for name in list(self.cluster.nodes):
                if self.cluster.nodes[name].running and not self.cluster.nodes[name].stopped:
                    await self.cluster.observe(name)
            await asyncio.sleep(OBSERVE_SECONDS)


RECOVERY: Final = ("all ready", "all hear all", "all clients back", "nothing overdue")


async def play(
    scenario: Scenario,
    outcome: Outcome,
    directory: Path,
    place: Place,
    *,
    sessions: int | None = None,
    seconds: float | None = None,
    settings: Mapping[str, Any] | None = None,
    shim: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Stage:
    """Play one scenario on a cluster of its own."""
    merged = {**scenario.settings, **(settings or {})}
    cluster = ClusterUnderTest(directory, place, scenario.nodes, merged, shim)
    plan = scenario.plan
    if sessions is not None:
        plan = Plan(**{**plan.__dict__, "sessions": sessions})
    fault_seconds = scenario.fault_seconds if seconds is None else seconds
    stage = Stage(scenario, outcome, cluster, plan, fault_seconds, say)
    try:
        await stage.run()
    finally:
        cluster.close()
        (directory / "history.jsonl").write_text("\n".join(stage.history.lines()))
    return stage
