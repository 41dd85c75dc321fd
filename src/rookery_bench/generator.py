"""The closed loop that saturates a broker, and the check that nothing was lost on the way.

The loop goes in turns: read all sockets that have something, fill all windows up, sleep until the
next turn. Sleeping lets bytes come together, so one turn moves hundreds of packets with a few
system calls and a few numpy operations; the broker never waits, because a window lasts longer than
a turn.
"""

import select
import time
from typing import Final

from rookery_bench import wire
from rookery_bench.accounting import Pids, Usage, each_cpu_ns
from rookery_bench.blocks import PublishBlock
from rookery_bench.latency import LatencySamples
from rookery_bench.links import Publisher, Subscriber, Where, open_link, subscribe
from rookery_bench.measurement import Measurement, per_unit, with_acks
from rookery_bench.scenarios import Saturating
from rookery_bench.sequence import Sequence

LATENCY_STEP: Final = 8
_TURN_NS_MIN: Final = 100_000
_TURN_NS_MAX: Final = 20_000_000
_PACE_INTERVAL_NS: Final = 100_000_000
_STALL_SECONDS: Final = 5.0
"""Without any progress for so long, what is under way counts as lost."""


class Generator:
    """Publishers and subscribers of one saturating case, connected to one broker or to nodes of one cluster."""

    def __init__(self, load: Saturating, where: Where, pids: Pids) -> None:
        self._load = load
        self.turn_ns = _TURN_NS_MIN
        self._pids = pids
        self._pace_again_ns = 0
        self._paced_received = 0
        self._paced_broker_ns = sum(each_cpu_ns(pids).values())
        self._latency = LatencySamples(LATENCY_STEP)
        self.publishers: list[Publisher] = []
        self.subscribers: list[Subscriber] = []
        try:
            self._connect(where)
        except BaseException:
            self.close()
            raise
        self._links: dict[int, Publisher | Subscriber] = {
            link.socket.fileno(): link for link in self._all_links
        }
        self._epoll = select.epoll()
        for descriptor in self._links:
            self._epoll.register(descriptor, select.EPOLLIN)

    def _connect(self, where: Where) -> None:
        load = self._load
        pairs = load.publishers == load.subscribers
        topics = [f"bench/load/{number:04d}" for number in range(load.publishers)]
        layout = wire.publish_layout(topics[0], load.qos, load.version)
        for index in range(load.subscribers):
            sources = [index] if pairs else range(load.publishers)
            link = open_link(
                where.subscriber(index),
                f"bench-sub-{index}",
                load.version,
                persistent=load.persistent,
            )
            sequences = {source: Sequence() for source in sources}
            self.subscribers.append(Subscriber(link, layout, load.qos, sequences, self._latency))
            topic_filter = topics[sources[0]] if len(sources) == 1 else "bench/load/+"
            link.setblocking(True)
            subscribe(link, topic_filter, load.qos, load.version)
            link.setblocking(False)
        for index, topic in enumerate(topics):
            link = open_link(where.publisher(index), f"bench-pub-{index}", load.version)
            block = PublishBlock(topic, load.qos, load.version, index)
            reached = [s.sequences[index] for s in self.subscribers if index in s.sequences]
            self.publishers.append(Publisher(link, block, load.qos, load.window, reached))

    def run(self, seconds: float, warm_up_seconds: float) -> Measurement:
        """Load the broker, measure after the warm-up, and let everything arrive."""
        usage = Usage(self._pids)
        try:
            self._turns_until(time.monotonic_ns() + int(warm_up_seconds * 1e9))
            usage.restart()
            self._latency.restart()
            received, acked = self._received, self._acked
            self._turns_until(time.monotonic_ns() + int(seconds * 1e9))
            units = self._received - received
            measured = per_unit(usage, units, self._latency.percentiles(), [])
            if self._load.qos:
                measured = with_acks(measured, self._acked - acked, units)
            self._drain()
        except (OSError, wire.WireError) as error:
            return Measurement(0.0, None, None, None, None, [str(error)])
        measured.faults.extend(self.faults())
        return measured

    @property
    def _all_links(self) -> list[Publisher | Subscriber]:
        return [*self.publishers, *self.subscribers]

    @property
    def _received(self) -> int:
        return sum(subscriber.received for subscriber in self.subscribers)

    @property
    def _acked(self) -> int:
        return sum(publisher.acked for publisher in self.publishers)

    @property
    def _under_way(self) -> int:
        return sum(publisher.under_way for publisher in self.publishers)

    def _turns_until(self, end_ns: int) -> None:
        progress, progress_ns = -1, time.monotonic_ns()
        while (now_ns := time.monotonic_ns()) < end_ns:
            self._read()
            for publisher in self.publishers:
                publisher.publish(time.monotonic_ns())
            if self._received > progress:
                progress, progress_ns = self._received, now_ns
            elif now_ns - progress_ns > _STALL_SECONDS * 1e9:
                return
            if now_ns >= self._pace_again_ns:
                self._pace(now_ns)
            spare_ns = now_ns + self.turn_ns - time.monotonic_ns()
            if spare_ns > 0:
                time.sleep(spare_ns / 1e9)

    def _pace(self, now_ns: int) -> None:
        """Let a turn last as long as the broker works on its part of all windows.

        So every broker, fast or slow, meets blocks of about the same size. What counts is the CPU
        time, not the rate: the rate would follow the turns, and the turns the rate.
        """
        load, broker_ns = self._load, sum(each_cpu_ns(self._pids).values())
        deliveries = self._received - self._paced_received
        if deliveries:
            per_delivery_ns = (broker_ns - self._paced_broker_ns) / deliveries
            copies = 1 if load.publishers == load.subscribers else load.subscribers
            turn_ns = per_delivery_ns * load.window * load.publishers * copies / load.turns
            self.turn_ns = int(min(max(turn_ns, _TURN_NS_MIN), _TURN_NS_MAX))
        self._paced_received, self._paced_broker_ns = self._received, broker_ns
        self._pace_again_ns = now_ns + _PACE_INTERVAL_NS

    def _read(self) -> None:
        for descriptor, _ in self._epoll.poll(0.001):
            self._links[descriptor].read(time.monotonic_ns())

    def _drain(self) -> None:
        under_way, deadline = self._under_way, time.monotonic_ns() + _STALL_SECONDS * 1e9
        while under_way and time.monotonic_ns() < deadline:
            self._read()
            for link in self._links.values():
                if link.unsent:
                    link.flush()
            if self._under_way < under_way:
                under_way, deadline = self._under_way, time.monotonic_ns() + _STALL_SECONDS * 1e9

    def faults(self) -> list[str]:
        """What was lost, doubled, out of order or never acknowledged."""
        found = [fault for publisher in self.publishers for fault in publisher.faults[:1]]
        for subscriber in self.subscribers:
            for source, sequence in subscriber.sequences.items():
                if fault := sequence.faults(self.publishers[source].sent):
                    found.append(f"publisher {source}: {fault}")
        if self._load.qos:
            unacked = sum(publisher.sent - publisher.acked for publisher in self.publishers)
            if unacked:
                found.append(f"{unacked} never acknowledged")
        return found

    def close(self) -> None:
        """Disconnect all clients."""
        for link in self._all_links:
            link.close()
        if hasattr(self, "_epoll"):
            self._epoll.close()
