"""A node that does what the test says: its side of one connection, packet by packet."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rookery.client import Client
from rookery.mqtt.link import SERVER, Link
from rookery.mqtt.packets import ConnAck, Connect, Packet
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import PACKET_BYTES_LIMIT

SECONDS_MAX = 10.0

P = TypeVar("P", bound=Packet)


class Peer:
    """The node's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.link = Link(SERVER, PACKET_BYTES_LIMIT, 0)
        self._reader = reader
        self._writer = writer
        self._packets: list[Packet] = []

    async def expect(self, kind: type[P]) -> P:
        """The next packet, which must be of this kind."""
        packet = await self.next()
        assert isinstance(packet, kind), f"{packet} instead of {kind}"
        return packet

    async def next(self) -> Packet | None:
        """The next packet, or ``None`` when the client has closed the connection."""
        while not self._packets:
            data = await self._reader.read(65_536)
            if not data:
                return None
            self._packets = self.link.receive(data)
            assert self.link.fault is None, self.link.fault
        return self._packets.pop(0)

    async def welcome(self, properties: Properties | None = None) -> Connect:
        """Take the CONNECT and accept it."""
        connect = await self.expect(Connect)
        self.send(ConnAck(properties=properties if connect.version == 5 else None))
        return connect

    def send(self, *packets: Packet) -> None:
        """Send packets in one go."""
        for packet in packets:
            assert self.link.send(packet)
        self.send_bytes(self.link.take_output())

    def send_bytes(self, data: bytes) -> None:
        """Send what need not be a packet."""
        self._writer.write(data)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def play(
    node: Callable[[Peer], Awaitable[None]],
    client: Callable[[Callable[..., Client]], Awaitable[None]],
) -> None:
    """Run the node's script against the client's, which gets a maker of clients for that node."""

    async def both() -> None:
        accepted: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set_result(Peer(reader, writer))

        async def act() -> None:
            peer = await accepted
            try:
                await node(peer)
            finally:
                peer.close()

        async with asyncio.timeout(SECONDS_MAX):
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server:
                await asyncio.gather(
                    act(), client(lambda **options: Client("127.0.0.1", port, **options))
                )

    asyncio.run(both())
