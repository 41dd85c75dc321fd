"""Finds the addresses of other nodes, before anything else is known of them, and goes on looking.

What is found are hints: a node that is there but does not belong to us refuses, and so do we. So the last answer of a
name counts for as long as its name server gives none, an empty one included, as a service has none while all its
pods start anew.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import structlog
from dns.rdtypes.IN.SRV import SRV

from rookery.cluster.addresses import join_address
from rookery.cluster.seeds import Seed, parse_seed

log: Final = structlog.get_logger("rookery.cluster")

RESOLVE_SECONDS: Final = 10.0
ANSWER_SECONDS_MAX: Final = 3.0

Addresses = tuple[str, ...]


class Discovery:
    """The addresses of all seeds. ``changed`` is told, on the loop, when they are others than before."""

    def __init__(
        self,
        seeds: Sequence[str],
        port: int,
        own_host: str,
        changed: Callable[[Addresses], None],
        resolver: dns.asyncresolver.Resolver | None = None,
    ) -> None:
        """``port`` is that of the nodes, this one included, where a seed says no other.

        Raises:
            BadAddress: a seed means nothing.
        """
        self._seeds = [parse_seed(seed, port) for seed in seeds]
        self._own = (own_host, port)
        self._changed = changed
        self._resolver = resolver
        self._found: dict[Seed, Addresses] = {}
        """The last good answers."""
        self._problems: dict[Seed, str] = {}
        self.addresses: Addresses = ()
        """What was found last, this node's own address left out."""

    def problems(self) -> list[str]:
        """Which seeds could not be asked, the last time."""
        return list(self._problems.values())

    async def keep_looking(self) -> None:
        """Look now and every few seconds."""
        while True:
            await self.look()
            await asyncio.sleep(RESOLVE_SECONDS)

    async def look(self) -> None:
        """Ask for all names once."""
        await asyncio.gather(*(self._look_for(seed) for seed in self._seeds))
        found = dict.fromkeys(
            address for seed in self._seeds for address in self._found.get(seed, ())
        )
        addresses = tuple(found)
        if addresses != self.addresses:
            self.addresses = addresses
            log.info("cluster_addresses_found", addresses=list(addresses))
            self._changed(addresses)

    async def _look_for(self, seed: Seed) -> None:
        try:
            hosts = await self._hosts(seed)
        except dns.exception.DNSException as error:
            text = f"{seed.text} was not found: {error}"
            if seed not in self._problems:
                log.warning("cluster_seed_not_found", seed=seed.text, reason=str(error))
            self._problems[seed] = text
            return
        self._problems.pop(seed, None)
        self._found[seed] = tuple(
            join_address(host, port)
            for host, port in sorted(set(hosts))
            if not (port == self._own[1] and self._is_own_host(host))
        )

    async def _hosts(self, seed: Seed) -> list[tuple[str, int]]:
        if seed.kind == "address":
            return [(seed.name, seed.port)]
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver()
        if seed.kind == "srv":
            answer = await self._resolver.resolve(
                seed.name, dns.rdatatype.SRV, search=True, lifetime=ANSWER_SECONDS_MAX
            )
            records = [record for record in answer if isinstance(record, SRV)]
            # A record whose target is the root says that there is no such service.
            records = [record for record in records if record.target != dns.name.root]
            return [(record.target.to_text(omit_final_dot=True), record.port) for record in records]
        addresses = await _addresses(self._resolver, seed.name)
        return [(address, seed.port) for address in addresses]

    def _is_own_host(self, host: str) -> bool:
        if host == self._own[0]:
            return True
        try:
            return _is_of_this_machine(ipaddress.ip_address(host))
        except ValueError:
            return False


async def _addresses(resolver: dns.asyncresolver.Resolver, name: str) -> list[str]:
    """All addresses of a name; it is enough that it has some of one family."""
    found: list[str] = []
    failure: dns.exception.DNSException | None = None
    for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        try:
            answer = await resolver.resolve(name, kind, search=True, lifetime=ANSWER_SECONDS_MAX)
            found += [record.to_text() for record in answer]
        except dns.resolver.NoAnswer as error:
            failure = failure or error
        except dns.exception.DNSException as error:
            failure = error
            break
    if not found and failure is not None:
        raise failure
    return found


def _is_of_this_machine(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Only an address that is a machine's own can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
