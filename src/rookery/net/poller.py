"""The data plane's own readiness set: one ``epoll`` inside the event loop's.

The loop watches a single descriptor, that of this set. When it is readable one call tells every socket
that is ready; all are read, then all sessions drained, then everything written once. So a client that
is sent to by fifty others in one wake-up is written to once.
"""

import asyncio
import select
from typing import Final

from rookery.actors.timers import TICK_SECONDS
from rookery.engine.broker import Broker
from rookery.net.handshakes import Handshakes
from rookery.net.pollable import Pollable

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT


class Poller:
    """Drives the turns of one broker."""

    def __init__(self, broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
        self.dirty: list[Pollable] = []
        """Who has output to write at the end of the turn."""
        self.starved: list[Pollable] = []
        """Who holds packets and had nothing of the last turn: first in the next."""
        self.unfinished: list[Pollable] = []
        """Who holds packets that the last turn had no more room for."""
        self.handshakes = Handshakes(broker.clock)
        self._broker = broker
        self._loop = loop
        self._epoll = select.epoll()
        self._pollables: dict[int, Pollable] = {}
        self._turn_requested: bool = False
        self._timer: asyncio.TimerHandle | None = None
        broker.request_turn = self.request_turn

    def start(self) -> None:
        """Begin to drive: turns come with readiness, and with every tick of the timers."""
        self._loop.add_reader(self._epoll.fileno(), self.turn)
        self._tick()

    def stop(self) -> None:
        """Drive no more; what is still registered is forgotten."""
        self._loop.remove_reader(self._epoll.fileno())
        if self._timer is not None:
            self._timer.cancel()
        self._epoll.close()
        self._pollables.clear()

    def add(self, fd: int, pollable: Pollable) -> None:
        """Tell ``pollable`` when its descriptor is readable."""
        self._pollables[fd] = pollable
        self._epoll.register(fd, READABLE)

    def watch(self, fd: int, readable: bool, writable: bool) -> None:
        """Change what the descriptor is watched for."""
        self._epoll.modify(fd, (READABLE if readable else 0) | (WRITABLE if writable else 0))

    def remove(self, fd: int) -> None:
        """Forget the descriptor; before it is closed."""
        if self._pollables.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def request_turn(self) -> None:
        """Have a turn run soon, once."""
        if not self._turn_requested:
            self._turn_requested = True
            self._loop.call_soon(self.turn)

    def turn(self) -> None:
        """One turn: read all that is ready, drain, commit, write."""
        if self._epoll.closed:
            return  # Asked for before the stop.
        broker = self._broker
        self._turn_requested = False
        broker.begin_turn()
        now = broker.now
        if self.unfinished or self.starved:
            # Those that had nothing come first: else one that always has more would keep them waiting.
            unfinished = self.starved + self.unfinished
            self.starved = []
            self.unfinished = []
            for pollable in unfinished:
                pollable.work(now)
        self.handshakes.begin_turn(now)
        pollables = self._pollables
        for fd, mask in self._epoll.poll(0):
            pollable_ready = pollables.get(fd)
            if pollable_ready is not None:  # An earlier one of this turn may have closed it.
                pollable_ready.ready(mask, now)
        broker.end_turn()
        self._flush(now)
        if self.unfinished or self.starved or self.handshakes.waiting:
            self.request_turn()

    def _flush(self, now: float) -> None:
        while self.dirty:
            dirty = self.dirty
            self.dirty = []
            for pollable in dirty:
                pollable.flush(now)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        self.turn()
