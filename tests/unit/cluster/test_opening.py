"""The beginning of a connection for frames; a good one is in the integration tests of links, with TLS and without."""

import asyncio
import socket
from typing import Any

import pytest

from rookery.cluster import opening as module
from rookery.cluster.addresses import join_address
from rookery.cluster.opening import MAGIC, Opening, Tickets, dial_frames, ticket_mac
from rookery.cluster.wire import WireBroken
from tests.support.links import run

SECRET = b"a secret of the tests"
TICKET = bytes(range(16))


async def pair() -> tuple[Opening, asyncio.StreamReader, asyncio.StreamWriter]:
    here, there = socket.socketpair()
    _, opening = await asyncio.get_running_loop().create_connection(Opening, sock=here)
    return opening, *await asyncio.open_connection(sock=there)


def test_bytes_are_read_as_they_are_asked_for_and_the_rest_is_handed_over():
    async def work() -> None:
        opening, _, writer = await pair()
        reading = asyncio.ensure_future(opening.read(4))
        writer.write(b"ab")
        await asyncio.sleep(0)
        assert not reading.done()
        writer.write(b"cdefg")
        assert await reading == b"abcd"
        assert await opening.read(1) == b"e"
        assert opening.hand_over(asyncio.Protocol()) == b"fg"
        opening.transport.close()
        writer.close()

    run(work())


def test_who_says_more_than_anybody_asked_for_is_thrown_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "EARLY_BYTES_MAX", 10)

    async def work() -> None:
        opening, reader, writer = await pair()
        writer.write(bytes(11))
        with pytest.raises((WireBroken, ConnectionError)):
            await opening.read(100)
        assert await reader.read() == b""
        writer.close()

    run(work())


def test_a_ticket_is_good_once_and_for_who_knows_the_secret():
    async def use(tickets: Tickets, mac: bytes) -> Opening:
        opening, _, writer = await pair()
        writer.write(TICKET + mac)
        try:
            await tickets.take(opening, None)
        finally:
            writer.close()
            opening.transport.close()
        return opening

    async def work() -> None:
        tickets = Tickets(SECRET)
        good = ticket_mac(SECRET, TICKET)
        with pytest.raises(WireBroken, match="nobody waits"):
            await use(tickets, good)
        waiting = tickets.expect(TICKET)
        with pytest.raises(WireBroken, match="nobody waits"):
            await use(tickets, ticket_mac(b"a secret of others", TICKET))
        assert not waiting.done()
        opening = await use(tickets, good)
        assert await waiting is opening
        with pytest.raises(WireBroken, match="nobody waits"):
            await use(tickets, good)

    run(work())


def test_a_ticket_that_nobody_waits_for_any_more_is_forgotten():
    async def work() -> None:
        tickets = Tickets(None)
        tickets.expect(TICKET).cancel()
        await asyncio.sleep(0)
        assert tickets._waiting == {}

    run(work())


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([b"HTTP"], "does not answer as a node does"),
        ([MAGIC, b"wait"], "does not say so"),
        ([MAGIC], "the connection was lost"),
        ([], "the connection was lost"),
    ],
)
def test_what_does_not_answer_as_a_node_is_none(answers: list[bytes], text: str):
    async def work() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readexactly(4) == MAGIC
            for index, each in enumerate(answers):
                writer.write(each)
                if index == 0 and each == MAGIC:
                    assert await reader.readexactly(48) == TICKET + ticket_mac(SECRET, TICKET)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = join_address(*server.sockets[0].getsockname())
        with pytest.raises(WireBroken, match=text):
            await dial_frames(address, TICKET, SECRET, None, None)
        server.close()

    run(work())


def test_who_cannot_be_reached_is_said():
    async def work() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            address = join_address(*taken.getsockname())
            with pytest.raises(WireBroken, match="refused"):
                await dial_frames(address, TICKET, SECRET, None, None)

    run(work())


def test_clear_text_before_tls_is_refused():
    async def work() -> None:
        opening, _, writer = await pair()
        writer.write(b"too early")
        await opening.read(1)
        context: Any = None
        with pytest.raises(WireBroken, match="in clear"):
            await opening.start_tls(context, None)
        opening.transport.close()
        writer.close()

    run(work())
