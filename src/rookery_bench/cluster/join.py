"""A node that joins nodes with very many routes: until it is ready, and what subscribers beside it notice.

The third node was there before, so that three servers keep the cluster's state; then it left and its disk was taken
away. So it comes as a new one would: it has to learn every route, and its NATS server all that is kept.
"""

import gc
import json
import socket
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rookery_bench import wire
from rookery_bench.blocks import PublishBlock
from rookery_bench.cluster.nodes import Command, Node, Nodes, seconds_since
from rookery_bench.cluster.results import Figures, Line, Result, at_most, figure
from rookery_bench.cluster.systems import wait_until
from rookery_bench.latency import percentiles
from rookery_bench.links import open_link, read_packet, subscribe
from rookery_bench.peers import PeerError

READY_SECONDS_MAX: Final = 10.0
VERSION: Final = wire.V3_1_1
_WAIT_SECONDS_MAX: Final = 60.0
_LOOK_SECONDS: Final = 0.01
_BESIDE_SECONDS: Final = 0.01
_SAMPLE_EVERY: Final = 20
_ARRIVE_SECONDS: Final = 5.0
LABEL: Final = "third node"


@dataclass(frozen=True)
class Routes:
    """So many sessions with so many topic filters each; every second one has a wildcard."""

    sessions: int
    filters: int

    @property
    def total(self) -> int:
        """How many routes they make."""
        return self.sessions * self.filters

    def filters_of(self, session: int) -> list[str]:
        """What a session subscribes to."""
        return [
            topic if number % 2 == 0 else topic.removesuffix("value") + "+"
            for number, topic in enumerate(self.topics_of(session))
        ]

    def topics_of(self, session: int) -> list[str]:
        """Topics that its filters match, one each."""
        return [f"bench/route/{session:05d}/{number:04d}/value" for number in range(self.filters)]


def joining(
    command: Command, routes: Routes, rounds: int, folder: Path, tell: Callable[[str], None]
) -> Result:
    """Let a node join, so many times, each time in a cluster of its own."""
    title = f"a node joins {routes.total:,} routes"
    found: list[Figures] = []
    faults: list[str] = []
    for number in range(rounds):
        tell(f"{title}: round {number + 1} of {rounds}")
        try:
            with Nodes(command, "join", 3, folder / f"join-{number}") as nodes:
                found.append(_Join(nodes, routes).run())
        except (OSError, PeerError, wire.WireError) as error:
            faults.append(str(error))
    line = Line(LABEL, medians(found), faults)
    result = Result("cluster_join", title, [line], [])
    seconds = figure(result, LABEL, "ready s")
    result.verdicts.append(at_most("ready after", seconds, READY_SECONDS_MAX, " s"))
    return result


def medians(found: list[Figures]) -> Figures:
    """Each figure's median, and of those called ``max`` the highest."""
    summed: Figures = {}
    for name in dict.fromkeys(name for figures in found for name in figures):
        values = [value for figures in found if (value := figures.get(name)) is not None]
        chosen = max if " max" in name else statistics.median
        summed[name] = float(chosen(values)) if values else None
    return summed


