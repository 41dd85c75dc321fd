"""What a peer must know before it counts as one: all our routes, and the retained messages we keep.

Told at the start of every link, some each turn, so that neither side stalls however many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.peers.items import RETAINED, SYNCED, item, route_item
from rookery.engine.peers.remote_node import RemoteNode
from rookery.routing.retained import RetainedCursor

if TYPE_CHECKING:
    from rookery.engine.peers.hub import Hub

ROUTES_PER_TURN: Final = 2_000
RETAINED_PER_TURN: Final = 500
AHEAD_BYTES_MAX: Final = 4_194_304
"""What may wait to be sent before the next part is told."""


class Sync:
    """One peer, and what it has not been told yet."""

    def __init__(self, node: RemoteNode, keys: list[str], cursor: RetainedCursor) -> None:
        self.node = node
        self.link = node.link
        self.keys = keys
        self.at: int = 0
        self.cursor = cursor


class Syncing:
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
        self._under_way = [
            sync for sync in self._under_way if sync.node.link is sync.link and not self._tell(sync)
        ]
        if self._under_way:
            self._hub.broker.request_turn()

    def _tell(self, sync: Sync) -> bool:
        """Tell one peer a part; True when that was the last."""
        hub = self._hub
        node = sync.node
        link = node.link
        if link is None or link.unsent_bytes > AHEAD_BYTES_MAX:
            return False
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
