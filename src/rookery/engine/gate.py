"""The gate: which connections may be made, before their clients have said a word, and what each may take.

It counts connections by listener, address and user. Of those whose CONNECT has not come it keeps a line:
when an address has too many of them, its oldest goes, and when the node has, the oldest of all. So whoever
opens connections and says nothing pushes out its own first, and an honest client, whose CONNECT follows at
once, always finds a place.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, final

from rookery.engine.addresses import Addresses
from rookery.engine.bucket import Bucket, bucket_of
from rookery.engine.pace import Bound, Pace
from rookery.engine.settings import Rates
from rookery.engine.stats import (
    BOUND_CLIENT,
    BOUND_LISTENER,
    REFUSED_ADDRESS_FULL,
    REFUSED_ADDRESS_RATE,
    REFUSED_BANNED,
    REFUSED_HALF_OPEN,
    REFUSED_LISTENER_FULL,
)

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.client_link import ClientLink


@final
class Quota:
    """What one listener's connections may take together."""

    def __init__(self, rates: Rates | None, connections_max: int | None, now: float) -> None:
        self.connections_max = connections_max
        self.open: int = 0
        """Its connections now."""
        self.connects: Bucket | None = None
        self.bound: Bound | None = None
        if rates is not None:
            burst_seconds = rates.burst_seconds
            self.connects = bucket_of(rates.connects_per_second_max, burst_seconds, now)
            messages = bucket_of(rates.messages_per_second_max, burst_seconds, now)
            size = bucket_of(rates.bytes_per_second_max, burst_seconds, now)
            if messages is not None or size is not None:
                self.bound = Bound(BOUND_LISTENER, messages, size)


@final
class Gate:
    """Who may connect, and what each connection may take."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._stats = broker.stats
        self._protection = broker.settings.protection
        self._addresses = Addresses(self._protection.address, self._protection.addresses_max)
        self._half_open: OrderedDict[ClientLink, None] = OrderedDict()
        self._users: dict[str, int] = {}
        self.paced: int = 0
        """Links that are not read from for a while because of a rate."""

    @property
    def half_open_count(self) -> int:
        """Connections whose CONNECT has not come."""
        return len(self._half_open)

    def refusal(self, quota: Quota, now: float) -> str:
        """Why the listener takes no further connection; empty when it does."""
        if quota.connections_max is not None and quota.open >= quota.connections_max:
            return REFUSED_LISTENER_FULL
        return ""

    def address_refusal(self, address: str, now: float) -> str:
        """Why no further connection is taken from the address; empty when one is.

        A unix socket has no address and no limits of one.
        """
        if not address:
            return ""
        if self._broker.bans.of_address(address) is not None:
            return REFUSED_BANNED
        known = self._addresses.get(address, now)
        connections_max = self._protection.connections_per_address_max
        if connections_max is not None and known.open >= connections_max:
            return REFUSED_ADDRESS_FULL
        if known.connects is not None:
            if known.connects.wait_seconds(now) > 0.0:
                return REFUSED_ADDRESS_RATE
            known.connects.take(1.0, now)
        return ""

    def refuse(self, address: str, listener: str, reason: str) -> None:
        """Count and tell of a connection that is closed unanswered."""
        self._stats.refuse_connection(reason)
        self._broker.log_connection_refused(address, listener, reason)

    def enter(self, client: ClientLink, quota: Quota, now: float) -> None:
        """Count a new connection of a listener, whose address is not known yet."""
        quota.open += 1
        client.quota = quota
        self._half_open[client] = None
        if len(self._half_open) > self._protection.half_open_max:
            self._put_out(next(iter(self._half_open)))

    def identify(self, client: ClientLink, now: float) -> None:
        """Count a connection for its address, and let it take what that may."""
        protection = self._protection
        bounds: list[Bound] = []
        if client.address:
            known = self._addresses.get(client.address, now)
            known.open += 1
            client.visitor = known
            if client in self._half_open:
                known.half_open[client] = None
                if len(known.half_open) > protection.half_open_per_address_max:
                    self._put_out(next(iter(known.half_open)))
            if known.bound is not None:
                bounds.append(known.bound)
        quota = client.quota
        if quota is not None and quota.bound is not None:
            bounds.append(quota.bound)
        if protection.client is not None:
            bounds.append(bound_of_client(protection.client, now))
        if bounds:
            client.pace = Pace(bounds, BOUND_CLIENT if protection.client_exceeding_ends else "")

    def wait_for(self, client: ClientLink) -> None:
        """It is not let in yet and must say something more: it stands in the line again."""
        if client.quota is not None:
            self._half_open[client] = None
            if client.visitor is not None:
                client.visitor.half_open[client] = None

    def greeted(self, client: ClientLink) -> None:
        """Its CONNECT came."""
        if client in self._half_open:
            del self._half_open[client]
            if client.visitor is not None:
                client.visitor.half_open.pop(client, None)

    def leave(self, client: ClientLink) -> None:
        """The connection is closed."""
        self.greeted(client)
        if client.quota is not None:
            client.quota.open -= 1
            client.quota = None
        if client.visitor is not None:
            client.visitor.open -= 1
            client.visitor = None

    def user_is_full(self, name: str | None) -> bool:
        """Whether the user has all the connections one may have."""
        connections_max = self._protection.connections_per_user_max
        if connections_max is None or name is None:
            return False
        return self._users.get(name, 0) >= connections_max

    def join(self, client: ClientLink, name: str | None) -> None:
        """A client was let in as this user."""
        if name is not None and self._protection.connections_per_user_max is not None:
            client.counted_user = name
            self._users[name] = self._users.get(name, 0) + 1

    def part(self, client: ClientLink) -> None:
        """A client that was let in has gone."""
        name = client.counted_user
        if name is not None:
            client.counted_user = None
            left = self._users[name] - 1
            if left:
                self._users[name] = left
            else:
                del self._users[name]

    def _put_out(self, client: ClientLink) -> None:
        """Close a connection that has said nothing, at once: there is nothing to tell it."""
        self.refuse(client.address, client.listener, REFUSED_HALF_OPEN)
        client.cut()


def bound_of_client(rates: Rates, now: float) -> Bound:
    """The buckets of one client."""
    burst_seconds = rates.burst_seconds
    return Bound(
        BOUND_CLIENT,
        bucket_of(rates.messages_per_second_max, burst_seconds, now),
        bucket_of(rates.bytes_per_second_max, burst_seconds, now),
    )
