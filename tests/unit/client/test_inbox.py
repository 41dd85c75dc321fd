import asyncio

import pytest

from rookery.client.errors import ConnectionLost
from rookery.client.inbox import Inbox
from rookery.mqtt.packets import PubAck, PubComp, Publish, PubRec, PubRel


def message(qos=0, packet_id=0, payload=b""):
    return Publish("t", b"\0\1t", payload, qos, packet_id=packet_id)


def run(test):
    """Run an async test, given an inbox and the acknowledgements it sends."""

    async def inside():
        sent = []
        async with asyncio.timeout(5):
            await test(Inbox(sent.append), sent)

    asyncio.run(inside())


def test_acknowledged_when_taken():
    async def test(inbox, sent):
        for qos, packet_id in ((0, 0), (1, 4), (2, 5)):
            inbox.put(message(qos, packet_id))
        assert sent == [] and len(inbox) == 3
        for _ in range(3):
            await anext(inbox)
        nothing, puback, pubrec = sent
        assert nothing is None
        assert isinstance(puback, PubAck) and puback.packet_id == 4
        assert isinstance(pubrec, PubRec) and pubrec.packet_id == 5

    run(test)


def test_a_repeated_qos_2_message_is_taken_once_until_released():
    async def test(inbox, sent):
        inbox.put(message(2, 5, b"first"))
        inbox.put(message(2, 5, b"first"))
        released = inbox.release(PubRel(5))
        assert isinstance(released, PubComp) and released.packet_id == 5
        inbox.put(message(2, 5, b"second"))
        assert [(await anext(inbox)).payload for _ in range(2)] == [b"first", b"second"]

    run(test)


def test_waits_for_what_comes():
    async def test(inbox, sent):
        taker = asyncio.create_task(anext(inbox))
        await asyncio.sleep(0)
        assert not taker.done()
        inbox.put(message(payload=b"late"))
        assert (await taker).payload == b"late"

    run(test)


def test_the_end_lets_qos_0_and_1_be_taken_and_leaves_qos_2_to_the_node():
    async def test(inbox, sent):
        for qos in range(3):
            inbox.put(message(qos, qos))
        inbox.close(None)
        assert [each.qos async for each in inbox] == [0, 1]

    run(test)


def test_every_taker_learns_of_the_loss():
    async def test(inbox, sent):
        takers = [asyncio.create_task(anext(inbox)) for _ in range(2)]
        await asyncio.sleep(0)
        inbox.close(ConnectionLost("gone"))
        for taker in takers:
            with pytest.raises(ConnectionLost, match="gone"):
                await taker

    run(test)
