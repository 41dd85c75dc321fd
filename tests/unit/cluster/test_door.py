"""The port of a node; that gRPC and frames come through shows in the integration tests of links."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rookery.actors.tasks import Tasks
from rookery.cluster import door as module
from rookery.cluster.door import Door
from rookery.cluster.opening import MAGIC, Tickets, ticket_mac
from tests.support.links import run

TICKET = bytes(16)


class House:
    def __init__(self, door: Door, port: int, tickets: Tickets) -> None:
        self.door = door
        self.port = port
        self.tickets = tickets
        self.reads = asyncio.Event()
        """Whether those behind the door read on."""
        self.reads.set()
        self.seen: list[str] = []
        """What those behind the door took somebody for."""

    async def call(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """A door, behind which somebody sends everything back twice."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        while data := await reader.read(65_536):
            made.seen.append(made.door.address_of(f"ipv4:127.0.0.1:{port}"))
            writer.write(data * 2)
            await writer.drain()
            await made.reads.wait()
        writer.close()

    behind = await asyncio.start_server(echo, "127.0.0.1", 0)
    failures: list[BaseException] = []
    tasks = Tasks(lambda _, error: failures.append(error))
    tickets = Tickets(None)
    door = Door(tickets, lambda: None, tasks)
    port = await door.start("127.0.0.1", 0, behind.sockets[0].getsockname()[1])
    made = House(door, port, tickets)
    try:
        yield made
    finally:
        await door.stop()
        await tasks.stop()
        behind.close()
        assert failures == []


async def left(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end, whether that is a reset or not."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_what_is_no_magic_goes_to_grpc_and_back_however_much_it_is():
    async def work() -> None:
        async with house() as made:
            reader, writer = await made.call(b"PRI ")
            assert await reader.readexactly(8) == b"PRI PRI "
            own = writer.get_extra_info("sockname")
            assert made.seen == [f"127.0.0.1:{own[1]}"]
            big = bytes(range(256)) * 16_384
            writer.write(big)
            assert len(await reader.readexactly(2 * len(big))) == 2 * len(big)
            writer.close()

    run(work())


def test_what_is_not_read_behind_the_door_stays_with_its_sender():
    async def work() -> None:
        async with house() as made:
            made.reads.clear()
            reader, writer = await made.call(b"PRI ")
            await reader.readexactly(8)
            writer.write(bytes(64 << 20))
            unsent = -1
            while unsent != writer.transport.get_write_buffer_size():
                unsent = writer.transport.get_write_buffer_size()
                await asyncio.sleep(0.1)
            held = [each.transport.get_write_buffer_size() for each in made.door._open]
            assert max(held) < 1 << 20
            assert unsent > 32 << 20
            writer.transport.abort()
            made.reads.set()

    run(work())


def test_who_leaves_is_forgotten():
    async def work() -> None:
        async with house() as made:
            reader, writer = await made.call(b"PRI * HTTP/2.0")
            await reader.readexactly(28)
            writer.close()
            while made.door._from or made.door._open:
                await asyncio.sleep(0.001)
            assert made.door.address_of("ipv4:127.0.0.1:1") == "ipv4:127.0.0.1:1"
            assert made.door.address_of("unix:") == "unix:"

    run(work())


def test_magic_and_a_ticket_make_a_connection_for_frames():
    async def work() -> None:
        async with house() as made:
            waiting = made.tickets.expect(TICKET)
            reader, writer = await made.call(MAGIC + TICKET + ticket_mac(None, TICKET))
            opening = await waiting
            assert await reader.readexactly(4) == MAGIC
            opening.transport.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            opening.transport.close()
            assert await reader.read() == b""
            writer.close()
            assert made.seen == []

    run(work())


@pytest.mark.parametrize("said", [b"", b"RO", MAGIC, MAGIC + TICKET + bytes(32)])
def test_who_does_not_get_on_is_thrown_out(said: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OPENING_SECONDS_MAX", 0.05)

    async def work() -> None:
        async with house() as made:
            reader, writer = await made.call(said)
            assert await left(reader) in (b"", MAGIC)
            assert made.door._callers == set()
            writer.close()

    run(work())


def test_so_many_may_stand_at_the_door(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CALLERS_MAX", 1)

    async def work() -> None:
        async with house() as made:
            _, first = await made.call(b"")
            while not made.door._callers:
                await asyncio.sleep(0.001)
            reader, second = await made.call(b"PRI ")
            assert await left(reader) == b""
            first.write(b"PRI ")
            while made.door._callers:
                await asyncio.sleep(0.001)
            first.close()
            second.close()

    run(work())


def test_nobody_behind_the_door_is_an_end():
    async def work() -> None:
        async with house() as made:
            made.door._grpc_port = 1
            reader, writer = await made.call(b"PRI ")
            assert await left(reader) == b""
            writer.close()

    run(work())
