"""The one port at which other nodes reach this one: gRPC, and the connections that carry frames.

Who says MAGIC has a connection for frames. All else is for gRPC's own server, which listens on this
machine only and whose bytes are passed on as they are.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from rookery.actors.tasks import Tasks
from rookery.cluster.addresses import join_address
from rookery.cluster.opening import MAGIC, OPENING_SECONDS_MAX, Opening, Tickets
from rookery.cluster.wire import WireBroken

CALLERS_MAX: Final = 256
"""So many may be here at a time of whom it is not known what they want."""
LOCAL: Final = "127.0.0.1"


class Passage(asyncio.Protocol):
    """One of two connections, whose bytes go to the other."""

    def __init__(
        self, transport: asyncio.Transport | None, lost: Callable[["Passage"], None]
    ) -> None:
        """``lost`` is told when it is gone."""
        self.transport = transport
        self.port = 0
        """Its own, where it is the connection to gRPC."""
        self.other: Passage
        self._lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class.

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        assert self.other.transport is not None
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        """It takes no more for now."""
        assert self.other.transport is not None
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It takes more."""
        assert self.other.transport is not None
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other one ends as well."""
        self._lost(self)
        assert self.other.transport is not None
        self.other.transport.close()


class Door:
    """Listens from ``start`` to ``stop``."""

    def __init__(
        self, tickets: Tickets, context: Callable[[], ssl.SSLContext | None], tasks: Tasks
    ) -> None:
        """``context`` is asked for the TLS of each connection."""
        self._tickets = tickets
        self._context = context
        self._tasks = tasks
        self._server: asyncio.Server | None = None
        self._grpc_port = 0
        self._callers: set[Opening] = set()
        self._open: set[Passage] = set()
        self._changed = asyncio.Event()
        self._from: dict[int, str] = {}
        """By the port that gRPC sees: from where somebody came."""

    async def start(self, host: str, port: int, grpc_port: int) -> int:
        """Listen, and pass calls on to that port of this machine; the port it got. Raises ``OSError``."""
        self._grpc_port = grpc_port
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Opening(self._met), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more, and end what is passed on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for opening in list(self._callers):
            opening.transport.abort()
        for passage in self._open:
            if passage.transport is not None:
                passage.transport.abort()
        while self._open:
            self._changed.clear()
            await self._changed.wait()

    def address_of(self, peer: str) -> str:
        """From where somebody came of whom gRPC says ``ipv4:127.0.0.1:40000``."""
        _, _, port = peer.rpartition(":")
        return self._from.get(int(port), peer) if port.isdecimal() else peer

    def _met(self, opening: Opening) -> None:
        if len(self._callers) >= CALLERS_MAX or self._server is None:
            opening.transport.abort()
            return
        self._callers.add(opening)
        self._tasks.start("cluster caller", self._receive(opening))

    async def _receive(self, opening: Opening) -> None:
        """Find out what somebody wants, and let those have it who are there for that."""
        done = False
        try:
            async with asyncio.timeout(OPENING_SECONDS_MAX):
                first = await opening.read(len(MAGIC))
                if first == MAGIC:
                    await self._tickets.take(opening, self._context())
                else:
                    await self._pass_on(opening, first)
                done = True
        except (TimeoutError, WireBroken, OSError):
            pass  # Nobody has proved anything yet: who came may be anybody.
        finally:
            self._callers.discard(opening)
            if not done:
                opening.transport.abort()

    async def _pass_on(self, opening: Opening, first: bytes) -> None:
        near = Passage(opening.transport, self._lost)
        far = Passage(None, self._lost)
        near.other, far.other = far, near
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: far, LOCAL, self._grpc_port)
        self._open.add(far)
        try:
            rest = opening.hand_over(near)
        except WireBroken:
            transport.abort()
            raise
        self._open.add(near)
        host, port = opening.transport.get_extra_info("peername")[:2]
        far.port = transport.get_extra_info("sockname")[1]
        self._from[far.port] = join_address(host, port)
        transport.write(first + rest)

    def _lost(self, passage: Passage) -> None:
        self._open.discard(passage)
        self._from.pop(passage.port, None)
        self._changed.set()
