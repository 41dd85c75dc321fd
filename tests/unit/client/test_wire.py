"""Keep alive and flow control, on real sockets."""

import asyncio

import pytest
import uvloop

from rookery.client import Client, ConnectionLost
from rookery.mqtt.packets import Disconnect, PingReq, PingResp, Publish, SubscriptionRequest
from rookery.mqtt.properties import Properties
from tests.support.broker import RunningBroker
from tests.support.scripted_node import play


def test_pings_keep_the_connection():
    async def node(peer):
        await peer.welcome()
        for _ in range(3):
            await peer.expect(PingReq)
            peer.send(PingResp())
        peer.send(Publish("t", b"\0\1t", b"enough"))
        await peer.expect(Disconnect)

    async def client(make):
        async with make(keep_alive_seconds=1) as connected:
            assert (await anext(connected.messages())).payload == b"enough"

    play(node, client)


def test_the_keep_alive_of_the_node_counts():
    async def node(peer):
        told = Properties()
        told.server_keep_alive = 1
        await peer.welcome(told)
        await peer.expect(PingReq)
        peer.send(Publish("t", b"\0\1t", b""))
        await peer.expect(Disconnect)

    async def client(make):
        async with make(keep_alive_seconds=0) as connected:
            await anext(connected.messages())

    play(node, client)


def test_pings_that_nobody_answers():
    async def node(peer):
        await peer.welcome()
        await peer.expect(PingReq)
        assert await peer.next() is None

    async def client(make):
        async with make(keep_alive_seconds=1) as connected:
            with pytest.raises(ConnectionLost, match="does not answer pings"):
                await anext(connected.messages())

    play(node, client)


def test_a_node_that_does_not_read_stops_the_publisher():
    async def node(peer):
        await peer.welcome()
        await stuck.wait()
        count = 0
        while isinstance(await peer.next(), Publish):
            count += 1
        assert count == sent[0]

    async def client(make):
        async with make() as connected:
            while True:
                try:
                    async with asyncio.timeout(0.2):
                        await connected.publish("t", bytes(100_000))
                except TimeoutError:
                    break
                sent[0] += 1
                assert sent[0] < 1_000, "100 MB went to a node that does not read"
            assert sent[0] > 0
            stuck.set()
            await connected.publish("t", b"on again")
            sent[0] += 1

    sent = [0]
    stuck = asyncio.Event()
    play(node, client)


def test_small_packets_of_one_turn_leave_together():
    async def node(peer):
        await peer.welcome()
        await peer.expect(Publish)
        assert len(peer._packets) >= 9
        for _ in range(9):
            await peer.expect(Publish)
        await peer.expect(Disconnect)

    async def client(make):
        async with make() as connected:
            for _ in range(10):
                await connected.publish("t", b"")

    play(node, client)


def test_on_a_loop_whose_transports_are_not_of_asyncios_classes():
    async def talk(port):
        async with asyncio.timeout(10), Client("127.0.0.1", port) as connected:
            await connected.subscribe([SubscriptionRequest("t", 1)])
            await connected.publish("t", b"x" * 200_000, 1)
            assert len((await anext(connected.messages())).payload) == 200_000

    with RunningBroker() as broker, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk(broker.port))
