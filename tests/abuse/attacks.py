"""What is done to the node: each attack is one coroutine that goes on until it is cancelled.

They run in a process of their own with a low priority (``python -m tests.abuse.attacks NAME HOST PORT NICENESS``),
so that what they cost is not what the bystanders measure. They come from 127.0.0.2 and others of the loopback
network, as strangers would.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import uvloop

from rookery.mqtt.encode import encode_packet
from rookery.mqtt.packets import Connect, Packet, Subscribe, SubscriptionRequest, Unsubscribe
from rookery.mqtt.types import V5
from tests.support.engine import publish

USER: Final = ("stranger", b"stranger")
"""Whom the node lets in, for the attacks that must be."""
STRANGER: Final = "127.0.0.2"
FILTERS: Final = 10_000
LEVELS: Final = 128

Address = tuple[str, int]
Attack = Callable[[Address], Awaitable[None]]


def wire(*packets: Packet) -> bytes:
    return b"".join(encode_packet(packet, V5) for packet in packets)


def hello(name: str, user: tuple[str, bytes] = USER) -> bytes:
    return wire(Connect(name, V5, username=user[0], password=user[1], keep_alive_seconds=0))


class Line:
    """One connection to the node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, address: Address, source: str = STRANGER) -> "Line":
        return cls(*await asyncio.open_connection(*address, local_addr=(source, 0), limit=1 << 20))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def swallow(self) -> None:
        """Read and forget until the end."""
        with suppress(OSError):
            while await self.reader.read(1 << 20):
                pass

    def close(self) -> None:
        self.writer.transport.abort()


async def always(work: Callable[[], Awaitable[None]]) -> None:
    """Begin again whenever the node puts an end to it."""
    while True:
        with suppress(OSError, EOFError):
            await work()
        await asyncio.sleep(0.01)


async def half_open(address: Address) -> None:
    """5,000 connections that say nothing, each made anew when it is closed."""

    async def one() -> None:
        line = await Line.open(address)
        try:
            await line.swallow()
        finally:
            line.close()

    await asyncio.gather(*(always(one) for _ in range(5_000)))


async def slow_loris(address: Address) -> None:
    """1,000 connections that send their CONNECT byte by byte."""

    async def one() -> None:
        line = await Line.open(address)
        try:
            for byte in hello("slow"):
                await line.say(bytes([byte]))
                await asyncio.sleep(0.5)
            await line.swallow()
        finally:
            line.close()

    await asyncio.gather(*(always(one) for _ in range(1_000)))


async def guess(address: Address, sources: list[str]) -> None:
    """10,000 connects with wrong passwords, a hundred at a time."""
    waiting = iter(range(10_000))

    async def one(source: str) -> None:
        for number in waiting:
            with suppress(OSError):
                line = await Line.open(address, source)
                try:
                    await line.say(hello(f"guess-{number}", ("stranger", b"%d" % number)))
                    await line.swallow()
                finally:
                    line.close()

    await asyncio.gather(*(one(sources[number % len(sources)]) for number in range(100)))
    await asyncio.Event().wait()


async def wrong_passwords(address: Address) -> None:
    """All from one address, which is to be banned and is no other's."""
    await guess(address, ["127.0.0.3"])


async def wrong_passwords_spread(address: Address) -> None:
    """From so many addresses that none is banned."""
    await guess(address, [f"127.0.1.{number}" for number in range(1, 101)])


async def flood(address: Address, qos: int) -> None:
    line = await Line.open(address)
    await line.say(hello("flood"))
    reading = asyncio.ensure_future(line.swallow())
    data = b"".join(
        wire(publish("flood", b"x" * 64, qos, packet_id=number % 500 + 1 if qos else 0))
        for number in range(500)
    )
    while not reading.done():
        await line.say(data)
        await asyncio.sleep(0)


async def flood_qos0(address: Address) -> None:
    """One client that publishes as fast as it can."""
    await always(lambda: flood(address, 0))


async def flood_qos1(address: Address) -> None:
    """The same with QoS 1."""
    await always(lambda: flood(address, 1))


async def flood_fan_out(address: Address) -> None:
    """The same to 200 subscribers."""

    async def subscriber(number: int) -> None:
        line = await Line.open(address)
        await line.say(hello(f"fan-{number}"))
        await line.say(wire(Subscribe(1, [SubscriptionRequest("flood", 0)])))
        await line.swallow()

    readers = [asyncio.ensure_future(always(lambda n=n: subscriber(n))) for n in range(200)]
    await asyncio.gather(always(lambda: flood(address, 0)), *readers)


