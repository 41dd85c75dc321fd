"""The connection that carries the frames of a link, from its first byte until the link takes it over.

gRPC tells two nodes that they belong together, and costs a tenth of a millisecond a message on either side; frames go by
a plain connection to the same port, at a tenth of that. It begins so:

  the dialler   MAGIC
  the acceptor  MAGIC; where there are certificates both sides go on in TLS from here
  the dialler   the ticket that ``Accepted`` gave it in the gRPC call, and the MAC of it by the cluster's secret
  both          frames, the acceptor with a beat first
"""

import asyncio
import hmac
import ssl
from collections.abc import Callable
from typing import Final, cast

from rookery.cluster.addresses import split_address
from rookery.cluster.framing import BEAT
from rookery.cluster.handshake import mac_of
from rookery.cluster.wire import WireBroken

MAGIC: Final = b"ROOK"
TICKET_BYTES: Final = 16
MAC_BYTES: Final = 32
EARLY_BYTES_MAX: Final = 65_536
"""What may come before anybody asks for it."""
OPENING_SECONDS_MAX: Final = 3.0
TLS_SHUTDOWN_SECONDS: Final = 1.0
LOST: Final = "the connection was lost"


class Opening(asyncio.Protocol):
    """A new connection, whose first bytes are read one after the other."""

    def __init__(self, met: Callable[["Opening"], None] | None = None) -> None:
        """``met`` is told when it is there."""
        self.transport: asyncio.Transport
        self._met = met
        self._data = b""
        self._lost = False
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class.
        if self._met is not None:
            self._met(self)

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self._data += data
        self._changed.set()
        if len(self._data) > EARLY_BYTES_MAX:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._lost = True
        self._changed.set()

    async def read(self, count: int) -> bytes:
        """The next bytes, exactly as many. Raises ``WireBroken``."""
        while len(self._data) < count:
            if self._lost:
                raise WireBroken(LOST)
            self._changed.clear()
            await self._changed.wait()
        found, self._data = self._data[:count], self._data[count:]
        return found

    async def start_tls(self, context: ssl.SSLContext, host: str | None) -> None:
        """Go on in TLS; ``host`` is what the other side's certificate must name, ``None`` on the side it dialled.

        Raises ``OSError``: it cannot be trusted; or ``WireBroken``.
        """
        if self._data or self._lost:
            raise WireBroken("something came in clear that was to come in TLS")
        transport = await asyncio.get_running_loop().start_tls(
            self.transport,
            self,
            context,
            server_side=host is None,
            server_hostname=host,
            ssl_handshake_timeout=OPENING_SECONDS_MAX,
            ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS,
        )
        if transport is None:
            raise WireBroken(LOST)
        self.transport = transport

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Let another have the connection, and what it has not seen of it. Raises ``WireBroken``."""
        if self._lost or self.transport.is_closing():
            raise WireBroken(LOST)
        self.transport.set_protocol(protocol)
        return self._data


class Tickets:
    """The connections that an acceptor waits for."""

    def __init__(self, secret: bytes | None) -> None:
        self._secret = secret
        self._waiting: dict[bytes, asyncio.Future[Opening]] = {}

    def expect(self, ticket: bytes) -> asyncio.Future[Opening]:
        """A connection with this ticket, which is good once; cancel it when it is waited for no longer."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        future.add_done_callback(lambda _: self._waiting.pop(ticket, None))
        return future

    async def take(self, opening: Opening, context: ssl.SSLContext | None) -> None:
        """Go through the beginning of a connection that said MAGIC. Raises ``WireBroken`` and ``OSError``."""
        opening.transport.write(MAGIC)
        if context is not None:
            await opening.start_tls(context, None)
        ticket = await opening.read(TICKET_BYTES)
        mac = await opening.read(MAC_BYTES)
        waiting = self._waiting.get(ticket)
        proven = hmac.compare_digest(mac, ticket_mac(self._secret, ticket))
        if waiting is None or waiting.done() or not proven:
            raise WireBroken("nobody waits for a connection with this ticket")
        waiting.set_result(opening)


def ticket_mac(secret: bytes | None, ticket: bytes) -> bytes:
    """What proves that a ticket is used by whom it was given to."""
    return mac_of(secret or b"", b"ticket", ticket)


async def dial_frames(
    address: str,
    ticket: bytes,
    secret: bytes | None,
    context: ssl.SSLContext | None,
    certificate_name: str | None,
) -> Opening:
    """Make the connection to a node that accepted; it has to be taken over or aborted.

    Where no name is given its certificate has to name the host of the address. Raises ``WireBroken``.
    """
    host, port = split_address(address)
    loop = asyncio.get_running_loop()
    try:
        _, opening = await loop.create_connection(Opening, host, port)
    except OSError as error:
        raise WireBroken(str(error)) from None
    try:
        opening.transport.write(MAGIC)
        if await opening.read(len(MAGIC)) != MAGIC:
            raise WireBroken("it does not answer as a node does")
        if context is not None:
            await opening.start_tls(context, certificate_name or host)
        opening.transport.write(ticket + ticket_mac(secret, ticket))
        if await opening.read(len(BEAT)) != BEAT:
            raise WireBroken("it takes the connection, and does not say so")
    except BaseException as error:
        opening.transport.abort()
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise WireBroken(str(error)) from None
        raise
    return opening
