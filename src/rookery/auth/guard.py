"""Who is kept out, as the engine asks for it: the table of bans, and the bans the node makes by itself.

An address is banned for a while when too many of its clients could not prove who they are, a client id when it
connects again and again. Bans that only log never keep anybody out: they are told here and that is all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from rookery.auth.banned import NODE, Banned
from rookery.auth.flapping import Repeats
from rookery.engine.addresses import address_key
from rookery.engine.stats import BAN_CAUSE_FAILURES, BAN_CAUSE_FLAPPING, Stats
from rookery.ports import Authorizer, Ban, Bans, Clock, Decision, Principal

log: Final = structlog.get_logger("rookery.auth")


@dataclass(frozen=True)
class Automatic:
    """When the node bans by itself."""

    repeats: Repeats
    ban_seconds: float


@dataclass(frozen=True)
class Prepared:
    """A table of bans, ready to be put into force."""

    banned: Banned
    disconnects: bool
    """Whether one of them is new and sends clients away."""


class Guard(Bans):
    """The bans of one node. ``keep`` is told of every ban that the node makes itself."""

    def __init__(
        self,
        clock: Clock,
        stats: Stats,
        failures: Automatic | None = None,
        flapping: Automatic | None = None,
        exempt_addresses: Iterable[str] = (),
        automatic_max: int = 10_000,
    ) -> None:
        self.banned = Banned()
        self.keep: Callable[[Ban], None] = keep_nowhere
        self._clock = clock
        self._stats = stats
        self._failures = failures
        self._flapping = flapping
        self._exempt = [ipaddress.ip_network(each, strict=False) for each in exempt_addresses]
        self._automatic_max = automatic_max
        self._disconnecting = 0

    def count(self) -> int:
        """See ``Bans``."""
        return len(self.banned)

    @property
    def disconnecting(self) -> int:
        """See ``Bans``."""
        return self._disconnecting

    def prepare(self, bans: Iterable[Ban]) -> Prepared:
        """Make the table of these. Off the loop: with very many it takes long."""
        banned = Banned(bans)
        known = self.banned
        return Prepared(
            banned,
            any(
                ban.action == "disconnect" and known.get(ban.kind, ban.pattern) != ban
                for ban in banned
            ),
        )

    def apply(self, prepared: Prepared, more: Iterable[Ban] = ()) -> None:
        """Have these in force, and some more; if one is new that sends clients away, it does so now."""
        before, after = self.banned, prepared.banned
        for ban in more:
            after.add(ban)
        changed = before.topics() != after.topics()
        after.topics_generation = before.topics_generation + changed
        self.banned = after
        if after.left_out:
            log.error("bans_left_out", count=after.left_out, total=len(after))
        if prepared.disconnects:
            self._disconnecting += 1

    def expire(self) -> int:
        """Let go of bans whose time is up; return how many."""
        return self.banned.expire(self._clock.wall())

    def of_address(self, address: str) -> Ban | None:
        """See ``Bans``."""
        if not len(self.banned):
            return None
        return self._effective(self.banned.address(address, self._clock.wall()), address)

    def of_client(self, client_id: str, username: str | None) -> Ban | None:
        """See ``Bans``."""
        if not len(self.banned):
            return None
        wall = self._clock.wall()
        found = self.banned.client_id(client_id, wall)
        if username is not None:
            found += self.banned.username(username, wall)
        return self._effective(found, client_id)

    def ending(self, client_id: str, username: str | None, address: str) -> Ban | None:
        """See ``Bans``."""
        wall = self._clock.wall()
        found = self.banned.client_id(client_id, wall)
        if username is not None:
            found += self.banned.username(username, wall)
        if address:
            found += self.banned.address(address, wall)
        for ban in found:
            if ban.action == "disconnect":
                self._stats.banned[ban.kind] += 1
                return ban
        return None

    def of_topic(self, action: str, topic: str, principal: Principal) -> Decision | None:
        """What forbids publishing or subscribing to it; ``None`` when nothing does."""
        if not len(self.banned):
            return None
        wall = self._clock.wall()
        if action == "publish":
            found = self.banned.publishing(topic, wall)
        else:
            found = self.banned.subscribing(topic, wall)
        ban = self._effective(found, principal.client_id)
        if ban is None:
            return None
        rule = f"ban of topic {ban.pattern}"
        return Decision(False, rule, ends_link=ban.action == "disconnect")

    def failed(self, address: str) -> None:
        """See ``Bans``."""
        failures = self._failures
        if failures is None or not address or self._is_exempt(address):
            return
        key = address_key(address)
        if failures.repeats.note(key, self._clock.monotonic()):
            text = told(failures.repeats, "failed authentications")
            self._ban("address", key, text, failures, BAN_CAUSE_FAILURES)

    def connected(self, client_id: str) -> Ban | None:
        """See ``Bans``."""
        flapping = self._flapping
        if flapping is None or not flapping.repeats.note(client_id, self._clock.monotonic()):
            return None
        if "*" in client_id or "?" in client_id:
            return None  # As a pattern it would keep out others.
        text = told(flapping.repeats, "connects")
        return self._ban("client_id", client_id, text, flapping, BAN_CAUSE_FLAPPING)

    def _ban(
        self,
        kind: Literal["address", "client_id"],
        pattern: str,
        reason: str,
        automatic: Automatic,
        cause: str,
    ) -> Ban:
        wall = self._clock.wall()
        until = wall + automatic.ban_seconds
        ban = Ban(kind, pattern, "deny", reason, NODE, wall, until)
        known = self.banned.get(kind, pattern)
        if known is not None and known.by != NODE and known.action != "log":
            return known  # An operator's stands.
        self._make_room()
        self.banned.add(ban)
        self._stats.bans_made[cause] += 1
        log.warning(
            "ban_made", kind=kind, pattern=pattern, reason=reason, seconds=automatic.ban_seconds
        )
        self.keep(ban)
        return ban

    def _make_room(self) -> None:
        """Let go of the oldest of the node's own bans when it has as many as it may."""
        own = self.banned.by_node
        if len(own) >= self._automatic_max:
            self.banned.remove(*next(iter(own)))

    def _is_exempt(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return True  # Nothing that could be banned.
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._exempt)

    def _effective(self, found: list[Ban], who: str) -> Ban | None:
        """The ban that keeps out; those that only log are told."""
        effective: Ban | None = None
        for ban in found:
            self._stats.banned[ban.kind] += 1
            if ban.action == "log":
                log.warning("ban_matched", kind=ban.kind, pattern=ban.pattern, who=who)
            elif effective is None or ban.action == "disconnect":
                effective = ban
        return effective


