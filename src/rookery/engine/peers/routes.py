"""Which filters each node's sessions have: told with every change, and kept for every other node in the router.

A SUBACK leaves when all nodes have acknowledged that they know the filter, so a message published anywhere after it finds
its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.engine.peers.items import (
    DURABLE,
    attached_of,
    members_of,
    qos_of,
    route_item,
    route_value,
    share_qos_of,
    share_value,
)
from rookery.engine.peers.remote_node import RemoteMember, RemoteNode
from rookery.mqtt.topics import split_share
from rookery.routing.subscriber import Subscription

if TYPE_CHECKING:
    from rookery.engine.client_link import ClientLink
    from rookery.engine.peers.hub import Hub


class Routes:
    """Our routes as the others know them, and theirs."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.announced: dict[str, int] = {}
        """By filter, with its share prefix: the value last told."""
        self._told_in: int = 0
        """The last turn that told a route."""
        self._stalled: list[ClientLink] = []
        """Whose SUBACK waits until all members have a link, or are none any more."""
        self._members: dict[tuple[RemoteNode, str], list[RemoteMember]] = {}
        """By node and share group."""

    def ticket(self) -> int:
        """What a SUBACK waits for, now that its filters are subscribed to."""
        if self._hub.broker.router.changed:
            return self._hub.ticket()
        return self._told_in

    def told(self) -> None:
        """A node was told all of them, and among them what it had missed."""
        self._told_in = self._hub.number
        self.let_go_on()

    def can_be_known(self, client: ClientLink) -> bool:
        """Whether all members have been told our routes; else the link is asked to go on when that may be so."""
        members = [node for node in self._hub.nodes.values() if node.member]
        if all(node.told_all or node.joining for node in members):
            return True
        self._stalled.append(client)
        return False

    def let_go_on(self) -> None:
        """Let those look again who wait for members without a link."""
        stalled, self._stalled = self._stalled, []
        for client in stalled:
            if client.filters is not None:
                client.filters.stalled = False
                client.io.request_work()

    def announce(self) -> None:
        """Tell what has changed in this turn."""
        hub = self._hub
        router = hub.broker.router
        changed = router.changed
        if not changed:
            return
        router.changed = set()
        for key in changed:
            value = self._value(key)
            if value == self.announced.get(key, 0):
                continue
            if value:
                self.announced[key] = value
            else:
                del self.announced[key]
            data = route_item(key, value)
            for node in hub.nodes.values():
                if node.link is not None:
                    node.wait_for(node.put(data))
                    self._told_in = hub.number

    def _value(self, key: str) -> int:
        router = self._hub.broker.router
        shared = split_share(key)
        if shared is None:
            found, durable = router.local_audience(key)
            return route_value(found, durable)
        group = router.share(shared[0], shared[1])
        if group is None:
            return 0
        members, attached, durable, qos_max = group.local_counts()
        return share_value(members, attached, qos_max, durable) if members else 0

    def learn(self, node: RemoteNode, key: str, value: int) -> None:
        """A node's sessions ask for something else than before."""
        before = node.routes.get(key, 0)
        if value:
            node.routes[key] = value
        else:
            node.routes.pop(key, None)
        if value == before:
            return
        shared = split_share(key)
        if shared is not None:
            self._learn_share(node, key, shared[0], shared[1], value)
        elif value:
            router = self._hub.broker.router
            qos = qos_of(value)
            durable = 1 if value & DURABLE else 0
            router.subscribe(node, Subscription(key, qos, False, True, 0, durable), None)
        else:
            self._hub.broker.router.unsubscribe(node, key, None)

    def _learn_share(
        self, node: RemoteNode, key: str, name: str, topic_filter: str, value: int
    ) -> None:
        router = self._hub.broker.router
        members = self._members.setdefault((node, key), [])
        wanted = members_of(value)
        while len(members) > wanted:
            router.unsubscribe(members.pop(), topic_filter, name)
        while len(members) < wanted:
            members.append(RemoteMember(node, True))
        attached = attached_of(value)
        durable = 1 if value & DURABLE else 0
        for index, member in enumerate(members):
            member.attached = index < attached and node.link is not None
            router.subscribe(
                member,
                Subscription(topic_filter, share_qos_of(value), False, True, 0, durable),
                name,
            )
        if not members:
            del self._members[node, key]

    def link_changed(self, node: RemoteNode) -> None:
        """Members of share groups count as attached only while their node can be told."""
        for key, value in list(node.routes.items()):
            shared = split_share(key)
            if shared is not None:
                self._learn_share(node, key, shared[0], shared[1], value)

    def forget_all_but(self, node: RemoteNode, kept: set[str]) -> None:
        """Of what a node asked for before, only these filters were told again."""
        for key in [each for each in node.routes if each not in kept]:
            self.learn(node, key, 0)
