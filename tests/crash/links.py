"""Many network connections in one thread: non-blocking sockets, whole packets, deadlines of their owners."""

import selectors
import socket
import time
from typing import Final, Protocol

from tests.support import wire

READ_BYTES_MAX: Final = 1 << 18
CONNECT_SECONDS_MAX: Final = 5.0


class Owner(Protocol):
    """The client a connection belongs to."""

    def received(self, packet: wire.Packet) -> None:
        """One packet of the broker, well-formed."""

    def malformed(self, problem: str) -> None:
        """The broker sent something that MQTT does not allow."""

    def disconnected(self) -> None:
        """The connection ended without being closed from here."""


class Link:
    """One connection: what is put into it leaves at the end of the turn."""

    def __init__(self, links: "Links", owner: Owner, version: int) -> None:
        self.version = version
        self.owner = owner
        self.socket = socket.create_connection(links.address, CONNECT_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._links = links
        self._input = b""
        self._output: list[bytes] = []
        self.open = True
        links.add(self)

    def put(self, data: bytes) -> None:
        """Send a packet."""
        self._output.append(data)

    def close(self) -> None:
        """Close without a word; what was put and not written is lost, as in a fault of the network."""
        if self.open:
            self.open = False
            self._links.remove(self)
            self.socket.close()

    def write(self) -> None:
        """Write what was put, as far as it goes."""
        if not self._output or not self.open:
            return
        data = b"".join(self._output)
        self._output.clear()
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # What came in before can still be read; that is where the end is noticed.
            return
        if sent < len(data):
            self._output.append(data[sent:])

    def read(self) -> None:
        """Take what is there and hand the whole packets on."""
        try:
            data = self.socket.recv(READ_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self.owner.disconnected()
            return
        self._take_packets(self._input + data)

    def _take_packets(self, data: bytes) -> None:
        at = 0
        while self.open:
            length, shift, place = 0, 0, at + 1
            while place < len(data):
                byte = data[place]
                length |= (byte & 0x7F) << shift
                shift += 7
                place += 1
                if byte < 0x80:
                    break
                assert shift < 28, "the remaining length does not end"
            else:
                break
            end = place + length
            if end > len(data):
                break
            try:
                packet = wire.decode(self.version, data[at], data[place:end], end - at)
            except (AssertionError, KeyError, UnicodeDecodeError) as problem:
                self.close()
                self.owner.malformed(str(problem))
                return
            at = end
            self.owner.received(packet)
        self._input = data[at:]


class Links:
    """All open connections to one broker."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._selector = selectors.DefaultSelector()
        self._open: dict[Link, None] = {}

    def add(self, link: Link) -> None:
        """Watch a new link."""
        self._open[link] = None
        self._selector.register(link.socket, selectors.EVENT_READ, link)

    def remove(self, link: Link) -> None:
        """Watch it no longer."""
        del self._open[link]
        self._selector.unregister(link.socket)

    def turn(self, seconds_max: float) -> None:
        """Write what was put, and read what comes within the time."""
        for link in list(self._open):
            link.write()
        for key, _ in self._selector.select(max(0.0, seconds_max)):
            if key.data.open:
                key.data.read()
        for link in list(self._open):
            link.write()

    def drain_dead(self) -> None:
        """The broker is gone: read what it still said, until every link has noticed its end."""
        deadline = time.monotonic() + CONNECT_SECONDS_MAX
        while self._open and time.monotonic() < deadline:
            self.turn(0.05)
        assert not self._open, "a link outlives its broker"

    def close(self) -> None:
        """Close all."""
        for link in list(self._open):
            link.close()
        self._selector.close()