async def never_reading(address: Address) -> None:
    """Ten clients that want everything and read nothing, while another publishes large messages."""
    lines = []
    for number in range(10):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.bind((STRANGER, 0))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        await asyncio.get_running_loop().sock_sendall(
            sock, hello(f"deaf-{number}") + wire(Subscribe(1, [SubscriptionRequest("#", 1)]))
        )
        lines.append(sock)
    loud = await Line.open(address)
    await loud.say(hello("loud"))
    while True:
        await loud.say(wire(publish("loud", b"x" * 10_000)) * 4)
        await asyncio.sleep(0.01)


async def many_filters(address: Address) -> None:
    """SUBSCRIBE with 10,000 filters and UNSUBSCRIBE of them, or the end of the session, again and again."""
    names = [f"filters/{number}/+" for number in range(FILTERS)]
    subscribe = wire(Subscribe(1, [SubscriptionRequest(name, 0) for name in names]))

    async def one() -> None:
        line = await Line.open(address)
        try:
            await line.say(hello("filters") + subscribe + wire(Unsubscribe(2, names)) + subscribe)
            await line.reader.readexactly(3 * FILTERS)
        finally:
            line.close()

    await always(one)


async def wildcard_bombs(address: Address) -> None:
    """Thousands of filters of 128 levels that all match the beginning of one name, and that name."""

    async def one(client: int) -> None:
        line = await Line.open(address)
        reading = asyncio.ensure_future(line.swallow())
        try:
            await line.say(hello(f"bomb-{client}"))
            for first in range(0, 1_000, 100):
                await line.say(
                    wire(
                        Subscribe(
                            1,
                            [
                                SubscriptionRequest(bomb(client * 1_000 + first + n), 0)
                                for n in range(100)
                            ],
                        )
                    )
                )
            for number in range(1_000):
                name = "/".join(["a"] * (LEVELS - 1) + [str(number)])
                await line.say(wire(publish(name, b"x")))
                await asyncio.sleep(0.01)
        finally:
            reading.cancel()
            line.close()

    await asyncio.gather(*(always(lambda n=n: one(n)) for n in range(3)))


def bomb(number: int) -> str:
    """A filter whose levels are ``a`` or ``+`` by the bits of a number, and whose last fits nothing."""
    bits = number * 2_654_435_761
    levels = ["+" if bits >> (at % 32) & 1 else "a" for at in range(LEVELS - 1)]
    return "/".join([*levels, "never"])


async def ban_patterns(address: Address) -> None:
    """CONNECTs whose client ids take every pattern of a ban as long as they can."""

    async def one() -> None:
        line = await Line.open(address)
        try:
            await line.say(hello("a" * 1_000))
            await line.swallow()
        finally:
            line.close()

    await asyncio.gather(*(always(one) for _ in range(4)))


async def large_packets(address: Address) -> None:
    """300 connections with packets of the largest size: half send them whole, half stop in the middle."""
    packet = wire(publish("large", b"x" * 1_000_000))

    async def whole(number: int) -> None:
        line = await Line.open(address)
        try:
            await line.say(hello(f"large-{number}"))
            while True:
                await line.say(packet)
                await asyncio.sleep(1)
        finally:
            line.close()

    async def partial(number: int) -> None:
        line = await Line.open(address)
        try:
            await line.say(hello(f"partial-{number}") + packet[:-1])
            await line.swallow()
        finally:
            line.close()

    await asyncio.gather(
        *(always(lambda n=n: whole(n)) for n in range(150)),
        *(always(lambda n=n: partial(n)) for n in range(150)),
    )


ATTACKS: Final[dict[str, Attack]] = {
    each.__name__: each
    for each in (
        half_open,
        slow_loris,
        wrong_passwords,
        wrong_passwords_spread,
        flood_qos0,
        flood_qos1,
        flood_fan_out,
        never_reading,
        many_filters,
        wildcard_bombs,
        ban_patterns,
        large_packets,
    )
}


def main() -> None:
    """Attack until somebody ends the process."""
    name, host, port, niceness = sys.argv[1:]
    os.nice(int(niceness))
    print("begun", flush=True)
    with suppress(KeyboardInterrupt):
        uvloop.run(ATTACKS[name]((host, int(port))))


if __name__ == "__main__":
    main()
