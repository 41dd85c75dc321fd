"""One publisher that sends all messages, with a bounded number of them without their PUBACK."""

import select
import time
from typing import Final

from rookery_bench import wire
from rookery_bench.blocks import TopicsBlock
from rookery_bench.links import Address, Publisher, open_link
from rookery_bench.offline.plan import Plan
from rookery_bench.offline.visits import QOS, VERSION

WINDOW: Final = 4_000
_PORTIONS: Final = 8
_ANSWER_SECONDS: Final = 20.0


class Feed:
    """The publisher of a plan's messages."""

    def __init__(self, plan: Plan, address: Address) -> None:
        self._messages = plan.messages
        link = open_link(address, "offline-publisher", VERSION)
        block = TopicsBlock(plan.topics, QOS, VERSION)
        self.publisher: Final = Publisher(link, block, QOS, WINDOW, [])

    def run(self) -> list[str]:
        """Send everything and wait for the last ack; return what went wrong.

        Raises:
            wire.WireError: the broker says something else, or nothing any more.
            OSError: the connection is gone.
        """
        publisher = self.publisher
        while publisher.acked < self._messages:
            self._send()
            waits = [publisher.socket] if publisher.unsent else []
            readable, writable, _ = select.select([publisher.socket], waits, [], _ANSWER_SECONDS)
            if writable:
                publisher.flush()
            if readable:
                publisher.read(time.monotonic_ns())
            elif not writable:
                raise wire.WireError(f"no ack after {publisher.acked} of {self._messages} messages")
        return publisher.faults[:1]

    def _send(self) -> None:
        """Fill the window up, a portion at least: one by one would cost more than the broker."""
        publisher = self.publisher
        left = self._messages - publisher.sent
        room = min(WINDOW - publisher.under_way, left)
        if not publisher.unsent and room >= min(WINDOW // _PORTIONS, max(left, 1)):
            publisher.send_messages(room, time.monotonic_ns())

    def close(self) -> None:
        """Disconnect the publisher."""
        self.publisher.close()
