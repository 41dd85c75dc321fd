"""Clients that come and go in the middle of everything, with chance from a seed: nothing is lost."""

import asyncio
import random

import pytest

from rookery.client import Client
from rookery.mqtt.packets import SubscriptionRequest
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import V3_1, V3_1_1, V5

COUNT = 2_000
SECONDS_MAX = 50


def run(work):
    """Run to the end, in bounded time."""

    async def bounded():
        async with asyncio.timeout(SECONDS_MAX):
            await work()

    asyncio.run(bounded())


def surviving(chance):
    """The properties of a session that outlives its links, with a window of any size."""
    properties = Properties()
    properties.session_expiry_interval = 600
    properties.receive_maximum = chance.choice([1, 3, 50, 1_000])
    return properties


async def publish_all(node, chance, topic, qos):
    """Publish the numbers up to COUNT in order, some at a time."""
    async with Client(*node.address("tcp")) as client:
        number = 0
        while number < COUNT:
            some = range(number, min(number + chance.randint(1, 40), COUNT))
            await asyncio.gather(*(client.publish(topic, b"%d" % each, qos) for each in some))
            number = some.stop


async def take_all(node, chance, client_id, topic, qos, version, subscribed):
    """Take what comes, now and then leaving with or without a goodbye; the numbers by first sight."""
    taken = {}
    while len(taken) < COUNT:
        properties = surviving(chance) if version == V5 else None
        async with Client(
            *node.address("tcp"),
            client_id=client_id,
            version=version,
            clean_start=False,
            properties=properties,
        ) as client:
            if not subscribed.is_set():
                await client.subscribe([SubscriptionRequest(topic, qos)])
                subscribed.set()
            for _ in range(chance.randint(1, 300)):
                message = await anext(client.messages())
                taken.setdefault(int(message.payload))
                if len(taken) == COUNT:
                    break
            if chance.random() < 0.5:
                client.abort()
    return list(taken)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("version", [V3_1, V3_1_1, V5])
def test_a_session_that_is_resumed_again_and_again_misses_nothing(node, name, version, seed):
    chance = random.Random(seed)

    async def work():
        async with asyncio.TaskGroup() as group:
            takers = []
            for qos in (1, 2):
                topic, subscribed = f"{name}/{qos}", asyncio.Event()
                taking = take_all(node, chance, f"{name}-{qos}", topic, qos, version, subscribed)
                takers.append(group.create_task(taking))
                await subscribed.wait()
                group.create_task(publish_all(node, chance, topic, qos))
        for taker in takers:
            assert taker.result() == list(range(COUNT))

    run(work)


@pytest.mark.parametrize("seed", range(2))
def test_a_share_group_whose_members_come_and_go_misses_nothing(node, name, seed):
    chance = random.Random(seed)
    taken, arrived, complete = set(), asyncio.Event(), asyncio.Event()

    async def member(patience):
        """Take some and vanish; what was sent and not acknowledged is another's then."""
        while not complete.is_set():
            async with Client(*node.address("tcp")) as client:
                await client.subscribe([SubscriptionRequest(f"$share/{name}/{name}", 1)])
                arrived.set()
                for _ in range(patience):
                    message = await anext(client.messages())
                    taken.add(int(message.payload))
                    if len(taken) == COUNT:
                        complete.set()
                        return
                client.abort()

    async def work():
        async with asyncio.TaskGroup() as group:
            steady = group.create_task(member(10**9))
            await arrived.wait()
            restless = [group.create_task(member(chance.randint(5, 50))) for _ in range(3)]
            group.create_task(publish_all(node, chance, name, 1))
            await complete.wait()
            for task in (steady, *restless):
                task.cancel()

    run(work)
    assert taken == set(range(COUNT))
