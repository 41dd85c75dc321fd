"""What a chain of authenticators is made of: sources, each of which knows some clients.

The first source that knows a client decides. One that does not says so, and the next is asked.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from rookery.ports import Accepted, Attempt, Exchange, Principal, Refused


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The source has nothing to say of this client: no such user, no token, no certificate."""

    reason: str
    """For the operator's log, never for the client."""


Verdict = Accepted | Refused | NotKnown


class Source(Protocol):
    """One source of a chain."""

    @property
    def name(self) -> str:
        """What the configuration and the log call it: ``users``, ``jwt``."""

    @property
    def methods(self) -> frozenset[str]:
        """The methods of enhanced authentication it offers; empty when there is none."""

    def authenticate(self, attempt: Attempt) -> Verdict | Awaitable[Verdict]:
        """Decide on what a CONNECT says: at once where that takes no work, else off the loop."""

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Begin an enhanced authentication by a method among ``methods``."""

    @property
    def generation(self) -> int:
        """Rises when somebody it let in may not be any more."""

    def still_admits(self, principal: Principal) -> str | None:
        """``None`` while it would let in this principal, whom it has let in before, else the reason."""

    async def start(self) -> None:
        """Open what it needs: files to watch, keys to fetch. A fault that a later try may mend is no error."""

    async def stop(self) -> None:
        """Let go of everything."""
