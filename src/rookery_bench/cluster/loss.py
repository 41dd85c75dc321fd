"""A node that is lost with its disk, and its sessions: until every one of them goes on at another node.

Each client comes back to one of the nodes that are left, and to the other when it is not let in. A session that is not known
there, or is not given what it is owed, is a fault.
"""

import gc
import heapq
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rookery_bench import wire
from rookery_bench.cluster.join import medians
from rookery_bench.cluster.nodes import Command, Node, Nodes
from rookery_bench.cluster.results import Figures, Line, Result, at_most, figure
from rookery_bench.latency import percentiles
from rookery_bench.links import Address
from rookery_bench.offline.feed import Feed
from rookery_bench.offline.plan import Plan
from rookery_bench.offline.visits import Forgotten, Return, Subscribing, pay
from rookery_bench.peers import PeerError

RESUMED_SECONDS_MAX: Final = 10.0
LABEL: Final = "sessions of the node that was lost"
_WAIT_SECONDS_MAX: Final = 60.0
_UNDER_WAY: Final = 512
_AGAIN_NS: Final = 100_000_000
"""A client that was not let in waits so long."""
_POLL_SECONDS: Final = 0.05
_FAULTS_MAX: Final = 5


def losing(
    command: Command, plan: Plan, rounds: int, folder: Path, tell: Callable[[str], None]
) -> Result:
    """Lose a node, so many times, each time in a cluster of its own."""
    title = (
        f"{plan.sessions:,} sessions, {plan.messages:,} messages owed, their node and its disk lost"
    )
    found: list[Figures] = []
    faults: list[str] = []
    for number in range(rounds):
        tell(f"{title}: round {number + 1} of {rounds}")
        try:
            with Nodes(command, "loss", 3, folder / f"loss-{number}") as nodes:
                figures, wrong = _lose(nodes, plan)
        except (OSError, PeerError, wire.WireError) as error:
            faults.append(str(error))
        else:
            found.append(figures)
            faults += wrong[:_FAULTS_MAX]
    result = Result("cluster_loss", title, [Line(LABEL, medians(found), faults)], [])
    seconds = figure(result, LABEL, "all resumed s")
    result.verdicts.append(at_most("all resumed after", seconds, RESUMED_SECONDS_MAX, " s"))
    return result


def _lose(nodes: Nodes, plan: Plan) -> tuple[Figures, list[str]]:
    *left, lost = nodes.nodes
    faults = pay((Subscribing(lost.address, session, plan) for session in range(plan.sessions)), 64)
    feed = Feed(plan, left[0].address)
    try:
        faults += feed.run()
    finally:
        feed.close()
    lag_before = _worst_lag(left)
    gc.collect()
    killed_ns = nodes.kill([lost])
    lost.wipe()
    coming = Homecoming(plan, [node.address for node in left], killed_ns)
    coming.run()
    resumed, first = percentiles(coming.resumed_ns), percentiles(coming.first_ns)
    lag_after = _worst_lag(left)
    figures: Figures = {
        "all resumed s": max(coming.resumed_ns, default=0) / 1e9 if coming.whole else None,
        "first resumed s": min(coming.resumed_ns) / 1e9 if coming.resumed_ns else None,
        "resumed p50 s": resumed.p50_us / 1e6 if resumed else None,
        "resumed p99 s": resumed.p99_us / 1e6 if resumed else None,
        "message p99 s": first.p99_us / 1e6 if first else None,
        "sent away": float(coming.sent_away),
        "loop lag before max ms": lag_before,
        "loop lag max ms": lag_after,
    }
    return figures, faults + coming.faults


def _worst_lag(nodes: Sequence[Node]) -> float | None:
    """What the nodes tell of their loops, in milliseconds: it covers one to two minutes."""
    lags = [lag for node in nodes if (lag := node.lag_seconds) is not None]
    return max(lags) * 1000 if lags else None


@dataclass
class Homecoming:
    """All clients of a lost node, on their way to the nodes that are left."""

    plan: Plan
    addresses: Sequence[Address]
    killed_ns: int
    resumed_ns: list[int] = field(default_factory=list)
    """Of each session that goes on, the time since the loss."""
    first_ns: list[int] = field(default_factory=list)
    """Of each that was owed something, the time until the first of it came."""
    faults: list[str] = field(default_factory=list)
    sent_away: int = 0
    """How often a client was not let in."""

    def __post_init__(self) -> None:
        # When to come, which session, how often it has come before.
        self._due: list[tuple[int, int, int]] = [
            (0, session, 0) for session in range(self.plan.sessions)
        ]
        self._under_way: dict[int, tuple[Return, int, int]] = {}

    @property
    def whole(self) -> bool:
        """Whether every session goes on."""
        return len(self.resumed_ns) == self.plan.sessions

    def run(self, seconds_max: float = _WAIT_SECONDS_MAX) -> None:
        """Come back until all are through, or the time is over."""
        deadline_ns = time.monotonic_ns() + int(seconds_max * 1e9)
        with select.epoll() as epoll:
            while self._due or self._under_way:
                if time.monotonic_ns() > deadline_ns:
                    self._give_up()
                    return
                self._begin(epoll)
                for descriptor, _ in epoll.poll(_POLL_SECONDS):
                    self._read(epoll, descriptor)

    def _begin(self, epoll: select.epoll) -> None:
        now_ns = time.monotonic_ns()
        while self._due and len(self._under_way) < _UNDER_WAY and self._due[0][0] <= now_ns:
            _, session, times = heapq.heappop(self._due)
            address = self.addresses[(session + times) % len(self.addresses)]
            try:
                visit = Return(address, session, self.plan, self.plan.owed(session))
            except OSError:
                self._again(session, times)
                continue
            self._under_way[visit.socket.fileno()] = visit, session, times
            epoll.register(visit.socket, select.EPOLLIN)

    def _read(self, epoll: select.epoll, descriptor: int) -> None:
        visit, session, times = self._under_way[descriptor]
        try:
            over = visit.read(time.monotonic_ns())
        except Forgotten as error:
            self.faults.append(f"{visit.client_id}: {error}")
            over = True
        except (OSError, wire.WireError):
            self._again(session, times)
            self._leave(epoll, descriptor)
            return
        if over:
            self._leave(epoll, descriptor)
            self._take(visit)

    def _take(self, visit: Return) -> None:
        if visit.connack_ns is None:
            return
        self.resumed_ns.append(visit.connack_ns - self.killed_ns)
        if visit.first_ns is not None:
            self.first_ns.append(visit.first_ns - self.killed_ns)
        if visit.foreign or (fault := visit.sequence.faults(visit.owed)):
            said = f"{visit.foreign} that are not its own" if visit.foreign else fault
            self.faults.append(f"{visit.client_id}: {said}")

    def _again(self, session: int, times: int) -> None:
        self.sent_away += 1
        heapq.heappush(self._due, (time.monotonic_ns() + _AGAIN_NS, session, times + 1))

    def _leave(self, epoll: select.epoll, descriptor: int) -> None:
        epoll.unregister(descriptor)
        self._under_way.pop(descriptor)[0].close()

    def _give_up(self) -> None:
        waiting = len(self._due) + len(self._under_way)
        self.faults.append(f"{waiting} sessions were not let in")
        for visit, _, _ in self._under_way.values():
            visit.close()
        self._under_way.clear()
