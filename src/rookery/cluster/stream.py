"""One open stream to a peer: what the engine sends and receives by it, and signs of life.

``send`` puts a frame into a queue, and the writer takes what waits there whenever gRPC has room for a message. The
pulse sends a beat when nothing else was sent for half a second, and ends the stream when nothing was heard for a
second and a half: that finds what no reset tells of, a peer that was stopped, a cable, a network that lets
through one direction only.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from rookery.actors.tasks import Tasks
from rookery.cluster.framing import BadFraming, Incoming, Outgoing
from rookery.cluster.proto.cluster_pb2 import Beat, Frame
from rookery.cluster.refusals import shown
from rookery.cluster.wire import Wire, WireBroken
from rookery.ports import Clock, PeerEvents

log: Final = structlog.get_logger("rookery.cluster")

BEAT_SECONDS: Final = 0.5
SILENT_SECONDS: Final = 1.5
PULSE_SECONDS: Final = 0.125
UNSENT_BYTES_MAX: Final = 512 * 1024 * 1024
"""The engine stops far below; this is what keeps a peer that takes nothing from costing the node its memory."""


class Stream:
    """A ``PeerLink``: it is the engine's from ``open`` on, until ``ended`` was called with the reason."""

    def __init__(
        self,
        node_id: str,
        boot: str,
        number: int,
        wire: Wire,
        events: PeerEvents,
        clock: Clock,
        ended: Callable[["Stream", str], None],
    ) -> None:
        self.node_id = node_id
        self.boot = boot
        self.number = number
        self.since = clock.monotonic()
        self.opened = False
        self.end_reason: str | None = None
        self._wire = wire
        self._events = events
        self._clock = clock
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(self._failed)
        self._over = asyncio.Event()
        self._waiting = asyncio.Event()
        """Whether the writer has something to do."""
        self._outgoing = Outgoing()
        self._incoming = Incoming()
        self._unsent_bytes = 0
        self._writing = False
        self._wrote_at = self.since
        self._heard = False
        self._silent_seconds = 0.0
        self._closing = False

    @property
    def unsent_bytes(self) -> int:
        """What was given to ``send`` and gRPC has not taken yet."""
        return self._unsent_bytes

    @property
    def silent_seconds(self) -> float:
        """For how long nothing was heard."""
        return 0.0 if self._heard else self._silent_seconds

    def send(self, frame: bytes) -> None:
        """Send a frame, without waiting. What is sent by a link that ended goes nowhere."""
        if self._closing:
            return
        self._outgoing.put(frame)
        self._unsent_bytes += len(frame)
        self._waiting.set()
        if self._unsent_bytes > UNSENT_BYTES_MAX:
            self.close(f"{UNSENT_BYTES_MAX} bytes wait for the peer to take them")

    def close(self, reason: str) -> None:
        """End the link, after the call in which it was asked for."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.end, reason)

    async def run(self) -> None:
        """Carry frames until the end."""
        self._tasks.start("cluster reader", self._read())
        self._tasks.start("cluster writer", self._write())
        self._tasks.start("cluster pulse", self._pulse())
        try:
            await self._over.wait()
        finally:
            await self._tasks.stop()

    def end(self, reason: str) -> None:
        """It is over now; the first reason counts."""
        if self.end_reason is None:
            self.end_reason = reason
            self._closing = True
            self._over.set()
            self._ended(self, reason)

    async def _read(self) -> None:
        incoming, events, node_id = self._incoming, self._events, self.node_id
        try:
            while not self._closing:
                frame = await self._wire.read()
                self._heard = True
                frames = incoming.add(frame.data)
                if frames and not self._closing:
                    events.peer_frames(node_id, frames)
        except WireBroken as broken:
            self.end(shown(broken.text))
        except BadFraming as fault:
            self.end(f"bad frames: {fault}")

    async def _write(self) -> None:
        try:
            while not self._closing:
                await self._waiting.wait()
                frame, taken = Frame(beat=Beat()), 0
                if self._outgoing:
                    message, taken = self._outgoing.take()
                    frame = Frame(data=message)
                if not self._outgoing:
                    self._waiting.clear()
                self._writing = True
                await self._wire.write(frame)
                self._writing = False
                self._wrote_at = self._clock.monotonic()
                self._unsent_bytes -= taken
        except WireBroken as broken:
            self.end(shown(broken.text))

    async def _pulse(self) -> None:
        before = self._clock.monotonic()
        while not self._closing:
            await asyncio.sleep(PULSE_SECONDS)
            now = self._clock.monotonic()
            # While this node was busy or stopped it could hear nothing: that says nothing of the peer.
            elapsed = min(now - before, 2 * PULSE_SECONDS)
            before = now
            self._silent_seconds = 0.0 if self._heard else self._silent_seconds + elapsed
            self._heard = False
            if self._silent_seconds >= SILENT_SECONDS:
                self.end(f"nothing was heard for {SILENT_SECONDS} seconds")
            elif not self._writing and now - self._wrote_at >= BEAT_SECONDS - PULSE_SECONDS:
                self._waiting.set()

    def _failed(self, task: str, error: BaseException) -> None:
        log.error("cluster_link_failed", peer=self.node_id, task=task, exc_info=error)
        self.end(f"a fault of this node: {error!r}")
