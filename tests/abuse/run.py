"""One attack after the other on one node, bystanders beside them all the time, and a table of what came of it."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.abuse.bystanders import PATIENCE_SECONDS, Bystanders, Window, percentile
from tests.abuse.node import BYSTANDER, Attackers, Node

P99_SECONDS_MAX: Final = 0.05
"""What the bystanders' latency may be, one in a hundred being worse."""
OWN_SECONDS_MAX: Final = 0.01
"""How late the bystanders' own ticks may be, one in a hundred being worse: else the machine was busy with
other things, and a latency says nothing of the node."""
MIB: Final = 2**20


@dataclass(frozen=True)
class Plan:
    """What is run."""

    attacks: tuple[str, ...]
    seconds: float = 8.0
    """How long each attack lasts."""
    clients: int = 100
    per_second: float = 1_000.0
    settle_seconds: float = 1.0
    """How long everybody rests before and after each."""
    counters: Mapping[str, str] = field(default_factory=dict)
    """By attack the counter that it must move: it lasts until then."""
    niceness: int = 19
    """Of the attackers: what they cost is not to be what the bystanders measure."""
    settings: tuple[str, ...] = ()
    """Further settings of the node, as ``--set`` takes them."""


@dataclass
class Outcome:
    """What came of one attack."""

    attack: str
    window: Window = field(default_factory=Window)
    lost: int = 0
    memory_mib: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Before, at most during, and after."""
    counted: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Whether the bystanders were served as they should: ``met``, ``missed`` or ``unclear``."""
        if self.lost or self.faults:
            return "missed"
        if self.window.at(0.99) <= P99_SECONDS_MAX:
            return "met"
        return "unclear" if percentile(self.window.lateness, 0.99) > OWN_SECONDS_MAX else "missed"


async def run(plan: Plan, tell: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
    """Run it all; ``tell`` is called after each attack."""
    outcomes = []
    gc.disable()  # Its pauses would be measured as the node's.
    with (
        TemporaryDirectory(prefix="rookery-abuse-") as directory,
        Node(Path(directory), list(plan.settings)) as node,
    ):
        for attack in ("nothing", *plan.attacks):
            outcomes.append(await one(plan, node, attack))
            tell(outcomes[-1])
            gc.collect()
    return outcomes


async def one(plan: Plan, node: Node, attack: str) -> Outcome:
    """One attack, from a node at rest to a node at rest."""
    outcome = Outcome(attack)
    before = node.memory_bytes()
    counted = node.counters()
    async with Bystanders(node.address, BYSTANDER, plan.clients) as bystanders:
        bystanders.begin(plan.per_second)
        await bystanders.window(plan.settle_seconds)
        if attack == "nothing":
            outcome.window, peak = await watched(bystanders, node, plan.seconds)
        else:
            # Off the loop: a bystander that waits for the attackers to start would blame the node.
            attackers = Attackers(attack, node.address, plan.niceness)
            await asyncio.to_thread(attackers.begin)
            with attackers:
                await bystanders.window(plan.settle_seconds)
                outcome.window, peak = await watched(bystanders, node, plan.seconds)
                await moved(node, plan.counters.get(attack, ""), counted)
                if not attackers.alive():
                    outcome.faults.append("the attack failed")
        outcome.lost = await bystanders.drained()
        outcome.faults += bystanders.faults()
        after = node.counters()
        outcome.counted = {
            name: value - counted.get(name, 0)
            for name, value in after.items()
            if value != counted.get(name, 0)
        }
    await asyncio.sleep(plan.settle_seconds)
    outcome.memory_mib = (before / MIB, peak / MIB, node.memory_bytes() / MIB)
    return outcome


async def moved(node: Node, counter: str, before: dict[str, float]) -> None:
    """Wait until a counter has risen, if one is named, within patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while counter and time.monotonic() < deadline:
        if node.counters().get(counter, 0) > before.get(counter, 0):
            return
        await asyncio.sleep(0.2)


async def watched(bystanders: Bystanders, node: Node, seconds: float) -> tuple[Window, int]:
    """What the bystanders see, and the most memory the node takes meanwhile."""
    watching = asyncio.ensure_future(bystanders.window(seconds))
    peak = node.memory_bytes()
    while not watching.done():
        await asyncio.wait([watching], timeout=0.1)
        peak = max(peak, node.memory_bytes())
    return await watching, peak


HEAD: Final = (
    f"{'attack':24}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}{'own p99':>8}{'lost':>6}"
    f"{'MiB before':>12}{'during':>8}{'after':>8}  {'verdict':8}  what was counted"
)


def lines(outcome: Outcome) -> Iterator[str]:
    """One attack in the table."""
    window = outcome.window
    shares = [f"{window.at(share) * 1_000:8.1f}" for share in (0.5, 0.99, 1.0)]
    own = percentile(window.lateness, 0.99) * 1_000
    before, during, after = outcome.memory_mib
    counted = ", ".join(f"{name} {value:.0f}" for name, value in outcome.counted.items())
    yield (
        f"{outcome.attack:24}{''.join(shares)}{own:8.1f}{outcome.lost:6}"
        f"{before:12.0f}{during:8.0f}{after:8.0f}  {outcome.verdict:8}  {counted}"
    )
    yield from (f"    {fault}" for fault in outcome.faults)
