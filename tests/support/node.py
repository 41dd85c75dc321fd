"""A node and its clients in one event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from rookery.app import Node
from rookery.config.models import Config
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import Packet
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5
from tests.support.broker import nested
from tests.support.engine import said

PATIENCE_SECONDS = 5
TCP = {"type": "tcp", "name": "tcp", "host": "127.0.0.1", "port": 0}


def config(**changed: Any) -> Config:
    """Loopback, ports the system chooses, no metrics."""
    given = {
        "listeners": [TCP],
        "metrics.enabled": False,
        "mqtt.sys_interval_seconds": 0,
        "store.durability": "memory",
    }
    return Config.model_validate(nested(given | changed))


def run(work: Callable[[Node], Awaitable[None]], **changed: Any) -> Node:
    """Run a node, and the work beside it."""

    async def main() -> Node:
        node = Node(config(**changed))
        await node.start()
        try:
            await work(node)
        finally:
            await node.stop()
        return node

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


class Client:
    """A client in the node's own loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.link = Link(CLIENT, PACKET_BYTES_LIMIT, 0, V5)
        self.packets: list[Packet] = []

    async def ask(self, *packets: Packet, answers: int = 1) -> list[str]:
        for packet in packets:
            self.link.send(packet)
        self.writer.write(self.link.take_output())
        while len(self.packets) < answers:
            data = await asyncio.wait_for(self.reader.read(65_536), PATIENCE_SECONDS)
            assert data, "the connection ended"
            self.packets += self.link.receive(data)
        taken, self.packets = self.packets[:answers], self.packets[answers:]
        return said(taken)

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def dial(node: Node, **more: Any) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", node.ports["tcp"], **more))
