"""The table of bans: who is kept out, found in time that does not grow with their number.

Names are looked up in dictionaries, addresses in one dictionary for each length of a network's prefix that is
in use. Names with ``*`` and ``?`` and topic filters must be tried one by one, so their number is bounded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Final, Literal, cast

from rookery.auth.filters import covers, overlaps, split_filter
from rookery.auth.globs import Glob, is_glob
from rookery.ports import Ban

TRIED_MAX: Final = 1_000
"""Bans of one kind that must be tried one by one."""
EXPIRED_AT_ONCE_MAX: Final = 1_000
NODE: Final = "node"
"""By whom the bans are that the node makes itself."""
PATTERN_BYTES_MAX: Final = 1_024
REASON_CHARACTERS_MAX: Final = 1_024
Kind = Literal["client_id", "username", "address", "topic"]
Action = Literal["deny", "disconnect", "log"]
KINDS: Final = ("client_id", "username", "address", "topic")
ACTIONS: Final = ("deny", "disconnect", "log")

Network = tuple[int, int, int]
"""Version, length of the prefix, and the prefix as a number."""


class BanFault(ValueError):
    """A ban is not one that can be kept; the text says why and what would be right."""


def made(
    kind: str, pattern: str, action: str, reason: str, by: str, wall: float, until: float | None
) -> Ban:
    """A ban as somebody asks for it, in the one form in which it is kept. Raises ``BanFault``."""
    if kind not in KINDS:
        raise BanFault(f"no kind of ban {kind!r}: must be one of {', '.join(KINDS)}")
    if action not in ACTIONS:
        raise BanFault(f"no action {action!r}: must be one of {', '.join(ACTIONS)}")
    if until is not None and until <= wall:
        raise BanFault("its end has passed already")
    if len(reason) > REASON_CHARACTERS_MAX:
        raise BanFault(f"a reason has at most {REASON_CHARACTERS_MAX} characters")
    return Ban(
        cast(Kind, kind), normal(kind, pattern), cast(Action, action), reason, by, wall, until
    )


def normal(kind: str, pattern: str) -> str:
    """The pattern in the one form in which it is kept. Raises ``BanFault``."""
    if not pattern or len(pattern.encode()) > PATTERN_BYTES_MAX or "\0" in pattern:
        raise BanFault(f"a pattern has 1 to {PATTERN_BYTES_MAX} bytes, and no U+0000")
    if kind == "address":
        try:
            network = ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            raise BanFault(
                f"no address or network {pattern!r}: must be as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
            ) from None
        single = network.prefixlen == network.max_prefixlen
        return str(network.network_address if single else network)
    if kind == "topic":
        try:
            split_filter(pattern)
        except ValueError as error:
            raise BanFault(f"no topic filter: {error}") from None
        return pattern
    return pattern


class Globs:
    """Bans of patterns, kept by their first letter, so that few are tried."""

    def __init__(self) -> None:
        self.count = 0
        self._by_first: dict[str, list[tuple[Glob, Ban]]] = {}

    def add(self, ban: Ban) -> None:
        """Add a ban."""
        first = ban.pattern[0]
        place = self._by_first.setdefault("" if first in "*?" else first, [])
        place.append((Glob(ban.pattern), ban))
        self.count += 1

    def remove(self, ban: Ban) -> None:
        """Let go of a ban, if it was added."""
        for key, place in self._by_first.items():
            kept = [each for each in place if each[1] is not ban]
            self.count -= len(place) - len(kept)
            self._by_first[key] = kept

    def matching(self, name: str) -> Iterator[Ban]:
        """The bans whose pattern stands for this name."""
        for key in (name[:1], "") if name else ("",):
            for glob, ban in self._by_first.get(key, ()):
                if glob.matches(name):
                    yield ban


class Names:
    """Bans of client ids or of user names."""

    def __init__(self) -> None:
        self._exact: dict[str, Ban] = {}
        self._globs = Globs()

    def add(self, ban: Ban) -> bool:
        """Add a ban; ``False`` where there are too many that must be tried."""
        if not is_glob(ban.pattern):
            self._exact[ban.pattern] = ban
        elif self._globs.count >= TRIED_MAX:
            return False
        else:
            self._globs.add(ban)
        return True

    def remove(self, ban: Ban) -> None:
        """Let go of a ban."""
        if is_glob(ban.pattern):
            self._globs.remove(ban)
        else:
            self._exact.pop(ban.pattern, None)

    def matching(self, name: str) -> Iterator[Ban]:
        """The bans of this name."""
        exact = self._exact.get(name)
        if exact is not None:
            yield exact
        if self._globs.count:
            yield from self._globs.matching(name)


class Networks:
    """Bans of addresses and networks."""

    def __init__(self) -> None:
        self._by_network: dict[Network, Ban] = {}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}

    def add(self, ban: Ban) -> bool:
        """Add a ban."""
        key = network_of(ban.pattern)
        self._by_network[key] = ban
        version, length, _ = key
        if length not in self._lengths[version]:
            self._lengths[version].append(length)
        return True

    def remove(self, ban: Ban) -> None:
        """Let go of a ban."""
        self._by_network.pop(network_of(ban.pattern), None)

    def matching(self, address: str) -> Iterator[Ban]:
        """The bans of networks that hold this address."""
        if not self._by_network:
            return
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        bits, number = found.max_prefixlen, int(found)
        for length in self._lengths[found.version]:
            ban = self._by_network.get((found.version, length, number >> (bits - length)))
            if ban is not None:
                yield ban


def network_of(pattern: str) -> Network:
    """A network as a key."""
    network = ipaddress.ip_network(pattern)
    shift = network.max_prefixlen - network.prefixlen
    return network.version, network.prefixlen, int(network.network_address) >> shift


class Topics:
    """Bans of what may be published and subscribed to."""

    def __init__(self) -> None:
        self.filters: list[tuple[list[str], Ban]] = []

    def add(self, ban: Ban) -> bool:
        """Add a ban; ``False`` where there are too many already."""
        if len(self.filters) >= TRIED_MAX:
            return False
        self.filters.append((split_filter(ban.pattern), ban))
        return True

    def remove(self, ban: Ban) -> None:
        """Let go of a ban, if it was added."""
        self.filters = [each for each in self.filters if each[1] is not ban]

    def publishing(self, topic: str) -> Iterator[Ban]:
        """The bans of publishing to this topic name."""
        levels = topic.split("/")
        return (ban for banned, ban in self.filters if covers(banned, levels))

    def subscribing(self, topic_filter: str) -> Iterator[Ban]:
        """The bans of which this topic filter would bring something."""
        levels = split_filter(topic_filter)
        return (ban for banned, ban in self.filters if overlaps(banned, levels))


class Banned:
    """All bans that are in force. Made whole where nobody waits; each change after that takes a moment."""

    def __init__(self, bans: Iterable[Ban] = ()) -> None:
        """The patterns must be ``normal``."""
        self.topics_generation = 0
        """Rises with every change of what may be published and subscribed to."""
        self.left_out = 0
        """Bans that are not in force because there are too many like them."""
        self.by_node: dict[tuple[str, str], Ban] = {}
        """Those that the node made itself, the oldest first."""
        self._bans: dict[tuple[str, str], Ban] = {}
        self._ends: list[tuple[float, str, str]] = []
        """A heap of when bans end."""
        self._client_ids, self._usernames = Names(), Names()
        self._networks, self._topics = Networks(), Topics()
        self._tables: dict[str, Names | Networks | Topics] = {
            "client_id": self._client_ids,
            "username": self._usernames,
            "address": self._networks,
            "topic": self._topics,
        }
        for ban in bans:
            self.add(ban)

    def __len__(self) -> int:
        return len(self._bans)

    def __iter__(self) -> Iterator[Ban]:
        return iter(self._bans.values())

    def get(self, kind: str, pattern: str) -> Ban | None:
        """The ban of this very pattern."""
        return self._bans.get((kind, pattern))

    def add(self, ban: Ban) -> None:
        """Have one more in force, in place of one of the same pattern."""
        self.remove(ban.kind, ban.pattern)
        key = ban.kind, ban.pattern
        self._bans[key] = ban
        if ban.by == NODE:
            self.by_node[key] = ban
        if ban.until_wall is not None:
            heappush(self._ends, (ban.until_wall, *key))
        if ban.kind == "topic":
            self.topics_generation += 1
        if not self._tables[ban.kind].add(ban):
            self.left_out += 1

    def remove(self, kind: str, pattern: str) -> None:
        """Let go of the ban of this pattern, if there is one."""
        ban = self._bans.pop((kind, pattern), None)
        if ban is None:
            return
        self.by_node.pop((kind, pattern), None)
        self._tables[kind].remove(ban)
        if kind == "topic":
            self.topics_generation += 1

    def expire(self, wall: float) -> int:
        """Let go of some of those whose time is up; return how many that were."""
        expired = 0
        while self._ends and self._ends[0][0] <= wall and expired < EXPIRED_AT_ONCE_MAX:
            until, kind, pattern = heappop(self._ends)
            ban = self._bans.get((kind, pattern))
            if ban is not None and ban.until_wall == until:
                self.remove(kind, pattern)
                expired += 1
        return expired

    def topics(self) -> list[Ban]:
        """Those of topics."""
        return [ban for _, ban in self._topics.filters]

    def address(self, address: str, wall: float) -> list[Ban]:
        """The bans of an address."""
        return standing(self._networks.matching(address), wall)

    def client_id(self, client_id: str, wall: float) -> list[Ban]:
        """The bans of a client id."""
        return standing(self._client_ids.matching(client_id), wall)

    def username(self, username: str, wall: float) -> list[Ban]:
        """The bans of a user."""
        return standing(self._usernames.matching(username), wall)

    def publishing(self, topic: str, wall: float) -> list[Ban]:
        """The bans of publishing to a topic name."""
        return standing(self._topics.publishing(topic), wall) if self._topics.filters else []

    def subscribing(self, topic_filter: str, wall: float) -> list[Ban]:
        """The bans of subscribing to a topic filter."""
        return (
            standing(self._topics.subscribing(topic_filter), wall) if self._topics.filters else []
        )


def standing(bans: Iterable[Ban], wall: float) -> list[Ban]:
    """Those whose time is not up."""
    return [ban for ban in bans if ban.until_wall is None or ban.until_wall > wall]
