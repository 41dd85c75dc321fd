"""Thousands of clients that connect: what a CONNECT costs, what a client costs that stays idle."""

import select
import socket
import time
from collections import deque
from typing import Final

from rookery_bench import wire
from rookery_bench.accounting import Usage, settled_resident_bytes
from rookery_bench.latency import percentiles
from rookery_bench.links import Address, open_link, subscribe
from rookery_bench.measurement import Measurement, per_unit
from rookery_bench.scenarios import Connecting, Idle

_READ_BYTES: Final = 4_096
_ANSWER_SECONDS: Final = 10.0
_TURN_SECONDS: Final = 0.0003
"""Answers come together meanwhile, so that the load does not wake up for each; the broker has
connects enough under way to last longer."""
_FIRST_CLIENTS: Final = 20
"""Connected before the count begins, so that what a broker does once is not counted."""


class Crowd:
    """Clients that connect with some of them under way at once, and then stay."""

    def __init__(self, load: Connecting | Idle, address: Address, broker_pid: int) -> None:
        self._load = load
        self._address = address
        self._broker_pid = broker_pid
        self._epoll = select.epoll()
        self._waiting: dict[int, tuple[socket.socket, int]] = {}
        """By descriptor: the client and the time of its CONNECT."""
        self._prepared: deque[tuple[socket.socket, bytes]] = deque()
        self._links: list[socket.socket] = []
        self._latencies_ns: list[int] = []

    def run(self) -> Measurement:
        """Connect all clients and measure what they cost."""
        try:
            for index in range(_FIRST_CLIENTS):
                link = open_link(self._address, f"bench-first-{index}", self._load.version)
                self._links.append(link)
                subscribe(link, f"bench/first/{index}", 1, self._load.version)
            if isinstance(self._load, Idle):
                return self._measure_memory()
            return self._measure_connects()
        except (OSError, wire.WireError) as error:
            return Measurement(0.0, None, None, None, None, [str(error)])

    def _measure_connects(self) -> Measurement:
        self._prepare()
        usage = Usage(self._broker_pid)
        self._connect_all()
        return per_unit(usage, self._load.clients, percentiles(self._latencies_ns), [])

    def _measure_memory(self) -> Measurement:
        self._prepare()
        before = settled_resident_bytes(self._broker_pid)
        self._connect_all()
        for index, link in enumerate(self._links[_FIRST_CLIENTS:]):
            link.setblocking(True)
            subscribe(link, f"bench/idle/{index:04d}", 1, self._load.version)
        growth = settled_resident_bytes(self._broker_pid) - before
        return Measurement(growth / self._load.clients, None, None, None, None)

    def _connect_all(self) -> None:
        while self._prepared or self._waiting:
            while self._prepared and len(self._waiting) < self._load.under_way:
                self._start(*self._prepared.popleft())
            time.sleep(_TURN_SECONDS)
            events = self._epoll.poll(_ANSWER_SECONDS)
            if not events:
                raise wire.WireError(f"{len(self._waiting)} clients wait for their CONNACK")
            for descriptor, _ in events:
                self._finish(descriptor)

    def _prepare(self) -> None:
        """Make the sockets and the CONNECT packets, which is no part of what is measured."""
        address, version = self._address, self._load.version
        for index in range(self._load.clients):
            link = socket.socket()
            self._links.append(link)
            name = f"bench-client-{index}"
            packet = wire.connect(name, address.username, address.password, version)
            self._prepared.append((link, packet))

    def _start(self, link: socket.socket, packet: bytes) -> None:
        # On loopback a blocking connect returns at once: the kernel shakes hands by itself.
        link.connect((self._address.host, self._address.port))
        now_ns = time.monotonic_ns()
        link.send(packet)
        self._waiting[link.fileno()] = link, now_ns
        self._epoll.register(link, select.EPOLLIN | select.EPOLLONESHOT)

    def _finish(self, descriptor: int) -> None:
        link, started_ns = self._waiting.pop(descriptor)
        found = wire.take_packet(link.recv(_READ_BYTES))
        if found is None:
            raise wire.WireError("the broker closed the connection or sent half a CONNACK")
        wire.expect_connack(found[0], found[1])
        self._latencies_ns.append(time.monotonic_ns() - started_ns)

    def close(self) -> None:
        """Disconnect all clients."""
        for link in self._links:
            try:
                link.setblocking(False)
                link.send(wire.DISCONNECT)
            except OSError:
                pass  # The broker is gone or stuck, which the run has already told.
            link.close()
        self._epoll.close()
