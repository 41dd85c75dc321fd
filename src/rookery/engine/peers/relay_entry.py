"""A client whose session is on another node, where it is connected: its bytes pass through, undecoded.

Neither side sends without bound. The owner tells how much of the client's it has taken, and beyond a window nothing more
is read from the client; it is told how much the client has taken, which stands for the unsent bytes of a
connection there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.client_link import RELAYED, ClientLink
from rookery.engine.elsewhere import Elsewhere
from rookery.engine.last_words import last_words
from rookery.engine.pacing import keep_pace
from rookery.engine.peers.relay_items import CLIENT_GONE, FROM_CLIENT, OPEN, WRITTEN, relay_item
from rookery.engine.peers.remote_node import RemoteNode
from rookery.engine.stats import END_CONNECTION_LOST
from rookery.mqtt.packets import Connect
from rookery.mqtt.types import V5, ReasonCode
from rookery.ports import PeerLink

if TYPE_CHECKING:
    from rookery.engine.admission import Admitted
    from rookery.engine.peers.relay import Relays

WINDOW_BYTES: Final = 262_144
"""What the owner may have not taken before its client is not read from."""
AHEAD_BYTES_MAX: Final = 4_194_304
"""What may wait to be sent to a node before none of its clients is read from."""


class RelayEntry(Elsewhere):
    """One client here with its session there."""

    def __init__(
        self,
        relays: Relays,
        number: int,
        node: RemoteNode,
        link: PeerLink,
        client: ClientLink,
        connect: Connect,
        admitted: Admitted,
    ) -> None:
        self.relays = relays
        self.number = number
        self.node = node
        self.link = link
        self.client = client
        self.connect = connect
        self.admitted = admitted
        self.opened: bool = False
        """Whether the owner has taken it, so that its bytes pass."""
        self._passed: int = 0
        """Bytes of the client's that went to the owner."""
        self._taken: int = 0
        self._given: int = 0
        """Bytes for the client that came from the owner."""
        self._written: int = 0
        """How many of them the owner knows to be written."""
        self._step: int = 1

    def start(self, arrival: bytes) -> None:
        """Ask the owner to take the client."""
        self._put(OPEN, arrival)

    def _put(self, what: int, rest: bytes = b"") -> None:
        if self.node.link is self.link:
            self.node.put(relay_item(what, self.number, rest))

    def open(self, step: int) -> None:
        """The owner has taken it: from now on bytes pass, first those behind the CONNECT."""
        client = self.client
        self.opened = True
        self._step = step
        client.stage = RELAYED
        self.relays.broker.gate.join(client, self.admitted.principal.name)
        client.io.resume()
        rest = client.link.take_rest()
        if rest:
            self._pass(client, rest)

    def received(self, client: ClientLink, data: bytes, now: float) -> None:
        """Pass what the client sent."""
        pace = client.pace
        if pace is not None:
            pace.charge(len(data), now)
        self._pass(client, data)
        if pace is not None:
            keep_pace(client, pace, now)

    def _pass(self, client: ClientLink, data: bytes) -> None:
        self._passed += len(data)
        self._put(FROM_CLIENT, data)
        self.relays.broker.request_turn()
        if not self._may_read(WINDOW_BYTES):
            client.io.pause()
            self.relays.stalled[self] = True

    def _may_read(self, window_bytes: int) -> bool:
        ahead = self.link.unsent_bytes + self.node.outbox_bytes
        return self._passed - self._taken <= window_bytes and ahead <= AHEAD_BYTES_MAX

    def taken(self, count: int) -> None:
        """The owner has taken so many bytes of the client's."""
        self._taken = count

    def read_on(self) -> bool:
        """Read from the client again if that may be; else False."""
        if not self._may_read(WINDOW_BYTES // 2):
            return False
        pace = self.client.pace
        if pace is None or not pace.waiting:
            self.client.io.resume()
        return True

    def give(self, data: bytes) -> None:
        """Write something to the client."""
        link = self.client.link
        link.out.append(data)
        link.out_bytes += len(data)
        self._given += len(data)
        self.client.io.request_flush()

    def tell_written(self) -> bool:
        """Tell the owner what the client has taken, if that is worth it; True when all is told that is."""
        client = self.client
        waiting = client.io.unsent_bytes + client.link.out_bytes
        written = self._given - waiting
        if written - self._written >= self._step:
            self._written = written
            self._put(WRITTEN, written.to_bytes(8, "big"))
        if client.link.out_bytes and self._given - self._written >= self._step:
            self.relays.broker.request_turn()  # It is written at the end of this one.
        return waiting == 0

    def due(self, client: ClientLink, now: float) -> None:
        """Its keep alive is the owner's to watch; until it is taken its CONNECT has a deadline."""
        if not self.opened and now >= client.connect_by:
            text = "the node with its session did not take it in time"
            self._refuse(text, END_CONNECTION_LOST)

    def _refuse(self, text: str, reason: str) -> None:
        client = self.client
        self._leave(reason)
        self.relays.broker.admission.refuse_claim(client, ReasonCode.SERVER_UNAVAILABLE, text)

    def disconnect(self, reason_code: ReasonCode, reason: str) -> None:
        """Send the client away, between two packets of its owner's."""
        client = self.client
        if not self.opened:
            self._refuse("the node sends its clients away", reason)
            return
        if client.link.version == V5:
            client.link.send(last_words(self.relays.broker, reason_code, ""))
        self._leave(reason)
        client.end(reason)

    def close(self, text: str) -> None:
        """The link is over at the owner. ``text`` is why, where it never was let in."""
        client = self.client
        if self.opened:
            self._forget()
            client.end(END_CONNECTION_LOST)
        else:
            self._refuse(text, END_CONNECTION_LOST)

    def ended(self, client: ClientLink, reason: str) -> None:
        """The client has gone."""
        self._leave(reason)

    def _leave(self, reason: str) -> None:
        self._put(CLIENT_GONE, reason.encode())
        self.relays.broker.request_turn()
        self._forget()

    def _forget(self) -> None:
        client = self.client
        client.elsewhere = None
        self.relays.broker.gate.part(client)
        self.relays.forget(self)

    def moved(self) -> None:
        """The session has gone from the owner: find out where it is now."""
        client = self.client
        self._forget()
        self.relays.hub.claims.again(client, self.connect, self.admitted)
