"""Clients whose name and password an LDAP directory knows: a bind in their name tells.

The directory is asked in a few threads, each with a connection of its own that is kept. While it fails
it is left alone, as any server that a source asks.
"""

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

from rookery.auth.breaker import Breaker, without_server
from rookery.auth.ldap_directory import (
    Directory,
    DirectoryFault,
    Found,
    Person,
    Stranger,
    group_name,
)
from rookery.auth.placeholders import NoValue, is_text
from rookery.auth.principals import principal_of
from rookery.auth.source import NotKnown, Verdict
from rookery.auth.verified import Verified
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Clock, Exchange, Principal, Refused


@dataclass(frozen=True)
class LdapRules:
    """What is made of the directory's answers."""

    superuser_group: str | None = None
    group_names: Literal["short", "dn"] = "short"
    on_error: Literal["deny", "ignore"] = "deny"
    connections_max: int = 4
    waiting_max: int = 1000


class LdapSource:
    """Lets in who can bind."""

    name: Final = "ldap"
    methods: frozenset[str] = frozenset()

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        breaker: Breaker,
        rules: LdapRules,
        remember_seconds: float = 0.0,
    ) -> None:
        self._directory = directory
        self._breaker = breaker
        self._rules = rules
        self._verified: Verified[Person] = Verified(clock, remember_seconds)
        self._waiting = 0
        self._turns = asyncio.Semaphore(rules.connections_max)
        self._pool = ThreadPoolExecutor(rules.connections_max, thread_name_prefix="ldap")

    def authenticate(self, attempt: Attempt) -> Verdict | Awaitable[Verdict]:
        """Decide at once by what is remembered, else ask."""
        if not attempt.username:
            return NotKnown("the client gave no user name")
        if not attempt.password:
            return NotKnown(f"user {attempt.username!r} gave no password")
        if not is_text(attempt.password):
            return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "the password is no text in UTF-8")
        key = self._verified.key(
            attempt.username.encode(), attempt.password, attempt.client_id.encode()
        )
        remembered = self._verified.get(key)
        if remembered is not None:
            return self._judge(attempt, remembered)
        if self._waiting >= self._rules.waiting_max:
            return Refused(
                ReasonCode.SERVER_BUSY, f"{self._waiting} clients wait for the directory already"
            )
        return self._ask(attempt, key)

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Raise ``ValueError``: there is no enhanced authentication here."""
        raise ValueError(f"no authentication method {method!r} on listener {attempt.listener!r}")

    @property
    def generation(self) -> int:
        """The directory is not asked about those who are in."""
        return 0

    def still_admits(self, principal: Principal) -> str | None:
        """Whoever was let in stays."""
        return None

    async def start(self) -> None:
        """Connections are opened as clients come."""

    async def stop(self) -> None:
        """Close the connections and let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._directory.close()

    async def _ask(self, attempt: Attempt, key: bytes) -> Verdict:
        self._waiting += 1
        try:
            async with self._turns:
                # Asked here, so that a crowd that stands in line learns of the failure of its first ones.
                if not self._breaker.allows():
                    return without_server(
                        self._rules.on_error, "the directory failed and is left alone for a while"
                    )
                found = await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._directory.check, attempt
                )
        except NoValue as none:
            self._breaker.succeeded()
            return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, str(none))
        except DirectoryFault as fault:
            self._breaker.failed(str(fault))
            return without_server(self._rules.on_error, f"the directory: {fault}")
        finally:
            self._waiting -= 1
        self._breaker.succeeded()
        if isinstance(found, Person):
            self._verified.add(key, found)
        return self._judge(attempt, found)

    def _judge(self, attempt: Attempt, found: Found) -> Verdict:
        if isinstance(found, Stranger):
            return NotKnown(f"the directory does not know {attempt.username!r}: {found.reason}")
        if not isinstance(found, Person):
            return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, found.reason)
        short = self._rules.group_names == "short"
        groups = frozenset(group_name(dn) if short else dn for dn in found.groups)
        return Accepted(
            principal_of(
                attempt,
                found.name,
                self.name,
                superuser=self._rules.superuser_group in groups,
                groups=groups,
                attributes={"ldap.dn": found.dn},
            )
        )
