"""The network's side of a client: a transport, the codec, flow control and the keep alive."""

import asyncio
from typing import Final, Protocol, cast

from rookery.mqtt.errors import PeerFault
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import Connect, Packet, PingReq
from rookery.mqtt.types import PACKET_BYTES_LIMIT

OUTPUT_BYTES_MAX: Final = 65_536
"""Bytes after which output does not wait for the end of the loop's turn."""


class Owner(Protocol):
    """Who the wire works for."""

    def received(self, packet: Packet) -> None:
        """A packet came. May raise ``PeerFault``."""

    def broken(self, text: str, fault: PeerFault | None) -> None:
        """The connection is of no use any more; ``fault`` when the node broke the protocol."""


class Wire(asyncio.Protocol):
    """One network connection, from when it is made."""

    def __init__(self, owner: Owner, connect: Connect) -> None:
        packet_bytes_max, topic_aliases_max = PACKET_BYTES_LIMIT, 0
        if connect.properties is not None:
            packet_bytes_max = connect.properties.maximum_packet_size or PACKET_BYTES_LIMIT
            topic_aliases_max = connect.properties.topic_alias_maximum or 0
        self.link = Link(CLIENT, packet_bytes_max, topic_aliases_max, connect.version)
        self.closed = asyncio.Event()
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._flush_requested = False
        self._reading = True
        self._ping_seconds = 0.0
        self._ping_timer: asyncio.TimerHandle | None = None
        self._silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport. (asyncio calls this.)"""
        # uvloop's transports have the methods and are of classes of their own.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand over every packet that is whole. (asyncio calls this.)"""
        self._silent = False
        try:
            for packet in self.link.receive(data):
                self._owner.received(packet)
            if self.link.fault is not None:
                raise self.link.fault
        except PeerFault as fault:
            self._owner.broken(f"the node broke the protocol: {fault.text}", fault)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the owner. (asyncio calls this.)"""
        self._transport = None
        self._writable.set()
        self.closed.set()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        self._owner.broken("the connection was closed" if error is None else str(error), None)

    def pause_writing(self) -> None:
        """The node does not read fast enough. (asyncio calls this.)"""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The node has caught up. (asyncio calls this.)"""
        self._writable.set()

    async def writable(self) -> None:
        """Wait until the node has read enough of what was sent."""
        await self._writable.wait()

    def send(self, packet: Packet) -> bool:
        """Send with the rest of this turn; ``False`` when it is too large for the node."""
        if not self.link.send(packet):
            return False
        if self.link.out_bytes > OUTPUT_BYTES_MAX:
            self._write()
        elif not self._flush_requested:
            self._flush_requested = True
            self._loop.call_soon(self._flush)
        return True

    def read_on(self, wanted: bool) -> None:
        """Read, or leave what comes to the network until this is called again."""
        if self._transport is None or wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._silent = False
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def keep_alive(self, seconds: int) -> None:
        """Ping twice in every ``seconds``, so that one that is late does no harm; 0 is never."""
        if seconds:
            self._ping_seconds = seconds / 2
            self._ping_timer = self._loop.call_later(self._ping_seconds, self._ping)

    def close(self) -> None:
        """Write what is out and close."""
        self._write()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        if self._transport is not None:
            self._transport.abort()

    def _ping(self) -> None:
        if self._silent:
            self.abort()
            self._owner.broken("the node does not answer pings", None)
            return
        self._silent = self._reading  # Unread, an answer may be there without being seen.
        self.send(PingReq())
        self._ping_timer = self._loop.call_later(self._ping_seconds, self._ping)

    def _flush(self) -> None:
        self._flush_requested = False
        self._write()

    def _write(self) -> None:
        data = self.link.take_output()
        if data and self._transport is not None:
            self._transport.write(data)
