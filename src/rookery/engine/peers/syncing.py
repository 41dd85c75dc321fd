"""What a peer must know before it counts as one: all our routes, and the retained messages we keep.

Told at the start of every link, some each turn, so that neither side stalls however many there are. A peer that takes
it slowly is looked at again after a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.actors.timers import Timed
from rookery.engine.peers.items import RETAINED, SYNCED, item, route_item
from rookery.engine.peers.remote_node import RemoteNode
from rookery.routing.retained import RetainedCursor

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub

ROUTES_PER_TURN: Final = 2_000
RETAINED_PER_TURN: Final = 500
AHEAD_BYTES_MAX: Final = 4_194_304
"""What may wait to be sent before the next part is told."""
SLOW_SECONDS: Final = 0.1
"""After which a peer that takes it slowly is looked at again."""


class Sync:
    """One peer, and what it has not been told yet."""

    def __init__(self, node: RemoteNode, keys: list[str], cursor: RetainedCursor) -> None:
        self.node = node
        self.link = node.link
        self.keys = keys
        self.at: int = 0
        self.cursor = cursor


class Syncing(Timed):
    """All peers that are being told."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._under_way: list[Sync] = []

    def begin(self, node: RemoteNode) -> None:
        """Tell a peer everything, from this turn on. What changes meanwhile is told as ever."""
        keys = list(self._hub.routes.announced)
        self._under_way.append(Sync(node, keys, self._hub.broker.retained.everything()))

    def go_on(self) -> None:
        """Tell some more."""
        if not self._under_way:
            return
        broker = self._hub.broker
        left: list[Sync] = []
        slow = True
        for sync in self._under_way:
            link = sync.link
            if link is None or sync.node.link is not link:
                continue
            if link.unsent_bytes > AHEAD_BYTES_MAX:
                left.append(sync)
            elif not self._tell(sync):
                left.append(sync)
                slow = False
        self._under_way = left
        if not slow:
            broker.request_turn()
        elif left:
            broker.timers.at(broker.now + SLOW_SECONDS, self)

    def due(self, now: float) -> None:
        """A slow peer may have taken something: the turn that begins goes on."""

    def _tell(self, sync: Sync) -> bool:
        """Tell one peer a part; True when that was the last."""
        hub = self._hub
        node = sync.node
        stop = min(sync.at + ROUTES_PER_TURN, len(sync.keys))
        for key in sync.keys[sync.at : stop]:
            value = hub.routes.announced.get(key, 0)
            if value:
                node.wait_for(node.put(route_item(key, value)))
        sync.at = stop
        if stop < len(sync.keys):
            return False
        for message in sync.cursor.take(RETAINED_PER_TURN, hub.broker.now):
            if message.position:
                node.put(item(RETAINED, hub.entry_of(message, "")))
        if not sync.cursor.done:
            return False
        hub.departed.tell(node)
        node.wait_for(node.put(item(SYNCED, b"")))
        node.told_all = True
        hub.routes.told()
        return True
