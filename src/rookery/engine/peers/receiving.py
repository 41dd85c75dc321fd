"""What other nodes tell, by the kind of the item: each takes effect here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.engine.peers.items import (
    ADOPTED,
    ASLEEP,
    CLAIM,
    CLAIMED,
    CLIENTS,
    HANDED,
    HEADER_BYTES,
    HOLDING,
    KEPT,
    LIGHT,
    PUBLISH,
    RELAY,
    RETAINED,
    ROUTE,
    SWITCHED,
    SYNCED,
    item,
    text_of,
    u64_at,
)
from rookery.engine.peers.plain import LastHead, plain_message
from rookery.engine.peers.remote_node import RemoteNode
from rookery.message import Message, node_message
from rookery.mqtt.errors import MalformedPacket
from rookery.records import Entry, decode_message

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub


class Receiving:
    """Takes items."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.last_head = LastHead()
        self._told: dict[str, set[str]] = {}
        """By node: the filters it told since its link is up, until it has told all."""

    def take(self, node: RemoteNode, kind: int, frame: bytes, at: int, end: int) -> int:
        """Do what an item says, whose body lies there in a frame.

        Returns the commit group it is done with, 0 when it is done already. Raises ``PeerFault`` or
        ``IndexError`` where the item makes no sense.
        """
        if kind in (PUBLISH, LIGHT):
            message = plain_message(frame, at, end)
            if message is None:
                return self._publish(node, self._entry(frame[at:end]))
            self.last_head.learn(kind, frame, at - HEADER_BYTES, message)
            return self.publish(node, message)
        return self._take_seldom(node, kind, frame[at:end])

    def publish(self, node: RemoteNode, message: Message) -> int:
        """Publish a message that no share group is meant by; the commit group it is kept in, 0 for none."""
        broker = self._hub.broker
        broker.stats.messages_from_peers += 1
        return broker.publishing.receive_from_peer(message, "", node.asleep)

    def _take_seldom(self, node: RemoteNode, kind: int, body: bytes) -> int:
        if kind == KEPT:
            origin, rest = text_of(body)
            number = u64_at(rest, 0)
            if not self._hub.marks.is_new(origin, number):
                return self._hub.marks.group_of(origin, number)
            committer = self._hub.broker.committer
            entry = self._entry(rest[8:])
            committer.origin, committer.origin_number = origin, number
            try:
                self._publish(node, entry)
            finally:
                committer.origin, committer.origin_number = "", 0
            return self._hub.marks.note(origin, number)
        if kind == ROUTE:
            self._route(node, body)
        elif kind == RETAINED:
            self._retained(node, self._entry(body).message)
        elif kind == HANDED:
            cell, rest = text_of(body)
            origin, rest = text_of(rest)
            return self._hub.departed.handed(cell, origin, u64_at(rest, 0), self._entry(rest[8:]))
        elif kind == ADOPTED:
            cell, rest = text_of(body)
            self._hub.departed.adopted(cell, u64_at(rest, 0), node)
        elif kind == HOLDING:
            self._hub.departed.holds(node, body)
        elif kind == CLIENTS:
            node.clients = u64_at(body, 0)
        elif kind == ASLEEP:
            node.asleep.add(text_of(body)[0])
        elif kind == SWITCHED:
            node.asleep.discard(text_of(body)[0])
        elif kind == SYNCED:
            node.synced = True
            self._hub.routes.forget_all_but(node, self._told.pop(node.node_id, set()))
            self._hub.departed.all_have_spoken()
        elif kind == RELAY:
            self._hub.relays.take(node, body)
        elif kind == CLAIM:
            self._hub.claims.asked(node, body)
        elif kind == CLAIMED:
            self._hub.claims.answered(node, body)
        else:
            raise MalformedPacket(f"there is no item of kind {kind}")
        return 0

    def link_lost(self, node: RemoteNode) -> None:
        """What was told so far of all routes is no whole any more."""
        self._told.pop(node.node_id, None)
        self._hub.routes.link_changed(node)

    def _entry(self, data: bytes) -> Entry:
        return decode_message(data, self._hub.broker.committer.wall_minus_monotonic)

    def _publish(self, node: RemoteNode, entry: Entry) -> int:
        broker = self._hub.broker
        broker.stats.messages_from_peers += 1
        return broker.publishing.receive_from_peer(entry.message, entry.share, node.asleep)

    def _retained(self, node: RemoteNode, message: Message) -> None:
        hub = self._hub
        broker = hub.broker
        broker.publishing.retain_from_peer(message)
        cleared = hub.cleared.get(message.topic, 0)
        if (
            message.payload
            and message.stamp < cleared
            and broker.retained.get(message.topic) is None
        ):
            # It was not there when this was cleared, and would keep for good what nobody else has.
            clearing = node_message(message.topic, b"", True, broker.now)
            clearing.stamp = cleared
            node.put(item(RETAINED, hub.entry_of(clearing, "")))

    def _route(self, node: RemoteNode, body: bytes) -> None:
        value = u64_at(b"\0\0\0\0" + body[:4], 0)
        key, _ = text_of(body[4:])
        if not node.synced:
            told = self._told.setdefault(node.node_id, set())
            if value:
                told.add(key)
            else:
                told.discard(key)
        self._hub.routes.learn(node, key, value)
