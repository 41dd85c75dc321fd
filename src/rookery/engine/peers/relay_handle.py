"""The connection of a client that came by another node, as its link here sees it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rookery.engine.client_link import ClientLink
from rookery.engine.link_handle import CLOSED, LinkHandle
from rookery.engine.peers.relay_items import CLOSE, TAKEN, TO_CLIENT, relay_item
from rookery.engine.peers.remote_node import RemoteNode
from rookery.engine.stats import END_REASONS, END_SHUTDOWN
from rookery.ports import PeerCertificate, PeerLink

if TYPE_CHECKING:
    from rookery.engine.peers.relay import Relays

TOLD_BYTES: Final = 65_536
"""After how many bytes taken the entry is told."""


class RelayHandle(LinkHandle):
    """The owner's end of a relay."""

    def __init__(
        self,
        relays: Relays,
        number: int,
        node: RemoteNode,
        link: PeerLink,
        address: str,
        listener: str,
        certificate: PeerCertificate | None,
    ) -> None:
        super().__init__()
        self.relayed = True
        self.relays = relays
        self.number = number
        self.node = node
        self.link = link
        broker = relays.broker
        self._output_bytes_max = broker.settings.limits.output_bytes_max
        self._certificate = certificate
        self._dirty: bool = False
        self._working: bool = False
        self._paused: bool = False
        self._closing: bool = False
        self._open: bool = True
        self._gone: str = ""
        """Why the link has ended at the entry, while something that came before is not worked off."""
        self._waiting: deque[bytes] = deque()
        """What came and was not taken yet."""
        self._taken: int = 0
        self._told: int = 0
        self._sent: int = 0
        self.client = ClientLink(broker, self, address, listener, broker.now)

    def _put(self, what: int, rest: bytes = b"") -> None:
        if self.node.link is self.link:
            self.node.put(relay_item(what, self.number, rest))

    def request_flush(self) -> None:
        """Have the link's output told at the end of this turn."""
        if not self._dirty and self._open:
            self._dirty = True
            self.relays.dirty.append(self)
            self.relays.broker.request_turn()

    def flush(self) -> None:
        """Tell the entry what this turn has for the client."""
        self._dirty = False
        if not self._open:
            return
        data = self.client.take_output()
        if data:
            self._put(TO_CLIENT, data)
            self._sent += len(data)
            self.unsent_bytes += len(data)
        if self._closing:
            self._put(CLOSE)
            self._shut()

    def request_work(self, first: bool = False) -> None:
        """Go on in the next turn. (See the base class.)"""
        if not self._working and self._open:
            self._working = True
            (self.relays.starved if first else self.relays.unfinished).append(self)
            self.relays.broker.request_turn()

    def work(self, now: float) -> None:
        """Go on with the packets held, then with what came behind them."""
        self._working = False
        if not self._open or self._closing:
            return
        self._paused = False
        self.client.work(now)
        while self._waiting and self._may_take():
            self._take(self._waiting.popleft(), now)
        if self._gone:
            self.gone(self._gone)

    def feed(self, data: bytes, now: float) -> None:
        """Bytes came from the client."""
        if not self._open or self._closing:
            return
        if self._waiting or not self._may_take():
            self._waiting.append(data)
        else:
            self._take(data, now)

    def _may_take(self) -> bool:
        # A client that does not read what it caused is not read from either.
        return (
            not self._paused
            and not self._closing
            and self._open
            and (self.unsent_bytes <= self._output_bytes_max or self._gone != "")
        )

    def _take(self, data: bytes, now: float) -> None:
        self._taken += len(data)
        if self._taken - self._told >= TOLD_BYTES:
            self._told = self._taken
            self._put(TAKEN, self._taken.to_bytes(8, "big"))
        self.client.received(data, now)

    def written(self, count: int, now: float) -> None:
        """The client's connection has taken so many bytes."""
        self.unsent_bytes = self._sent - count
        self.client.writable(now)
        if self._waiting and self._may_take():
            self.request_work()

    def pause(self) -> None:
        """Take nothing more until ``resume``: the entry then reads nothing more either."""
        self._paused = True

    def resume(self) -> None:
        """Take again."""
        self._paused = False
        if self._waiting or self._gone:
            self.request_work()

    def close(self) -> None:
        """Tell what is out, then end the connection."""
        if self._open and not self._closing:
            self._closing = True
            self._waiting.clear()
            self.request_flush()

    def abort(self) -> None:
        """End the connection at once."""
        if self._open:
            self._put(CLOSE)
            self._shut()

    def certificate(self) -> PeerCertificate | None:
        """The client's certificate, as the entry verified it."""
        return self._certificate

    def gone(self, reason: str) -> None:
        """The link ended at the entry, after what it passed before."""
        self._gone = reason
        if self._waiting and not self._paused:
            self.request_work()
        if not self._waiting and not self._paused:
            self.lost(reason)

    def lost(self, reason: str) -> None:
        """The link has ended, whatever is not worked off."""
        if not self._open:
            return
        self._shut()
        client = self.client
        if reason == END_SHUTDOWN and client.actor is not None:
            client.actor.set_will(None)  # The client did nothing wrong and may be back at once.
        if reason in END_REASONS:
            client.end(reason)
        else:
            client.lost()

    def _shut(self) -> None:
        self._open = False
        self._waiting.clear()
        self.relays.parted(self)
        self.client.io = (
            CLOSED  # Two objects that point at each other would wait for the collector.
        )
