"""The phases: sessions subscribe and leave, messages come, the broker ends, all sessions return."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rookery_bench.accounting import peak_resident_bytes, settled_resident_bytes
from rookery_bench.latency import percentiles
from rookery_bench.links import Address
from rookery_bench.offline.feed import Feed
from rookery_bench.offline.figures import Figures
from rookery_bench.offline.plan import Plan
from rookery_bench.offline.visits import Return, Subscribing, pay
from rookery_bench.peers import Broker, Peer, Setting, free_port, on_core
from rookery_bench.run import cores

ENDS: Final = ("kill", "term", "none")
"""How the broker ends while all messages wait: SIGKILL, SIGTERM, or not at all."""
_SECOND_RETURNS: Final = 500


class Proof:
    """One plan against one broker in one folder."""

    def __init__(self, plan: Plan, peer: Peer, folder: Path, end: str, under_way: int) -> None:
        self.figures: Final = Figures(plan)
        self._plan = plan
        self._peer = peer
        self._setting = Setting(folder, free_port(), durable=True)
        self._end = end
        self._under_way = under_way
        self._tell: Callable[[str], None]

    def run(self, tell: Callable[[str], None]) -> Figures:
        """Go through all phases, telling each.

        Raises:
            PeerError: the broker does not start, or not again.
            OSError: a connection is refused or broken.
            wire.WireError: the broker refuses, or says nothing any more.
        """
        self._tell = tell
        with self._broker() as broker:
            self._fill(broker)
            if self._end == "none":
                self._give_back(broker)
                return self.figures
            if self._end == "kill":
                os.kill(broker.pid, signal.SIGKILL)
        with self._broker() as broker:
            self.figures.start_seconds = broker.start_seconds
            self.figures.restarted_bytes = settled_resident_bytes(broker.pid)
            self._give_back(broker)
        return self.figures

    @contextmanager
    def _broker(self) -> Iterator[Broker]:
        broker_core, own_core = cores()
        self._tell("start the broker")
        with self._peer.started(self._setting, broker_core) as broker, on_core(own_core):
            yield broker

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._tell(name)
        started_ns = time.monotonic_ns()
        yield
        self.figures.seconds[name] = (time.monotonic_ns() - started_ns) / 1e9

    def _fill(self, broker: Broker) -> None:
        figures, plan, address = self.figures, self._plan, broker.address
        figures.idle_bytes = settled_resident_bytes(broker.pid)
        with self._phase("subscribe and leave"):
            visits = (Subscribing(address, session, plan) for session in range(plan.sessions))
            figures.faults += pay(visits, self._under_way)
        figures.subscribed_bytes = settled_resident_bytes(broker.pid)
        with self._phase("publish"):
            feed = Feed(plan, address)
            try:
                figures.faults += feed.run()
            finally:
                feed.close()
        figures.published_bytes = settled_resident_bytes(broker.pid)
        figures.peak_bytes = peak_resident_bytes(broker.pid)
        figures.disk_published_bytes = disk_bytes(self._setting.folder)

    def _give_back(self, broker: Broker) -> None:
        figures, plan = self.figures, self._plan
        visits: list[Return] = []
        with self._phase("return"):
            owed = ((session, plan.owed(session)) for session in range(plan.sessions))
            coming = self._returns(broker.address, owed, visits)
            figures.faults += pay(coming, self._under_way)
        self._sum_up(visits)
        figures.returned_bytes = settled_resident_bytes(broker.pid)
        figures.peak_bytes = max(figures.peak_bytes, peak_resident_bytes(broker.pid))
        figures.disk_returned_bytes = disk_bytes(self._setting.folder)
        again: list[Return] = []
        with self._phase("return again"):
            step = -(-plan.sessions // _SECOND_RETURNS)
            nothing = ((session, 0) for session in range(0, plan.sessions, step))
            figures.faults += pay(self._returns(broker.address, nothing, again), self._under_way)
        figures.left_over = sum(visit.received for visit in again)

    def _returns(
        self, address: Address, owed: Iterator[tuple[int, int]], visits: list[Return]
    ) -> Iterator[Return]:
        """Begin the visits one by one, and keep them for the sum."""
        for session, count in owed:
            visits.append(Return(address, session, self._plan, count))
            yield visits[-1]

    def _sum_up(self, visits: list[Return]) -> None:
        figures = self.figures
        connack_ns, first_ns, connect_to_first_ns = [], [], []
        for visit in visits:
            sequence = visit.sequence
            figures.received += visit.received
            figures.lost += sequence.lost(visit.owed)
            figures.foreign += visit.foreign + max(0, sequence.expected - visit.owed)
            figures.reordered += sequence.reordered
            figures.duplicated += sequence.duplicated
            if visit.connack_ns is not None:
                connack_ns.append(visit.connack_ns - visit.connect_ns)
                if visit.first_ns is not None:
                    first_ns.append(visit.first_ns - visit.connack_ns)
                    connect_to_first_ns.append(visit.first_ns - visit.connect_ns)
        figures.connack = percentiles(connack_ns)
        figures.first_message = percentiles(first_ns)
        figures.connect_to_first = percentiles(connect_to_first_ns)


def disk_bytes(folder: Path) -> int:
    """Return what the files of a folder take on disk; files may come and go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # A journal that has just been removed takes nothing.
    return total
