"""What stands at this moment, read from its owners when somebody asks."""

from rookery.engine.broker import Broker


class BrokerGauges:
    """``rookery.engine.stats.Gauges`` of one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def connections(self) -> int:
        """Links with an accepted CONNECT."""
        return self._broker.registry.attached

    def sessions(self) -> int:
        """Sessions, with or without a link."""
        return len(self._broker.registry.actors)

    def subscriptions(self) -> int:
        """Subscriptions of all sessions, shared ones among them."""
        return self._broker.router.subscription_count

    def shared_subscriptions(self) -> int:
        """Subscriptions that are members of a share group."""
        return self._broker.router.share_count

    def topics(self) -> int:
        """Different topic filters with a subscriber."""
        return self._broker.router.filter_count

    def retained_messages(self) -> int:
        """Topics with a retained message."""
        return self._broker.retained.count

    def retained_bytes(self) -> int:
        """Bytes the retained messages take against their limit."""
        return self._broker.retained.bytes

    def queued_messages(self) -> int:
        """Messages waiting for a session: outbound queues, backlogs, unacknowledged deliveries."""
        return sum(actor.inflight_count() for actor in self._broker.registry.actors.values())

    def paced_clients(self) -> int:
        """Links that are not read from for a while because of a rate."""
        return self._broker.gate.paced

    def relayed_clients(self) -> int:
        """Clients that are connected here and have their sessions on other nodes."""
        peers = self._broker.peers
        return 0 if peers is None else peers.relays.count

    def half_open(self) -> int:
        """Connections whose CONNECT has not come yet."""
        return self._broker.gate.half_open_count

    def overload_level(self) -> int:
        """How overloaded the node is: 0 not, 1 work is shed, 2 connections are refused too."""
        return self._broker.overload.level

    def bans(self) -> int:
        """Bans in force."""
        return self._broker.bans.count()

    def store_bytes(self) -> int:
        """What the store takes, on disk or in memory."""
        return self._broker.store.bytes_used()

    def store_problems(self) -> int:
        """How many things are wrong with the store."""
        return len(self._broker.store.problems())
