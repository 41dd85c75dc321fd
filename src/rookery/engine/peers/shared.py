"""What another node gives to a share group's member here, or sends on where the last one here has left meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.actors.clock import chance
from rookery.engine.stats import DROP_SESSION_ENDED
from rookery.message import Message
from rookery.mqtt.topics import split_share

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.peers.remote_node import RemoteNode


def receive_shared(broker: Broker, message: Message, share: str) -> int:
    """Give a message of which another node chose a member of ours; the commit group it is kept in, 0 for none.

    Where we have none any more it goes to another node with members, and if a durable one is among those we keep it
    until it is there: who chose us is told that we have it. That we have none is told before it, so no node that has
    none either sends it back to us.
    """
    shared = split_share(share)
    group = None if shared is None else broker.router.share(shared[0], shared[1])
    recipient = None if group is None else group.pick_local(chance(), False)
    if group is not None and recipient is None:
        if broker.peers is not None:
            broker.peers.routes.announce()
        recipient = group.pick(chance(), None)
    if recipient is None:
        node = _not_heard_of(broker)
        if node is not None and message.qos:
            return node.keep(message, share)
        broker.stats.drop(DROP_SESSION_ENDED)
        return 0
    broker.publishing.deliveries += 1
    return broker.publishing.give(message, recipient, share)


def _not_heard_of(broker: Broker) -> RemoteNode | None:
    """A node that has not told yet what its sessions ask for, as after our start: it may have members, or know who has.

    A message that is kept for it stays here until there is a link to it, so two such nodes do not pass it to and fro.
    """
    if broker.peers is not None:
        for node in broker.peers.nodes.values():
            if node.member and not node.synced and not node.joining:
                return node
    return None