def keep_nowhere(ban: Ban) -> None:
    """The ban lasts as long as the process."""


def told(repeats: Repeats, what: str) -> str:
    """The reason of a ban that the node makes."""
    return f"more than {repeats.count_max} {what} in {repeats.window_seconds:g} s"


class NotBanned(Authorizer):
    """Asks the bans of topics before another authorizer. Its answers are cached as any other's."""

    def __init__(self, authorizer: Authorizer, guard: Guard) -> None:
        self._authorizer = authorizer
        self._guard = guard

    @property
    def generation(self) -> int:
        """Rises with either's."""
        return self._authorizer.generation + self._guard.banned.topics_generation

    def may_publish(
        self, principal: Principal, topic: str, qos: int, retain: bool
    ) -> Decision | Awaitable[Decision]:
        """Whether nothing bans it and the authorizer allows it."""
        refusal = self._guard.of_topic("publish", topic, principal)
        if refusal is not None:
            return refusal
        return self._authorizer.may_publish(principal, topic, qos, retain)

    def may_subscribe(
        self, principal: Principal, topic_filter: str, qos: int
    ) -> Decision | Awaitable[Decision]:
        """Whether nothing bans it and the authorizer allows it."""
        refusal = self._guard.of_topic("subscribe", topic_filter, principal)
        if refusal is not None:
            return refusal
        return self._authorizer.may_subscribe(principal, topic_filter, qos)
