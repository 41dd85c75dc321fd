import asyncio

import pytest

from rookery.client.errors import ConnectionLost
from rookery.client.exchanges import PACKET_ID_MAX, Exchanges
from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.packets import PubAck, PubComp, PubRec, PubRel, SubAck


def run(test):
    """Run an async test, given its exchanges."""

    async def inside():
        async with asyncio.timeout(5):
            await test(Exchanges())

    asyncio.run(inside())


def test_packet_identifiers_wrap_round_and_skip_those_in_use():
    async def test(exchanges):
        held = exchanges.begin(SubAck)
        assert held.packet_id == 1
        for expected in range(2, PACKET_ID_MAX + 1):
            exchange = exchanges.begin(SubAck)
            assert exchange.packet_id == expected
            exchanges.withdraw(exchange)
        assert exchanges.begin(SubAck).packet_id == 2

    run(test)


def test_waiting_until_answered():
    async def test(exchanges):
        assert not exchanges.waiting
        exchange = exchanges.begin(PubRec)
        assert exchanges.waiting
        assert isinstance(exchanges.step(PubRec(1)), PubRel)
        assert exchanges.waiting and not exchange.answer.done()
        assert exchanges.step(PubComp(1)) is None
        assert not exchanges.waiting
        assert await exchange.answer == [0]

    run(test)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [(PubAck, PubRec(1)), (PubRec, PubComp(1)), (PubAck, PubAck(2)), (SubAck, PubAck(1))],
)
def test_an_answer_to_something_else(asked, answer):
    async def test(exchanges):
        exchanges.begin(asked)
        with pytest.raises(ProtocolViolation):
            exchanges.step(answer)

    run(test)


def test_a_place_comes_free_with_the_answer_though_nobody_waits_for_it():
    async def test(exchanges):
        exchanges.open_window(1)
        await exchanges.wait_for_place()
        exchanges.begin(PubAck).answer.cancel()
        waiter = asyncio.create_task(exchanges.wait_for_place())
        await asyncio.sleep(0)
        assert not waiter.done()
        exchanges.step(PubAck(1))
        await waiter

    run(test)


def test_failure_reaches_everyone():
    async def test(exchanges):
        exchanges.open_window(1)
        await exchanges.wait_for_place()
        exchange = exchanges.begin(PubAck)
        waiters = [asyncio.create_task(exchanges.wait_for_place()) for _ in range(3)]
        await asyncio.sleep(0)
        exchanges.fail(ConnectionLost("gone"))
        outcomes = await asyncio.gather(exchange.answer, *waiters, return_exceptions=True)
        assert [type(each) for each in outcomes] == [ConnectionLost] * 4
        with pytest.raises(ConnectionLost):
            exchanges.begin(SubAck)

    run(test)
