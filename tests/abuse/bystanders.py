"""Clients that behave: pairs that exchange messages at a steady rate and measure how long each takes.

A message is timed from the moment it was due, not from when it was sent, so a stall counts for every message
that it delayed. How late this side itself was is measured apart: what it explains is not the node's fault.
"""

import asyncio
import struct
import time
from dataclasses import dataclass, field
from typing import Final, Self

from rookery.mqtt.encode import puback_wire, topic_to_wire
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import (
    ConnAck,
    Connect,
    Packet,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5

STAMP: Final = struct.Struct("!dQ")
TICK_SECONDS: Final = 0.01
PATIENCE_SECONDS: Final = 20.0


class Peer(asyncio.Protocol):
    """One bystander's connection."""

    def __init__(self, name: str, user: tuple[str, bytes]) -> None:
        self.name = name
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = False
        self.acknowledged = 0
        self.latencies: list[float] = []
        self.got: set[int] = set()
        self.repeated = 0
        self._user = user
        self._topic = ""
        self._link = Link(CLIENT, PACKET_BYTES_LIMIT, 0, V5)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        username, password = self._user
        self._say(Connect(self.name, V5, username=username, password=password))

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"{self.name} was not let in"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        acknowledgements = []
        for packet in self._link.receive(data):
            if isinstance(packet, Publish):
                due, number = STAMP.unpack(packet.payload)
                self.latencies.append(now - due)
                self.repeated += number in self.got
                self.got.add(number)
                acknowledgements.append(puback_wire(packet.packet_id))
            elif isinstance(packet, PubAck):
                self.acknowledged += 1
            elif isinstance(packet, ConnAck) and packet.reason_code == 0 and self._topic:
                self._say(Subscribe(1, [SubscriptionRequest(self._topic, 1)]))
            elif isinstance(packet, ConnAck | SubAck) and not self.ready.done():
                self.ready.set_result(None)
        if acknowledgements:
            self._transport.write(b"".join(acknowledgements))

    def listen_to(self, topic: str) -> None:
        """Subscribe once it is let in."""
        self._topic = topic

    def publish(self, topic: str, number: int, due: float) -> None:
        """Send one message with QoS 1."""
        packet_id = number % 65_535 + 1
        payload = STAMP.pack(due, number)
        self._say(Publish(topic, topic_to_wire(topic), payload, 1, packet_id=packet_id))

    def close(self) -> None:
        self._transport.abort()

    def _say(self, packet: Packet) -> None:
        assert self._link.send(packet)
        self._transport.write(self._link.take_output())


@dataclass
class Window:
    """What the bystanders saw in a stretch of time, in seconds, ascending."""

    latencies: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    """Of this side's own ticks."""

    def at(self, share: float) -> float:
        """The latency that this share of the messages did not exceed."""
        return percentile(self.latencies, share)


def percentile(values: list[float], share: float) -> float:
    """The value that this share of sorted values does not exceed; 0 of none."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, int(share * len(values)))]


class Bystanders:
    """Pairs of clients, inside ``async with``."""

    def __init__(self, address: tuple[str, int], user: tuple[str, bytes], clients: int) -> None:
        self.sent = 0
        self._address = address
        self._user = user
        self._pairs = clients // 2
        self._writers: list[Peer] = []
        self._readers: list[Peer] = []
        self._lateness: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for number in range(self._pairs):
            reader = await self._connect(f"bystander-in-{number}", f"bystanders/{number}")
            self._readers.append(reader)
            self._writers.append(await self._connect(f"bystander-out-{number}", ""))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        for peer in self._readers + self._writers:
            peer.close()

    def begin(self, per_second: float) -> None:
        """Exchange so many messages a second, all pairs together, until the end."""
        self._task = asyncio.get_running_loop().create_task(self._run(per_second))

    async def window(self, seconds: float) -> Window:
        """What is seen from now on for so long."""
        self._take()
        await asyncio.sleep(seconds)
        return self._take()

    async def drained(self) -> int:
        """Stop sending and wait for what is on its way; how many messages never came."""
        assert self._task is not None
        self._task.cancel()
        self._task = None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.missing() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        return self.missing()

    def missing(self) -> int:
        """Messages sent that have not arrived."""
        return self.sent - sum(len(peer.got) for peer in self._readers)

    def faults(self) -> list[str]:
        """What should not have happened to anybody, beside what is missing."""
        peers = self._readers + self._writers
        ended = sum(peer.ended for peer in peers)
        repeated = sum(peer.repeated for peer in peers)
        found = [f"{ended} bystanders lost their connection"] if ended else []
        return found + ([f"{repeated} messages came twice"] if repeated else [])

    def _take(self) -> Window:
        window = Window()
        for peer in self._readers:
            window.latencies += peer.latencies
            peer.latencies.clear()
        window.latencies.sort()
        window.lateness = sorted(self._lateness)
        self._lateness.clear()
        return window

    async def _run(self, per_second: float) -> None:
        began = time.monotonic()
        ticks = self_sent = 0
        while True:
            ticks += 1
            due = began + ticks * TICK_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._lateness.append(time.monotonic() - due)
            while self_sent < per_second * ticks * TICK_SECONDS:
                pair, number = self.sent % self._pairs, self.sent
                self._writers[pair].publish(f"bystanders/{pair}", number, due)
                self.sent += 1
                self_sent += 1

    async def _connect(self, name: str, topic: str) -> Peer:
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(lambda: Peer(name, self._user), *self._address)
        peer.listen_to(topic)
        await asyncio.wait_for(peer.ready, PATIENCE_SECONDS)
        return peer
