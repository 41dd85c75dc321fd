"""Much at once: many retained messages, a client that does not read, and what the others notice."""

import asyncio
import os
import socket
import threading
import time

from rookery.client import Client
from rookery.mqtt.packets import SubscriptionRequest
from rookery.mqtt.types import V3_1_1
from tests.integration.metrics import SETTINGS, metric
from tests.support import wire, wire_client

RETAINED = 20_000 if "CI" in os.environ else 100_000
PAUSE_SECONDS_MAX = 1.0
"""Far above what others may notice, and far below what a stalled loop costs."""


def run(work):
    """Run to the end, in bounded time."""

    async def bounded():
        async with asyncio.timeout(55):
            return await work()

    return asyncio.run(bounded())


async def worst_round_trip(client, topic, until):
    """The longest time one small message took to come back, until the event."""
    await client.subscribe([SubscriptionRequest(topic)])
    messages, worst, count = client.messages(), 0.0, 0
    while not until.is_set() or count == 0:
        before = time.perf_counter()
        await client.publish(topic, b"")
        await anext(messages)
        worst = max(worst, time.perf_counter() - before)
        count += 1
        await asyncio.sleep(0.005)
    return worst


def test_many_retained_messages_stream_to_a_wildcard_subscriber(broker_with):
    broker = broker_with(**SETTINGS)

    async def work():
        async with (
            Client(broker.host, broker.port) as sender,
            Client(broker.host, broker.port) as receiver,
            Client(broker.host, broker.port) as other,
            asyncio.TaskGroup() as group,
        ):
            for number in range(RETAINED):
                await sender.publish(f"many/{number % 100}/{number}", b"%d" % number, retain=True)
            await sender.publish("many/last", b"", 1)  # Behind all the others.
            done = asyncio.Event()
            worst = group.create_task(worst_round_trip(other, "small", done))
            codes = await receiver.subscribe([SubscriptionRequest("many/#", 1)])
            assert codes == [1]
            messages = receiver.messages()
            taken = [await anext(messages) for _ in range(RETAINED)]
            done.set()
            assert await worst < PAUSE_SECONDS_MAX
        return taken

    taken = run(work)
    numbers = [int(each.payload) for each in taken]
    assert all(each.retain for each in taken)
    assert sorted(numbers) == list(range(RETAINED))
    # Within a topic level they come in the order in which they were first published.
    for branch in range(100):
        own = [number for number in numbers if number % 100 == branch]
        assert own == sorted(own)
    assert metric(broker, "emqx_eventloop_lag_seconds") < PAUSE_SECONDS_MAX


OUTPUT_BYTES_MAX = 1_000_000
FLOOD_MESSAGES, FLOOD_BYTES = 1_000, 64_000
KERNEL_BYTES_MAX = 12_000_000
"""What the operating system may hold of a connection on both of its sides."""


def flood(broker, topic, qos=0):
    """Publish 64 MB and wait until the broker has it all."""
    with wire_client.Client(wire_client.tcp((broker.host, broker.port)), wire.V5) as sender:
        sender.connect("flood")
        for number in range(FLOOD_MESSAGES):
            sender.publish(topic, b"%07d" % number + bytes(FLOOD_BYTES - 7), qos=qos)
        sender.expect_silence()


def slow_reader(broker, topic, options):
    """A client that subscribes and then does not read."""
    stream = wire_client.tcp((broker.host, broker.port))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client = wire_client.Client(stream, wire.V5)
    client.connect("slow", properties={"receive_maximum": 65_535})
    client.subscribe((topic, options))
    return client


def test_a_reader_that_does_not_read_costs_the_others_nothing(broker_with):
    broker = broker_with(**SETTINGS, **{"limits.output_bytes_max": OUTPUT_BYTES_MAX})
    with slow_reader(broker, "flood", 0) as slow:
        flooding = threading.Thread(target=flood, args=(broker, "flood"))
        done = asyncio.Event()

        async def work():
            async with Client(broker.host, broker.port, version=V3_1_1, client_id="o") as other:
                async with asyncio.TaskGroup() as group:
                    worst = group.create_task(worst_round_trip(other, "small", done))
                    flooding.start()
                    await asyncio.to_thread(flooding.join)
                    done.set()
                assert worst.result() < PAUSE_SECONDS_MAX

        run(work)
        dropped = metric(broker, "emqx_messages_dropped_total", reason="output_full")
        kept = FLOOD_MESSAGES - dropped
        assert 0 < kept * FLOOD_BYTES <= OUTPUT_BYTES_MAX + FLOOD_BYTES + KERNEL_BYTES_MAX
        # What was kept is delivered, whole and in order, as soon as the client reads.
        numbers = [int(slow.receive_message("flood").payload[:7]) for _ in range(int(kept))]
        assert numbers == sorted(numbers)
        slow.expect_silence()


def test_qos_1_waits_for_a_slow_reader_up_to_the_limits_of_the_queue(broker_with):
    limits = {
        "limits.output_bytes_max": OUTPUT_BYTES_MAX,
        "limits.queue_bytes_max": 2_000_000,
    }
    broker = broker_with(**SETTINGS, **limits)
    with slow_reader(broker, "flood", 1) as slow:
        flood(broker, "flood", qos=1)
        dropped = metric(broker, "emqx_messages_dropped_total", reason="queue_full")
        kept = int(FLOOD_MESSAGES - dropped)
        bound = OUTPUT_BYTES_MAX + FLOOD_BYTES + KERNEL_BYTES_MAX + 2_000_000
        assert 0 < kept * FLOOD_BYTES <= bound
        numbers = [int(slow.receive_message("flood").payload[:7]) for _ in range(kept)]
        assert numbers == sorted(numbers)
        slow.expect_silence()


def test_a_client_that_does_not_read_its_answers_is_not_read_from(broker_with):
    """Its pings stay in the network instead of their answers in the node's memory."""
    broker = broker_with(**{"limits.output_bytes_max": 65_536})
    with wire_client.Client(wire_client.tcp((broker.host, broker.port)), wire.V5) as client:
        client.connect("rude")
        client.stream.settimeout(1.0)
        pings = wire.PINGREQ_PACKET * 50_000
        sent = 0
        try:
            while sent < 200_000_000:
                sent += client.stream.send(pings)
        except TimeoutError:
            pass
        assert sent < 50_000_000
        with wire_client.Client(wire_client.tcp((broker.host, broker.port)), wire.V5) as other:
            other.connect("other")
            other.expect_silence()
