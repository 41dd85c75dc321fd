"""One socket: reads whole bursts, hands them to the client link, writes its output once per turn.

What the client does not read stays here, counted in ``unsent_bytes``; the session looks at that and
sends no more, and this side reads no more from a client that does not read its acknowledgements.
"""

import select
import socket
from collections import deque
from typing import Final

from rookery.actors.timers import Timed
from rookery.engine.broker import Broker
from rookery.engine.client_link import ClientLink
from rookery.engine.link_handle import CLOSED, LinkHandle
from rookery.net.layers import Layer, LayerFault
from rookery.net.pollable import Pollable
from rookery.net.poller import Poller
from rookery.net.proxy_protocol import ProxyLayer
from rookery.net.tls import TlsLayer
from rookery.ports import PeerCertificate

READ_BYTES_MIN: Final = 4_096
READ_BYTES_MAX: Final = 131_072
BROKEN: Final = select.EPOLLHUP | select.EPOLLERR
READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT
FOREVER: Final = 1e12
"""Later than any clock here comes; a number, as the timers count it in ticks."""
LINGER_SECONDS: Final = 5.0
"""How long a client that was sent away may take to read its last packets."""


class LinkIO(LinkHandle, Pollable, Timed):
    """The network's side of one client's link."""

    def __init__(
        self,
        sock: socket.SocketType,
        poller: Poller,
        broker: Broker,
        address: str,
        listener: str,
        stack: Layer | None,
        tls: TlsLayer | None,
        proxy: ProxyLayer | None,
        links: "set[LinkIO]",
    ) -> None:
        super().__init__()
        self._sock = sock
        self._fd: int = sock.fileno()
        self._poller = poller
        self._broker = broker
        self._stack = stack
        self._tls = tls
        self._proxy = proxy
        self._links = links
        self._read_bytes: int = READ_BYTES_MIN
        self._pending: deque[bytes] | None = None
        self._pending_offset: int = 0
        self._dirty: bool = False
        self._reading: bool = True
        self._paused: bool = False
        self._closing: bool = False
        self._linger_until: float = 0.0
        self._said_goodbye: bool = False
        self._open: bool = True
        self._shaking: bool = tls is not None
        self._waits_since: float = -1.0
        """Since when the handshake waits for its turn; negative while it does not."""
        self._waits_with: float = 0.0
        """The deadline it had then."""
        self.client = ClientLink(broker, self, address, listener, broker.now)
        broker.timers.at(self.client.connect_by, self.client)
        poller.add(self._fd, self)
        links.add(self)

    def ready(self, mask: int, now: float) -> None:
        """Read and step, or write on."""
        self._progress(mask, now)

    def work(self, now: float) -> None:
        """Go on with the packets held from the last turn."""
        self._progress(0, now)

    def _progress(self, mask: int, now: float) -> None:
        """Do what the readiness allows, in the boundary that keeps our own faults to this client."""
        try:
            if mask == 0:
                self._work_held(now)
            if mask & WRITABLE and self._open:
                self._write_pending(now)
            if mask & READABLE and self._open and self._reading:
                self._read(now)
            elif mask & BROKEN and self._open:
                self._lost()
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            self._broker.link_crashed(self.client, error)

    def _work_held(self, now: float) -> None:
        if self._waits_since >= 0:
            self._shake_on(now)
        elif self._open and not self._closing:
            self.resume()
            self.client.work(now)

    def flush(self, now: float) -> None:
        """Write what the link has put out in this turn; a fault of ours in it is this client's alone."""
        self._dirty = False
        if self._open:
            try:
                self._write_output()
            except Exception as error:  # noqa: BLE001 - the supervisor's boundary
                self._shut()
                self._broker.link_crashed(self.client, error)

    def _write_output(self) -> None:
        data = self.client.take_output()
        stack = self._stack
        if stack is not None and data:
            data = stack.send(data)
        self._send(data)
        if self._closing and self._pending is None:
            self._say_goodbye()

    def request_flush(self) -> None:
        """Have the link's output written at the end of this turn."""
        if not self._dirty:
            self._dirty = True
            self._poller.dirty.append(self)

    def request_work(self, first: bool = False) -> None:
        """Have the held packets worked on in the next turn. (See the base class.)"""
        if first:
            self._poller.starved.append(self)
        else:
            self._poller.unfinished.append(self)
        self._broker.request_turn()

    def close(self) -> None:
        """Write what is out, say goodbye in each layer, close; not at once but in this turn."""
        if self._open and not self._closing:
            self._closing = True
            self.pause()
            self.request_flush()
            self._broker.request_turn()
            self._linger_until = self._broker.now + LINGER_SECONDS
            self._broker.timers.at(self._linger_until, self)

    def pause(self) -> None:
        """Read nothing more until ``resume``."""
        if not self._paused:
            self._paused = True
            self._watch()

    def resume(self) -> None:
        """Read again."""
        if self._paused and not self._closing:
            self._paused = False
            self._watch()

    def certificate(self) -> PeerCertificate | None:
        """The client's verified certificate."""
        return None if self._tls is None else self._tls.peer_certificate()

    def has_output(self) -> bool:
        """Whether something is still to be written, to the client or by this turn."""
        return self._dirty or self._pending is not None or self.client.held_bytes > 0

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        if self._open:
            self._shut()

    def due(self, now: float) -> None:
        """The client had its time to read the last packets."""
        if self._closing:
            self.abort()

    def _wait_to_shake(self, now: float) -> None:
        """Stand in the queue for the next turns. Not being read is no fault of the client's."""
        self._waits_since = now
        self._waits_with = self.client.connect_by
        self.client.connect_by = FOREVER
        self._poller.handshakes.waiting.append(self)
        self._watch()

    def _shake_on(self, now: float) -> None:
        """Go on with the handshake, the deadline moved by the time that it waited."""
        self.client.connect_by = self._waits_with + now - self._waits_since
        self._waits_since = -1.0
        if self._open and not self._closing:
            self._broker.timers.at(self.client.connect_by, self.client)
            self._watch()
            self._read(now)

    def _read(self, now: float) -> None:
        if self._shaking and not self._poller.handshakes.may_step():
            self._wait_to_shake(now)
            return
        try:
            data = self._sock.recv(self._read_bytes)
        except BlockingIOError:
            return
        except OSError:
            self._lost()
            return
        size = len(data)
        if size == 0:
            self._lost()
            return
        if self._said_goodbye:
            return  # What a client still says after its link ended is not heard.
        if size == self._read_bytes:
            if size < READ_BYTES_MAX:
                self._read_bytes = size * 4
        elif size * 8 < self._read_bytes and self._read_bytes > READ_BYTES_MIN:
            self._read_bytes = self._read_bytes // 2
        if self._stack is None:
            self.client.received(data, now)
        else:
            self._read_through(self._stack, data, now)

    def _read_through(self, stack: Layer, data: bytes, now: float) -> None:
        fault: str | None = None
        handshakes = self._poller.handshakes
        shaking = self._shaking
        if shaking:
            handshakes.begin_step()
        try:
            data = stack.receive(data)
        except LayerFault as error:
            fault = error.text
            data = error.received
        if shaking:
            handshakes.end_step()
            self._shaken(fault is not None)
        output = stack.take_output()
        if output:
            self._send(output)
        if self._proxy is not None and self._proxy.opened:
            self._identify(self._proxy, now)
        if data and self._open:
            self.client.received(data, now)
        if fault is not None:
            self._broker.log_refusal(self.client, "layer_fault", fault)
        if fault is not None or stack.received_eof:
            self.client.lost()

    def _shaken(self, failed: bool) -> None:
        """Count the handshake if this was its last step."""
        tls = self._tls
        if tls is not None and (tls.opened or failed):
            self._shaking = False
            counts = self._poller.handshakes.of(self.client.listener)
            if not tls.opened:
                counts.failed += 1
            else:
                counts.done += 1
                if tls.resumed():
                    counts.resumed += 1

    def _identify(self, proxy: ProxyLayer, now: float) -> None:
        """The PROXY header has told the client's address: count it there, if it may come from there."""
        self._proxy = None
        client = self.client
        gate = self._broker.gate
        if proxy.source is not None:
            client.address = proxy.source[0]
            reason = gate.address_refusal(client.address, now)
            if reason:
                gate.refuse(client.address, client.listener, reason)
                client.cut()
                return
        gate.identify(client, now)

    def _send(self, data: bytes) -> None:
        size = len(data)
        if not size or not self._open:
            return
        self._broker.stats.bytes_sent += size
        if self._pending is None:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._lost()
                return
            if sent == size:
                return
            self._pending = deque()
            self._pending_offset = sent
            self.unsent_bytes = -sent
        self._pending.append(data)
        self.unsent_bytes += size
        self._watch()

    def _write_pending(self, now: float) -> None:
        pending = self._pending
        while pending:
            chunk = pending[0]
            try:
                sent = self._sock.send(memoryview(chunk)[self._pending_offset :])
            except BlockingIOError:
                return
            except OSError:
                self._lost()
                return
            self.unsent_bytes -= sent
            self._pending_offset += sent
            if self._pending_offset < len(chunk):
                return
            pending.popleft()
            self._pending_offset = 0
        self._pending = None
        self.unsent_bytes = 0
        if self._closing:
            self._say_goodbye()
            return
        self._watch()
        self.client.writable(now)

    def _watch(self) -> None:
        """Watch for what is wanted now: room to write, and input while nothing says to wait."""
        if not self._open:
            return
        output_bytes_max = self._broker.settings.limits.output_bytes_max
        # A client that does not read what it caused is not read from either.
        self._reading = (
            not self._paused and self._waits_since < 0 and self.unsent_bytes <= output_bytes_max
        )
        self._poller.watch(self._fd, self._reading, self._pending is not None)

    def _lost(self) -> None:
        self._shut()
        self.client.lost()

    def _say_goodbye(self) -> None:
        """End our direction and wait for the client to end its own.

        Closing at once would make the kernel answer what is still on its way with a reset, and the
        client could lose the packet that tells it why.
        """
        if self._said_goodbye:
            return
        self._said_goodbye = True
        try:
            if self._stack is not None:
                self._sock.send(self._stack.close())
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._shut()  # The other side is gone already.
            return
        self._reading = True
        self._poller.watch(self._fd, True, False)

    def _shut(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._shaking:
            self._shaken(True)
        self._poller.remove(self._fd)
        self._sock.close()
        if self._closing:
            self._broker.timers.give_up(self._linger_until, self)
        if self._stack is not None:
            self._stack.release()
        self._pending = None
        self._links.discard(self)
        self._broker.gate.leave(self.client)
        self.client.io = (
            CLOSED  # Two objects that point at each other would wait for the collector.
        )
