"""One open link to a peer: what the engine sends and receives by it, and signs of life.

The pulse sends a beat when nothing else was sent for half a second, and ends the link when nothing was heard for a
second and a half: that finds what no reset tells of, a peer that was stopped, a cable, a network that lets
through one direction only.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from rookery.actors.tasks import Tasks
from rookery.cluster.framing import BEAT, BadFraming, Incoming, farewell, head_of
from rookery.cluster.opening import Opening
from rookery.cluster.refusals import shown
from rookery.cluster.wire import Wire, WireBroken
from rookery.ports import Clock, PeerEvents

log: Final = structlog.get_logger("rookery.cluster")

BEAT_SECONDS: Final = 0.5
SILENT_SECONDS: Final = 1.5
PULSE_SECONDS: Final = 0.125
CLOSE_SECONDS_MAX: Final = 1.0
"""How long a peer may take to hear that the link ends."""
UNSENT_BYTES_MAX: Final = 512 * 1024 * 1024
"""The engine stops far below; this is what keeps a peer that takes nothing from costing the node its memory."""


class Stream(asyncio.Protocol):
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
        """``wire`` is the call in which the nodes have shaken hands: its end is that of the link."""
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
        self._gone = asyncio.Event()
        """Whether nothing is left of the connection."""
        self._transport: asyncio.Transport | None = None
        self._incoming = Incoming()
        self._early = b""
        """What came before there was anybody to take it."""
        self._wrote_at = self.since
        self._heard = False
        self._silent_seconds = 0.0
        self._closing = False

    @property
    def unsent_bytes(self) -> int:
        """What was given to ``send`` and the system has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def silent_seconds(self) -> float:
        """For how long nothing was heard."""
        return 0.0 if self._heard else self._silent_seconds

    def attach(self, opening: Opening) -> None:
        """Take the connection over which frames go, before the link is the engine's. Raises ``WireBroken``."""
        self._early = opening.hand_over(self)
        self._transport = opening.transport
        self._transport.write(BEAT)

    def send(self, frame: bytes) -> None:
        """Send a frame, without waiting. What is sent by a link that ended goes nowhere."""
        transport = self._transport
        if self._closing or transport is None:
            return
        transport.writelines((head_of(frame), frame))
        self._wrote_at = self._clock.monotonic()
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self.close(f"{UNSENT_BYTES_MAX} bytes wait for the peer to take them")

    def close(self, reason: str) -> None:
        """End the link, after the call in which it was asked for."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.end, reason)

    async def run(self) -> None:
        """Carry frames until the end."""
        self._tasks.start("cluster call", self._watch_call())
        self._tasks.start("cluster pulse", self._pulse())
        try:
            if self._early:
                self.data_received(self._early)
            await self._over.wait()
        finally:
            await self._tasks.stop()
            await self._be_gone()

    def end(self, reason: str) -> None:
        """It is over now; the first reason counts."""
        if self.end_reason is None:
            self.end_reason = reason
            self._closing = True
            self._say_farewell(reason)
            self._over.set()
            self._ended(self, reason)

    def data_received(self, data: bytes) -> None:
        """Tell the engine of the frames that are complete now."""
        self._heard = True
        try:
            frames = self._incoming.add(data)
        except BadFraming as fault:
            self.end(f"bad frames: {fault}")
            return
        if frames and not self._closing:
            self._events.peer_frames(self.node_id, frames)
        if self._incoming.farewell is not None:
            self.end(shown(self._incoming.farewell))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; by our own fault, where it is no error of the system."""
        if exc is not None and not isinstance(exc, OSError):
            self._failed("cluster connection", exc)
        self._gone.set()
        self.end("the connection was lost" if exc is None else f"the connection was lost: {exc}")

    def _say_farewell(self, reason: str) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size():
            transport.abort()  # Who does not take what came before would not hear it.
        else:
            transport.write(farewell(reason))
            transport.close()

    async def _be_gone(self) -> None:
        if self._transport is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._gone.wait()
        except TimeoutError:
            self._transport.abort()

    async def _watch_call(self) -> None:
        try:
            while not self._closing:
                await self._wire.read()
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
            elif not self.unsent_bytes and now - self._wrote_at >= BEAT_SECONDS - PULSE_SECONDS:
                self._beat(now)

    def _beat(self, now: float) -> None:
        if self._transport is not None and not self._closing:
            self._transport.write(BEAT)
            self._wrote_at = now

    def _failed(self, task: str, error: BaseException) -> None:
        log.error("cluster_link_failed", peer=self.node_id, task=task, exc_info=error)
        self.end(f"a fault of this node: {error!r}")
