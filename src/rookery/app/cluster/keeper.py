"""The NATS server of this process, which outlives a node that begins anew, and sits out a time without others.

It holds a third of the cluster's copies and votes. If it went with the node, its end and its return would make the
others elect leaders, seconds long, at the very moment at which they have just recovered. And a server that is cut off
calls for elections in which nobody hears it: each raises its term, and when it is back all others, who had leaders
all the time, must elect anew. So it is stopped before its first call, and started when another can be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from rookery.cluster.nats_config import NatsServerSettings
from rookery.cluster.nats_server import NatsServer, NatsServerFault

log: Final = structlog.get_logger("rookery.app")

REACH_SECONDS_MAX: Final = 0.5
"""How long another may take to accept a connection."""
LOOK_SECONDS: Final = 0.25


class ServerKeeper:
    """Has one server, once somebody asked for it."""

    def __init__(self) -> None:
        self.server: NatsServer | None = None

    async def have(self, settings: NatsServerSettings) -> NatsServer:
        """The server, running: started by the first who asks, and where it was stopped.

        Raises ``NatsServerFault``.
        """
        if self.server is not None and self.server.settings != settings:
            await self.end()
        if self.server is None:
            self.server = NatsServer(settings)
        if not self.server.kept:
            await self.server.start()
        return self.server

    async def sit_out(self, addresses: Sequence[str]) -> None:
        """Stop the server unless another node, or its server, can be reached; return when it runs.

        ``addresses`` are those of the other nodes, as ``host:port``.
        """
        server = self.server
        if server is None:
            return
        everyone = (*addresses, *server.settings.others)
        if not everyone or await any_reached(everyone):
            return
        log.warning("nats_server_sits_out", reason="no other node can be reached", tried=everyone)
        await server.stop(graceful=False)
        while not server.kept:
            await asyncio.sleep(LOOK_SECONDS)
            if await any_reached(everyone):
                try:
                    await server.start()
                except NatsServerFault as fault:
                    log.error("nats_server_not_started", problem=str(fault))

    async def start_afresh(self) -> None:
        """Start the server again, so that it first listens whether the others have leaders. Raises ``NatsServerFault``."""
        server = self.server
        if server is not None and server.kept:
            log.warning("nats_server_starts_afresh", reason="this machine stood still")
            await server.stop(graceful=False)
            await server.start()

    async def end(self) -> None:
        """Stop it, after the last node."""
        server, self.server = self.server, None
        if server is not None:
            await server.stop()


async def any_reached(addresses: Sequence[str]) -> bool:
    """Whether somebody accepts a connection at one of these addresses."""
    return any(await asyncio.gather(*[_reached(address) for address in addresses]))


async def _reached(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(REACH_SECONDS_MAX):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