class _Join:
    """One node that joins."""

    def __init__(self, nodes: Nodes, routes: Routes) -> None:
        self._nodes = nodes
        self._routes = routes
        self._sessions: list[socket.socket] = []
        self._ready_seconds: float | None = None
        self._started_ns = 0

    def run(self) -> Figures:
        """Take the node away, make the routes, and let it join."""
        third = self._nodes.nodes[2]
        self._nodes.stop(third)
        third.wipe()
        for node in self._nodes.nodes[:2]:
            done = partial(is_settled, node, 2)
            wait_until(f"{node.name} knows of two nodes", done, _WAIT_SECONDS_MAX)
        try:
            return self._measure(third)
        finally:
            for link in self._sessions:
                link.close()

    def _measure(self, third: Node) -> Figures:
        begun_ns = time.monotonic_ns()
        self._subscribe_all()
        subscribing_seconds = seconds_since(begun_ns)
        beside = open_link(self._nodes.nodes[0].address, "bench-beside", VERSION)
        self._sessions.append(beside)
        gc.collect()
        self._started_ns = time.monotonic_ns()
        self._nodes.start(third)
        watch = threading.Thread(target=self._watch, args=(third,), daemon=True)
        watch.start()
        subacks_ns = self._subscribe_beside(beside, watch)
        if self._ready_seconds is None:
            third.process.expect_running()
            raise PeerError(f"{third.name} is not ready after {_WAIT_SECONDS_MAX:g} s")
        first_ns = time.monotonic_ns()
        self._check_routes(third)
        times = percentiles(subacks_ns)
        return {
            "ready s": self._ready_seconds,
            "subscribing before s": subscribing_seconds,
            "SUBACK beside p50 ms": None if times is None else times.p50_us / 1000,
            "SUBACK beside p99 ms": None if times is None else times.p99_us / 1000,
            "SUBACK beside max ms": max(subacks_ns) / 1e6,
            "routes checked s": seconds_since(first_ns),
        }

    def _subscribe_all(self) -> None:
        for session in range(self._routes.sessions):
            address = self._nodes.nodes[session % 2].address
            link = open_link(address, f"bench-route-{session}", VERSION)
            self._sessions.append(link)
            link.sendall(wire.subscribe_all(self._routes.filters_of(session), 0, VERSION))
            wire.expect_suback(*read_packet(link), 0)

    def _watch(self, third: Node) -> None:
        while seconds_since(self._started_ns) < _WAIT_SECONDS_MAX and third.process.running:
            if third.ready:
                self._ready_seconds = seconds_since(self._started_ns)
                return
            time.sleep(_LOOK_SECONDS)

    def _subscribe_beside(self, link: socket.socket, watch: threading.Thread) -> list[int]:
        """Subscribe again and again until the node is ready; how long each SUBACK took."""
        found: list[int] = []
        while watch.is_alive() or not found:
            begun_ns = time.monotonic_ns()
            subscribe(link, f"bench/beside/{len(found)}", 0, VERSION)
            found.append(time.monotonic_ns() - begun_ns)
            time.sleep(_BESIDE_SECONDS)
        return found

    def _check_routes(self, third: Node) -> None:
        """Publish at the new node to sessions of the others, and see that it arrives.

        Raises:
            PeerError: a route is missing.
        """
        publisher = open_link(third.address, "bench-route-publisher", VERSION)
        self._sessions.append(publisher)
        publisher.setblocking(True)
        missing = 0
        chosen = range(0, self._routes.sessions, _SAMPLE_EVERY)
        for session in chosen:
            topic = self._routes.topics_of(session)[session % self._routes.filters]
            publisher.sendall(PublishBlock(topic, 0, VERSION, 0).fill(session, 1, 0))
        for session in chosen:
            link = self._sessions[session]
            link.settimeout(_ARRIVE_SECONDS if not missing else 0.1)
            try:
                first_byte, _ = read_packet(link)
            except TimeoutError:
                missing += 1
            else:
                if first_byte != wire.PUBLISH:
                    raise wire.WireError(f"a packet {first_byte:#x} that nobody asked for")
        if missing:
            raise PeerError(f"ready without {missing} of {len(chosen)} routes that were tried")


def is_settled(node: Node, members: int) -> bool:
    """Whether a node is ready, and reaches each of so many members."""
    answer = node.ask("/cluster")
    if answer is None or answer[0] != 200 or not node.ready:
        return False
    return links_up(answer[1]) == [True] * members


def links_up(text: str) -> list[bool]:
    """Of each member that ``GET /cluster`` tells of, whether the node reaches it."""
    return [each["link"] == "up" for each in json.loads(text)["members"]]
