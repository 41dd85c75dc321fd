"""A listener: accepts connections within the limits and makes a link of each."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rookery.actors.timers import Timed
from rookery.engine.broker import Broker
from rookery.engine.gate import Quota
from rookery.engine.stats import REFUSED_CONNECTIONS_MAX
from rookery.net.certificates.listener import ListenerTls
from rookery.net.layers import Layer, stacked
from rookery.net.link_io import LinkIO
from rookery.net.pollable import Pollable
from rookery.net.poller import Poller
from rookery.net.proxy_protocol import ProxyLayer
from rookery.net.tls import TlsLayer
from rookery.net.websocket import WebSocketLayer

ACCEPTS_PER_TURN_MAX: Final = 64
FRAME_SPARE_BYTES: Final = 65_536


@dataclass(frozen=True)
class Transport:
    """What lies between the socket and the link of one listener's connections."""

    proxy_protocol: bool = False
    tls: ListenerTls | None = None
    websocket_path: str | None = None


class Links:
    """The connections of all listeners together: their number, and their rate per second."""

    def __init__(self, broker: Broker) -> None:
        self.open: set[LinkIO] = set()
        self._broker = broker
        self._second: int = 0
        self._accepted: int = 0

    def may_accept(self) -> bool:
        """Whether this second has room for one more connection."""
        second = int(self._broker.now)
        if second != self._second:
            self._second = second
            self._accepted = 0
        return self._accepted < self._broker.settings.limits.connects_per_second_max

    def count(self) -> str:
        """Count a connection; return why there may be no more, empty when there may."""
        self._accepted += 1
        self._broker.stats.connections_total += 1
        # Some more than the limit, so that those over it can be told in a CONNACK.
        if len(self.open) >= self._broker.settings.limits.connections_max + ACCEPTS_PER_TURN_MAX:
            return REFUSED_CONNECTIONS_MAX
        return ""


class Acceptor(Pollable, Timed):
    """One listening socket."""

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        transport: Transport,
        poller: Poller,
        broker: Broker,
        links: Links,
        quota: Quota,
    ) -> None:
        """``quota`` is the listener's: its sockets on other addresses share it."""
        self.sock = sock
        self.name = name
        self._transport = transport
        self._poller = poller
        self._broker = broker
        self._links = links
        self._quota = quota
        self._open = True
        self._family: int = sock.family
        # Under socket.accept(), which wraps each number in enums: that is 3 of its 5 us.
        self._accept: Callable[[], tuple[int, object]] = getattr(sock, "_accept")  # noqa: B009
        if sock.family != socket.AF_UNIX:
            # What is accepted inherits it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poller.add(sock.fileno(), self)

    def ready(self, mask: int, now: float) -> None:
        """Accept what waits, up to the limits; the rest stays in the kernel's queue."""
        for _ in range(ACCEPTS_PER_TURN_MAX):
            until = self._accepts_at(now)
            if until > 0.0:
                # Pace rather than refuse: what waits stays with the system.
                self._poller.watch(self.sock.fileno(), False, False)
                self._broker.timers.at(until, self)
                return
            try:
                fd, peer = self._accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._broker.log_accept_failed(self.name, str(error))
                self._poller.watch(self.sock.fileno(), False, False)
                self._broker.timers.at(now, self)
                return
            sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd)
            address = str(peer[0]) if isinstance(peer, tuple) else ""
            reason = self._refusal(address, now)
            if reason:
                sock.close()
                self._broker.gate.refuse(address, self.name, reason)
            else:
                self._begin(sock, address, now)

    def _accepts_at(self, now: float) -> float:
        """When the listener may accept again; 0 when it may now."""
        if not self._links.may_accept():
            return now
        connects = self._quota.connects
        if connects is None:
            return 0.0
        wait_seconds = connects.wait_seconds(now)
        return now + wait_seconds if wait_seconds > 0.0 else 0.0

    def _refusal(self, address: str, now: float) -> str:
        gate = self._broker.gate
        if self._quota.connects is not None:
            self._quota.connects.take(1.0, now)
        reason = self._links.count() or gate.refusal(self._quota, now)
        if not reason and not self._transport.proxy_protocol:
            # A proxy's own address says nothing: its header brings the client's.
            reason = gate.address_refusal(address, now)
        return reason

    def due(self, now: float) -> None:
        """Accept again."""
        if self._open:
            self._poller.watch(self.sock.fileno(), True, False)

    def work(self, now: float) -> None:
        """A listener holds no packets."""

    def flush(self, now: float) -> None:
        """A listener has no output."""

    def close(self) -> None:
        """Accept no more."""
        if self._open:
            self._open = False
            self._poller.remove(self.sock.fileno())
            self.sock.close()

    def _begin(self, sock: socket.SocketType, address: str, now: float) -> None:
        sock.setblocking(False)
        transport = self._transport
        layers: list[Layer] = []
        proxy: ProxyLayer | None = None
        tls: TlsLayer | None = None
        if transport.proxy_protocol:
            proxy = ProxyLayer()
            layers.append(proxy)
        if transport.tls is not None:
            tls = TlsLayer(transport.tls.context, self._broker.clock.wall())
            layers.append(tls)
        if transport.websocket_path is not None:
            # A frame may hold several packets. [MQTT-6.0.0-2]
            frame_bytes_max = self._broker.settings.limits.packet_bytes_max + FRAME_SPARE_BYTES
            layers.append(WebSocketLayer(transport.websocket_path, frame_bytes_max))
        io = LinkIO(
            sock,
            self._poller,
            self._broker,
            address,
            self.name,
            stacked(layers),
            tls,
            proxy,
            self._links.open,
        )
        self._broker.gate.enter(io.client, self._quota, now)
        if proxy is None:
            self._broker.gate.identify(io.client, now)
