"""A broker whose network is real and whose time and turns are the test's, on socket pairs and loopback."""

import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import Packet
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5
from rookery.net.layers import Layer
from rookery.net.link_io import LinkIO
from rookery.net.poller import Poller
from rookery.net.proxy_protocol import ProxyLayer
from rookery.net.tls import TlsLayer
from tests.support.engine import Engine, connect, said

TURNS_MAX = 2_000


class Far:
    """The other end of a connection: a socket and a client's codec."""

    def __init__(self, network: "Network", sock: socket.socket, version: int = V5) -> None:
        self.network = network
        self.sock = sock
        self.link = Link(CLIENT, PACKET_BYTES_LIMIT, 0, version)
        self.packets: list[Packet] = []
        self.ended = False
        sock.setblocking(False)

    def put(self, *packets: Packet) -> None:
        """Send packets, as far as they go at once they must."""
        for packet in packets:
            assert self.link.send(packet)
        data = self.link.take_output()
        assert self.sock.send(data) == len(data)

    def read(self) -> None:
        """Take what is there."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
        self.packets += self.link.receive(data)
        assert self.link.fault is None, self.link.fault

    def receive(self, count: int) -> list[str]:
        """Let turns pass until so many packets came; return them in brief."""
        self.network.until(lambda: (self.read(), len(self.packets) >= count)[1])
        taken, self.packets = self.packets[:count], self.packets[count:]
        return said(taken)

    def expect_end(self) -> None:
        """Let turns pass until the connection ends, with nothing more said before."""
        self.network.until(lambda: (self.read(), self.ended)[1])
        assert self.packets == []

    def connect(self, client_id: str, **asked: Any) -> None:
        self.put(connect(client_id, **asked))
        assert self.receive(1)[0].startswith("CONNACK")


class Network:
    """A broker with a poller that the test turns. Further arguments are settings."""

    def __init__(self, **changed: Any) -> None:
        self.engine = Engine(**changed)
        self.broker = self.engine.broker
        self.loop = uvloop.new_event_loop()
        self.poller = Poller(self.broker, self.loop)
        self.links: set[LinkIO] = set()
        self._sockets: list[socket.socket] = []

    def keep(self, sock: socket.socket) -> socket.socket:
        """Close the socket with the network."""
        self._sockets.append(sock)
        return sock

    def link(
        self,
        stack: Layer | None = None,
        tls: TlsLayer | None = None,
        proxy: ProxyLayer | None = None,
        tcp: bool = False,
        buffer_bytes: int = 0,
    ) -> tuple[Far, LinkIO]:
        """A connection: its far end and the broker's link."""
        far, near = loopback() if tcp else socket.socketpair()
        if buffer_bytes:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        near.setblocking(False)
        self.keep(near)
        io = LinkIO(
            near, self.poller, self.broker, "192.0.2.1", "tcp", stack, tls, proxy, self.links
        )
        return Far(self, self.keep(far)), io

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.poller.turn()

    def until(self, there: Callable[[], object]) -> None:
        """Turn until something is there; wait for the kernel only where it takes its time."""
        for attempt in range(TURNS_MAX):
            self.turn()
            if there():
                return
            if attempt > 10:
                with selectors.DefaultSelector() as selector:
                    selector.register(self.poller._epoll, selectors.EVENT_READ)
                    selector.select(0.005)
        raise AssertionError("it never came")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.engine.clock.now += seconds
        self.turn(2)

    def close(self) -> None:
        for io in list(self.links):
            io.abort()
        self.poller.stop()
        self.loop.close()
        for sock in self._sockets:
            sock.close()


@contextmanager
def network(**changed: Any) -> Iterator[Network]:
    made = Network(**changed)
    try:
        yield made
    finally:
        made.close()


def loopback() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection; the second is the accepted one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        far = socket.create_connection(listening.getsockname())
        near, _ = listening.accept()
    return far, near
