"""Clients whose sessions are on another node: who is relayed where, and what is told about each.

A session never moves between living nodes. The node that a client has come to proves who it is, and then passes its bytes
to the owner of the session, which runs an ordinary link on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.admission import Admitted
from rookery.engine.client_link import ClientLink
from rookery.engine.gate import bound_of_client
from rookery.engine.mountpoints import session_key
from rookery.engine.pace import Pace
from rookery.engine.peers.items import u64_at
from rookery.engine.peers.relay_entry import RelayEntry
from rookery.engine.peers.relay_handle import RelayHandle
from rookery.engine.peers.relay_items import (
    CLIENT_GONE,
    CLOSE,
    FROM_CLIENT,
    HEAD_BYTES,
    MOVED,
    OPEN,
    OPENED,
    TAKEN,
    TO_CLIENT,
    WRITTEN,
    Arrival,
    arrival_of,
    relay_item,
)
from rookery.engine.peers.remote_node import RemoteNode
from rookery.engine.review import NOT_REVIEWED
from rookery.engine.stats import (
    BOUND_CLIENT,
    END_CONNECTION_LOST,
    END_NOT_AUTHORIZED,
)
from rookery.mqtt.errors import MalformedPacket
from rookery.mqtt.packets import Connect
from rookery.mqtt.types import ReasonCode

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub

WRITTEN_PARTS: Final = 8
"""How often the owner is told of what is written while a client takes the limit of its output."""


class Relays:
    """All relayed clients of this node, at either end."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.broker = hub.broker
        self.dirty: list[RelayHandle] = []
        """Who has output to tell at the end of the turn."""
        self.starved: list[RelayHandle] = []
        """Who holds packets and had nothing of the last turn: first in the next."""
        self.unfinished: list[RelayHandle] = []
        self.stalled: dict[RelayEntry, bool] = {}
        """Clients that are not read from until their owner has taken more."""
        self._writing: dict[RelayEntry, bool] = {}
        """Clients that have not taken all, as far as was told."""
        self._entries: dict[int, RelayEntry] = {}
        self._handles: dict[tuple[str, int], RelayHandle] = {}
        self._number: int = 0
        self._authenticator_at: int = hub.broker.authenticator.generation

    @property
    def count(self) -> int:
        """Clients that are connected here and have their sessions elsewhere."""
        return len(self._entries)

    def brought(self, client: ClientLink) -> bool:
        """Whether another node brought a client to its session here."""
        return isinstance(client.io, RelayHandle)

    def more_connected(self) -> int:
        """How many more clients are connected here than sessions here have a link."""
        return len(self._entries) - len(self._handles)

    def start(
        self, client: ClientLink, connect: Connect, admitted: Admitted, node: RemoteNode
    ) -> None:
        """Relay a client to the node with its session."""
        assert node.link is not None
        self._number += 1
        entry = RelayEntry(self, self._number, node, node.link, client, connect, admitted)
        self._entries[entry.number] = entry
        client.elsewhere = entry
        arrival = Arrival(
            connect,
            admitted.principal,
            admitted.mountpoint,
            admitted.assigned,
            admitted.data,
            client.address,
            client.listener,
            client.io.certificate(),
        )
        entry.start(arrival.encode())
        self.broker.log_relayed(client, node.node_id)

    def take(self, node: RemoteNode, body: bytes) -> None:
        """Do what an item says. Raises ``PeerFault`` or ``IndexError`` where it makes no sense."""
        what = body[0]
        number = u64_at(body, 1)
        if what == OPEN:
            self._open(node, number, body[HEAD_BYTES:])
        elif what < OPENED:
            handle = self._handles.get((node.node_id, number))
            if handle is not None:
                self._take_from_entry(handle, what, body)
        else:
            entry = self._entries.get(number)
            if entry is not None and entry.node is node:
                self._take_from_owner(entry, what, body)

    def _take_from_entry(self, handle: RelayHandle, what: int, body: bytes) -> None:
        count = u64_at(body, HEAD_BYTES) if what == WRITTEN else 0
        try:
            if what == FROM_CLIENT:
                handle.feed(body[HEAD_BYTES:], self.broker.now)
            elif what == WRITTEN:
                handle.written(count, self.broker.now)
            elif what == CLIENT_GONE:
                handle.gone(body[HEAD_BYTES:].decode(errors="replace"))
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            self.broker.link_crashed(handle.client, error)

    def _take_from_owner(self, entry: RelayEntry, what: int, body: bytes) -> None:
        if what == TO_CLIENT:
            entry.give(body[HEAD_BYTES:])
            self._writing[entry] = True
        elif what == TAKEN:
            entry.taken(u64_at(body, HEAD_BYTES))
        elif what == OPENED:
            entry.open(int.from_bytes(body[HEAD_BYTES : HEAD_BYTES + 4], "big"))
        elif what == CLOSE:
            entry.close("the node with its session takes nobody now")
        elif what == MOVED:
            entry.moved()
        else:
            raise MalformedPacket(f"a relay knows no {what}")

    def _open(self, node: RemoteNode, number: int, body: bytes) -> None:
        """A client that another node relays is to have its session here."""
        arrival = arrival_of(body)
        broker = self.broker
        principal = arrival.principal
        key = session_key(arrival.mountpoint, principal.client_id)
        if key not in broker.registry.actors:
            node.put(relay_item(MOVED, number))
            return
        assert node.link is not None
        handle = RelayHandle(
            self, number, node, node.link, arrival.address, arrival.listener, arrival.certificate
        )
        self._handles[node.node_id, number] = handle
        client = handle.client
        protection = broker.settings.protection
        if protection.client is not None:
            bound = bound_of_client(protection.client, broker.now)
            client.pace = Pace([bound], BOUND_CLIENT if protection.client_exceeding_ends else "")
        broker.timers.at(client.connect_by, client)
        step = max(1, broker.settings.limits.output_bytes_max // WRITTEN_PARTS)
        node.put(relay_item(OPENED, number, min(step, 0xFFFFFFFF).to_bytes(4, "big")))
        client.connect = arrival.connect
        client.link.establish(arrival.connect.version)
        # Where it came in it was found to be permitted, by rules whose generations are that node's own.
        admitted = Admitted(
            principal, arrival.mountpoint, arrival.assigned, arrival.data, NOT_REVIEWED
        )
        broker.admission.claimed(client, arrival.connect, admitted)

    def forget(self, entry: RelayEntry) -> None:
        """A client is relayed no more."""
        self._entries.pop(entry.number, None)
        self.stalled.pop(entry, None)
        self._writing.pop(entry, None)

    def parted(self, handle: RelayHandle) -> None:
        """A client that came by another node has gone."""
        self._handles.pop((handle.node.node_id, handle.number), None)

    def begin_turn(self) -> None:
        """Go on with packets that were held, and send away who may not be here any more."""
        now = self.broker.now
        if self.starved or self.unfinished:
            working = self.starved + self.unfinished
            self.starved = []
            self.unfinished = []
            for handle in working:
                try:
                    handle.work(now)
                except Exception as error:  # noqa: BLE001 - the supervisor's boundary
                    self.broker.link_crashed(handle.client, error)
        generation = self.broker.authenticator.generation
        if generation != self._authenticator_at:
            self._authenticator_at = generation
            self._review()

    def _review(self) -> None:
        """Who proved here who it is must be let in here again; the owner could not tell."""
        broker = self.broker
        for entry in list(self._entries.values()):
            reason = broker.authenticator.still_admits(entry.admitted.principal)
            if reason is not None:
                broker.log_refusal(entry.client, "not_admitted_any_more", reason)
                entry.disconnect(ReasonCode.NOT_AUTHORIZED, END_NOT_AUTHORIZED)

    def end_turn(self) -> None:
        """Tell what this turn has for the other ends."""
        while self.dirty:
            dirty = self.dirty
            self.dirty = []
            for handle in dirty:
                try:
                    handle.flush()
                except Exception as error:  # noqa: BLE001 - the supervisor's boundary
                    handle.abort()
                    self.broker.link_crashed(handle.client, error)
        for entry in list(self._writing):
            if entry.tell_written():
                self._writing.pop(entry, None)
        for entry in list(self.stalled):
            if entry.read_on():
                self.stalled.pop(entry, None)

    def link_down(self, node: RemoteNode) -> None:
        """Nothing passes to a node or from it any more."""
        for handle in [each for each in self._handles.values() if each.node is node]:
            handle.lost(END_CONNECTION_LOST)
        for entry in [each for each in self._entries.values() if each.node is node]:
            entry.close("the node with its session was lost")

    def send_away(self, count: int, reason_code: ReasonCode, reason: str) -> int:
        """Send up to so many clients to another node, and tell how many that were."""
        leaving = list(self._entries.values())[:count]
        for entry in leaving:
            entry.disconnect(reason_code, reason)
        return len(leaving)
