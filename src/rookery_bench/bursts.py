"""An open loop at a high rate: what a message waits while a broker has much, but not all, to do.

Every beat the next pair sends a few messages, whether or not earlier ones have arrived. So the
times are not those of a queue that the load itself keeps full, and a broker that commits to disk
shows by how much that delays a message.
"""

import select
import time
from collections import deque
from dataclasses import replace
from typing import Final

from rookery_bench import wire
from rookery_bench.accounting import Pids, Usage
from rookery_bench.blocks import PublishBlock
from rookery_bench.latency import LatencySamples, percentiles
from rookery_bench.links import Publisher, Subscriber, Where, open_link, subscribe
from rookery_bench.measurement import Measurement, per_unit, with_acks
from rookery_bench.scenarios import Bursts
from rookery_bench.sequence import Sequence

_QOS: Final = 1
_ARRIVE_SECONDS: Final = 5.0


class BurstPair:
    """A publisher and its subscriber, with the times at which bursts left."""

    def __init__(self, index: int, load: Bursts, where: Where, latency: LatencySamples) -> None:
        topic, version = f"bench/burst/{index:04d}", load.version
        self.sequence: Final = Sequence()
        self.ack_ns: list[int] = []
        self._load = load
        self._sent: deque[tuple[int, int]] = deque()
        """Of each burst the number after its last message, and the time of sending."""
        link = open_link(where.subscriber(index), f"bench-sub-{index}", version, persistent=True)
        layout = wire.publish_layout(topic, _QOS, version)
        subscribe(link, topic, _QOS, version)
        self.subscriber = Subscriber(link, layout, _QOS, {index: self.sequence}, latency)
        link = open_link(where.publisher(index), f"bench-pub-{index}", version)
        block = PublishBlock(topic, _QOS, version, index)
        self.publisher = Publisher(link, block, _QOS, load.window, [self.sequence])

    def publish(self, now_ns: int) -> None:
        """Send a burst, unless too much is under way."""
        if self.publisher.unsent:
            self.publisher.flush()
        elif self.publisher.under_way + self._load.burst <= self._load.window:
            self.publisher.send_messages(self._load.burst, now_ns)
            self._sent.append((self.publisher.sent, now_ns))

    def read_acks(self, now_ns: int) -> None:
        """Take the acks, and the time of each burst that is acknowledged as a whole."""
        self.publisher.read(now_ns)
        while self._sent and self._sent[0][0] <= self.publisher.acked:
            self.ack_ns.append(now_ns - self._sent.popleft()[1])

    def faults(self) -> list[str]:
        """What was lost, doubled, out of order or never acknowledged."""
        found = self.publisher.faults[:1]
        if fault := self.sequence.faults(self.publisher.sent):
            found.append(fault)
        if unacked := self.publisher.sent - self.publisher.acked:
            found.append(f"{unacked} never acknowledged")
        return found

    def close(self) -> None:
        """Disconnect both clients."""
        self.publisher.close()
        self.subscriber.close()


class BurstLoad:
    """All pairs and the beat at which their bursts leave."""

    def __init__(self, load: Bursts, where: Where, pids: Pids) -> None:
        self._interval_ns = load.burst * 1_000_000_000 // load.messages_per_second
        self._pids = pids
        self._latency = LatencySamples(1)
        self._next_pair = 0
        self._epoll = select.epoll()
        self._publishers: dict[int, BurstPair] = {}
        self._subscribers: dict[int, Subscriber] = {}
        self.pairs: list[BurstPair] = []
        try:
            for index in range(load.pairs):
                self._add(BurstPair(index, load, where, self._latency))
        except BaseException:
            self.close()
            raise

    def _add(self, pair: BurstPair) -> None:
        self.pairs.append(pair)
        self._publishers[pair.publisher.socket.fileno()] = pair
        self._subscribers[pair.subscriber.socket.fileno()] = pair.subscriber
        for link in (pair.publisher, pair.subscriber):
            self._epoll.register(link.socket, select.EPOLLIN)

    def run(self, seconds: float, warm_up_seconds: float) -> Measurement:
        """Keep the beat, measure after the warm-up, and let everything arrive."""
        usage = Usage(self._pids)
        try:
            self._beat_until(time.monotonic_ns() + int(warm_up_seconds * 1e9))
            usage.restart()
            self._latency.restart()
            for pair in self.pairs:
                pair.ack_ns.clear()
            received, acked = self._received, self._acked
            self._beat_until(time.monotonic_ns() + int(seconds * 1e9))
            units = self._received - received
            measured = per_unit(usage, units, self._latency.percentiles(), [])
            measured = with_acks(measured, self._acked - acked, units)
            ack_ns = [time_ns for pair in self.pairs for time_ns in pair.ack_ns]
            self._drain()
        except (OSError, wire.WireError) as error:
            return Measurement(0.0, None, None, None, None, [str(error)])
        measured.faults.extend(self.faults())
        return replace(measured, ack_latency=percentiles(ack_ns))

    @property
    def _received(self) -> int:
        return sum(pair.subscriber.received for pair in self.pairs)

    @property
    def _acked(self) -> int:
        return sum(pair.publisher.acked for pair in self.pairs)

    def _beat_until(self, end_ns: int) -> None:
        due_ns = time.monotonic_ns()
        while (now_ns := time.monotonic_ns()) < end_ns:
            while now_ns >= due_ns:
                self.pairs[self._next_pair].publish(now_ns)
                self._next_pair = (self._next_pair + 1) % len(self.pairs)
                due_ns += self._interval_ns
            spare_ns = due_ns - time.monotonic_ns()
            if spare_ns > 0:
                time.sleep(spare_ns / 1e9)
            self._read(0)

    def _read(self, timeout_seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(timeout_seconds):
            now_ns = time.monotonic_ns()
            if descriptor in self._publishers:
                self._publishers[descriptor].read_acks(now_ns)
            else:
                self._subscribers[descriptor].read(now_ns)

    def _drain(self) -> None:
        deadline_ns = time.monotonic_ns() + int(_ARRIVE_SECONDS * 1e9)
        while time.monotonic_ns() < deadline_ns:
            if not any(pair.publisher.under_way for pair in self.pairs):
                return
            self._read(0.01)
            for pair in self.pairs:
                for link in (pair.publisher, pair.subscriber):
                    if link.unsent:
                        link.flush()

    def faults(self) -> list[str]:
        """What went wrong, of each pair the first thing."""
        return [fault for pair in self.pairs for fault in pair.faults()[:1]]

    def close(self) -> None:
        """Disconnect all clients."""
        for pair in self.pairs:
            pair.close()
        self._epoll.close()
