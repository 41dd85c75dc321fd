"""What is remembered of the addresses that connections come from, in a bounded table.

One machine with IPv6 commands a whole /64 network, so all its addresses count as one. An address with a
connection is always in the table; one without stays while something of it still matters, and the table looks
at its oldest entries with every new one, so that it neither grows nor is ever swept.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from rookery.engine.bucket import Bucket, bucket_of
from rookery.engine.pace import Bound
from rookery.engine.settings import Rates
from rookery.engine.stats import BOUND_ADDRESS

if TYPE_CHECKING:
    from rookery.engine.client_link import ClientLink

IDLE_LOOKED_AT: Final = 4
"""How many old entries a new one looks at: more than one, so that the table shrinks."""
MAPPED_PREFIX: Final = b"\0" * 10 + b"\xff\xff"


def address_key(address: str) -> str:
    """What an address counts as: itself, its /64 network, or nothing (a unix socket)."""
    if ":" not in address:
        return address
    try:
        raw = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return address
    if raw[:12] == MAPPED_PREFIX:
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw[:8] + b"\0" * 8) + "/64"


@final
class Address:
    """What is known of one address."""

    def __init__(self, key: str, rates: Rates | None, now: float) -> None:
        self.key = key
        self.open: int = 0
        """Its connections now."""
        self.half_open: OrderedDict[ClientLink, None] = OrderedDict()
        """Those without a CONNECT, the oldest first."""
        self.connects: Bucket | None = None
        self.bound: Bound | None = None
        """What bounds the messages and bytes of all its clients together."""
        if rates is not None:
            burst_seconds = rates.burst_seconds
            self.connects = bucket_of(rates.connects_per_second_max, burst_seconds, now)
            messages = bucket_of(rates.messages_per_second_max, burst_seconds, now)
            size = bucket_of(rates.bytes_per_second_max, burst_seconds, now)
            if messages is not None or size is not None:
                self.bound = Bound(BOUND_ADDRESS, messages, size)

    def matters(self, now: float) -> bool:
        """Whether forgetting it would let it do more than it may."""
        if self.open:
            return True
        if self.connects is not None and not self.connects.is_full(now):
            return True
        return self.bound is not None and not self.bound.is_full(now)


@final
class Addresses:
    """The addresses, by ``address_key``."""

    def __init__(self, rates: Rates | None, entries_max: int) -> None:
        self._rates = rates
        self._entries_max = entries_max
        self._entries: OrderedDict[str, Address] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, address: str, now: float) -> Address:
        """What is known of the address a connection comes from."""
        key = address_key(address)
        known = self._entries.get(key)
        if known is None:
            self._make_room(now)
            known = Address(key, self._rates, now)
            self._entries[key] = known
        return known

    def _make_room(self, now: float) -> None:
        """Forget old entries that do not matter; when the table is full, also one without a connection."""
        for _ in range(IDLE_LOOKED_AT):
            if not self._entries:
                return
            key, oldest = self._entries.popitem(last=False)
            full = len(self._entries) >= self._entries_max
            if oldest.open or (oldest.matters(now) and not full):
                self._entries[key] = oldest
