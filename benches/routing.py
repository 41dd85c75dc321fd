"""The router and the retained index at a million entries: speed, worst single call, memory.

    python benches/routing.py [SUBSCRIPTIONS]

Prints a table of CPU time, so that other programs on the machine do not show as stalls; what the
clock itself costs is taken off the means. Meaningful on the compiled package; the last line says
what was measured. Python's garbage collector is off during the run, as the server freezes what it
holds: a full collection of millions of objects would be what is measured otherwise.
"""

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

import rookery.routing.router
from rookery.message import Delivery, Message
from rookery.routing.retained import RetainedIndex
from rookery.routing.router import Router
from rookery.routing.subscriber import Subscriber, Subscription

STALL_SECONDS = 0.001
MATCHES = 10


class Client(Subscriber):
    """A session that is attached and takes nothing."""

    def __init__(self, client_id: str) -> None:
        super().__init__(client_id)
        self.attached = True

    def tell(self, delivery: Delivery) -> None:
        """Take nothing."""

    def inflight_count(self) -> int:
        """Nothing is unacknowledged."""
        return 0


def clock_seconds() -> float:
    """What reading the clock twice costs by itself."""
    readings = 100_000
    total = 0.0
    for _ in range(readings):
        begin = time.thread_time()
        total += time.thread_time() - begin
    return total / readings


class Timed:
    """Times many calls one by one."""

    clock_seconds = clock_seconds()

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.worst = 0.0
        self.stalls = 0

    def add(self, seconds: float) -> None:
        """Count one call."""
        self.count += 1
        self.total += seconds
        self.worst = max(self.worst, seconds)
        self.stalls += seconds > STALL_SECONDS

    def row(self, name: str) -> None:
        """Print the calls' figures."""
        mean = (self.total / self.count - self.clock_seconds) * 1e6
        print(f"| {name} | {self.count:,} | {mean:.2f} | {self.worst * 1e3:.2f} | {self.stalls} |")


def timed(name: str, calls: int, call: Callable[[int], object]) -> None:
    """Print a row for ``call(0)``, ``call(1)`` and so on."""
    figures = Timed()
    clock = time.thread_time
    for number in range(calls):
        begin = clock()
        call(number)
        figures.add(clock() - begin)
    figures.row(name)


def resident_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def filter_of(number: int) -> str:
    """Half exact, half with wildcards of four shapes, each of a client of its own."""
    shape = number % 8
    if shape < 4:
        return f"site/{number % 1000}/device/{number}/command"
    if shape == 4:
        return f"site/{number % 1000}/device/{number}/#"
    if shape == 5:
        return f"site/+/device/{number}/state"
    if shape == 6:
        return f"device/{number}/+/set"
    return f"user/{number}/#"


def overlapping() -> list[str]:
    """Ten filters which match ``site/7/device/8/command``."""
    return [
        "site/7/device/8/command",
        "site/7/device/8/+",
        "site/7/device/8/#",
        "site/7/device/+/command",
        "site/7/device/#",
        "site/7/+/8/command",
        "site/7/#",
        "site/+/device/8/command",
        "+/7/device/8/command",
        "#",
    ]


def subscriptions(count: int) -> None:
    """Measure a tree of many subscriptions, and its end."""
    router = Router()
    clients = [Client(f"client-{number}") for number in range(count)]
    granted = [Subscription(filter_of(number), 1) for number in range(count)]
    before = resident_bytes()
    timed("subscribe", count, lambda n: router.subscribe(clients[n], granted[n], None))
    held = resident_bytes() - before
    for number, topic_filter in enumerate(overlapping()):
        client = Client(f"overlapping-{number}")
        clients.append(client)
        router.subscribe(client, Subscription(topic_filter, 1), None)
    topic = "site/7/device/8/command"
    assert len(router.match(topic).recipients) == MATCHES
    waker, wake = Client("waker"), Subscription("wake/#", 0)

    # A wildcard's change forgets all that was found; it is not part of what is timed.
    misses = Timed()
    for _ in range(20_000):
        router.subscribe(waker, wake, None)
        begin = time.thread_time()
        router.match(topic)
        misses.add(time.thread_time() - begin)
        router.unsubscribe(waker, "wake/#", None)
    misses.row(f"match, {MATCHES} recipients, not cached")
    timed(f"match, {MATCHES} recipients, cached", 200_000, lambda _: router.match(topic))
    topics = [f"site/{number % 1000}/device/{number}/command" for number in range(300_000)]
    timed("match, ever new topic names", len(topics), lambda n: router.match(topics[n]))
    timed(
        "unsubscribe",
        count,
        lambda n: router.unsubscribe(clients[n], granted[n].topic_filter, None),
    )
    print(f"\n{held / count:.0f} bytes per subscription beyond the session's own objects\n")


def crowd(count: int) -> None:
    """Measure one filter and one share group that everybody subscribes to."""
    router = Router("round_robin")
    clients = [Client(f"client-{number}") for number in range(count)]
    everyone = Subscription("everyone", 1)
    timed(
        "subscribe, all to one filter",
        count,
        lambda n: router.subscribe(clients[n], everyone, None),
    )
    timed("match, all to one filter, not cached", 1, lambda _: router.match("everyone"))
    timed(
        "unsubscribe, all from one filter",
        count,
        lambda n: router.unsubscribe(clients[n], "everyone", None),
    )
    timed(
        "subscribe, all to one group", count, lambda n: router.subscribe(clients[n], everyone, "g")
    )
    group = router.match("everyone").shares[0]
    timed("pick from that group", 200_000, group.pick)
    timed(
        "unsubscribe, all from one group",
        count,
        lambda n: router.unsubscribe(clients[n], "everyone", "g"),
    )


def retained(count: int) -> None:
    """Measure a level with as many retained messages as there were subscriptions."""
    messages = []
    for number in range(count):
        topic = f"sensor/{number}"
        messages.append(Message(topic, topic.encode(), b"x", 0, True, None, "", 0.0))
    index = RetainedIndex()
    before = resident_bytes()
    timed("retained: put", count, lambda n: index.put(messages[n]))
    held = resident_bytes() - before
    for topic_filter in ("sensor/+", "#", "+/+/nothing"):
        cursor = index.cursor(topic_filter)
        turns = Timed()
        while not cursor.done:
            begin = time.thread_time()
            cursor.take(512, 0.0)
            turns.add(time.thread_time() - begin)
        turns.row(f"retained: take(512) of `{topic_filter}`")
    timed("retained: remove", count, lambda n: index.remove(messages[n].topic))
    print(f"\n{held / count:.0f} bytes per retained message beyond the message\n")


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    gc.disable()
    print(f"| call | calls | mean us | worst ms | above {STALL_SECONDS * 1e3:.0f} ms |")
    print("|---|---|---|---|---|")
    subscriptions(count)
    crowd(count)
    retained(count)
    print(f"\n{count:,} entries, garbage collector off, {rookery.routing.router.__file__}")


if __name__ == "__main__":
    main()
