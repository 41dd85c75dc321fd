"""One message after the other: the way of each, without any other beside it.

The next message leaves when the last one is acknowledged to the publisher and delivered to the
subscriber. So nothing shares a commit with anything else, and the times are those of the broker's
shortest way to the disk and back.
"""

import select
import time
from dataclasses import replace
from typing import Final

from rookery_bench import wire
from rookery_bench.accounting import Usage
from rookery_bench.latency import percentiles
from rookery_bench.links import Address
from rookery_bench.measurement import Measurement, per_unit, with_acks
from rookery_bench.paced import Pair
from rookery_bench.scenarios import Single

_ANSWER_SECONDS: Final = 5.0


class SingleLoad:
    """One pair with one message between them."""

    def __init__(self, load: Single, address: Address, broker_pid: int) -> None:
        self._broker_pid = broker_pid
        self._delivery_ns: list[int] = []
        self._ack_ns: list[int] = []
        self.pair = Pair(0, address, load.version, persistent=True)
        self._epoll = select.epoll()
        for link in (self.pair.publisher, self.pair.subscriber):
            self._epoll.register(link, select.EPOLLIN)

    def run(self, seconds: float, warm_up_seconds: float) -> Measurement:
        """Send one by one, measure after the warm-up."""
        usage = Usage(self._broker_pid)
        try:
            self._exchange_until(time.monotonic_ns() + int(warm_up_seconds * 1e9))
            usage.restart()
            self._delivery_ns.clear()
            self._ack_ns.clear()
            self._exchange_until(time.monotonic_ns() + int(seconds * 1e9))
        except (OSError, wire.WireError) as error:
            return Measurement(0.0, None, None, None, None, [str(error)])
        units = len(self._delivery_ns)
        measured = per_unit(usage, units, percentiles(self._delivery_ns), self.pair.faults[:1])
        measured = with_acks(measured, len(self._ack_ns), units)
        return replace(measured, ack_latency=percentiles(self._ack_ns))

    def _exchange_until(self, end_ns: int) -> None:
        while time.monotonic_ns() < end_ns:
            self._exchange()

    def _exchange(self) -> None:
        pair, sent_ns = self.pair, time.monotonic_ns()
        pair.publish(sent_ns)
        while pair.under_way:
            events = self._epoll.poll(_ANSWER_SECONDS)
            if not events:
                raise wire.WireError(f"message {pair.sent - 1} stays without ack or delivery")
            for descriptor, _ in events:
                self._read(descriptor, sent_ns)

    def _read(self, descriptor: int, sent_ns: int) -> None:
        pair = self.pair
        if descriptor == pair.subscriber.fileno():
            if pair.read_message() is not None:
                self._delivery_ns.append(time.monotonic_ns() - sent_ns)
            return
        pair.read_ack()
        if pair.acked == pair.sent:
            self._ack_ns.append(time.monotonic_ns() - sent_ns)

    def close(self) -> None:
        """Disconnect both clients."""
        self.pair.close()
        self._epoll.close()
