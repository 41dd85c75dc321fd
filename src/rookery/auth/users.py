"""Users with passwords, in a table that can be replaced while the node runs.

What a client can learn: nothing but "bad user name or password". An unknown name, a disabled user and a wrong
password take the same work (see ``rookery.auth.verifier``); the reason given to the operator tells them apart.
Only a client that has given the right password learns more: that its client id is not the one bound to it.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from rookery.auth.hashes import StoredPassword
from rookery.auth.source import NotKnown, Verdict
from rookery.auth.verifier import Verifier
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Exchange, Principal, Refused


@dataclass(frozen=True)
class User:
    """Somebody who may connect with a password."""

    name: str
    password: StoredPassword
    enabled: bool = True
    superuser: bool = False
    client_id: str | None = None
    """The client id this user must come with; with ``*`` at its end every one that begins so."""
    groups: frozenset[str] = frozenset()

    def takes(self, client_id: str) -> bool:
        """Whether the user may come with this client id."""
        bound = self.client_id
        if bound is None:
            return True
        return client_id.startswith(bound[:-1]) if bound.endswith("*") else client_id == bound

    def same_rights(self, other: "User") -> bool:
        """Whether who was let in as the one may go on as the other."""
        return (
            self.password.text == other.password.text
            and self.superuser == other.superuser
            and self.groups == other.groups
        )


@dataclass(frozen=True)
class _Entry:
    user: User
    proof: int
    """Another number whenever who was let in before must come again."""


class UsersSource:
    """Decides on the names that its table has. Raises ``ValueError`` where a name is there twice."""

    methods: frozenset[str] = frozenset()

    def __init__(self, name: str, verifier: Verifier, users: Iterable[User] = ()) -> None:
        self.name = name
        self._verifier = verifier
        self._entries: dict[str, _Entry] = {}
        self._generation = 0
        self._proofs = 0
        self.prepare(users)()

    @property
    def count(self) -> int:
        """How many users there are, disabled ones too."""
        return len(self._entries)

    @property
    def generation(self) -> int:
        """Rises when somebody was removed or disabled, got another password, binding or group, or came first."""
        return self._generation

    def prepare(self, users: Iterable[User]) -> Callable[[], None]:
        """Make a new table, off the loop if it is large; the answer, called on the loop, puts it into force.

        One at a time: the next only after that.
        """
        old = self._entries
        new: dict[str, _Entry] = {}
        costliest: StoredPassword | None = None
        for user in users:
            if user.name in new:
                raise ValueError(f"user {user.name!r} is there twice")
            before = old.get(user.name)
            if before is not None and before.user.same_rights(user):
                new[user.name] = _Entry(user, before.proof)
            else:
                self._proofs += 1
                new[user.name] = _Entry(user, self._proofs)
            if costliest is None or user.password.work_ms > costliest.work_ms:
                costliest = user.password
        # The first user ends what holds as long as there is none: see Chain.
        lost = (not old and bool(new)) or any(_lost(entry, new) for entry in old.values())
        return partial(self._replace, new, costliest, lost)

    def authenticate(self, attempt: Attempt) -> Verdict | Awaitable[Verdict]:
        """Decide at once, or after a comparison in a thread."""
        name, password = attempt.username, attempt.password
        if name is None:
            return NotKnown("no user name was given")
        entry = self._entries.get(name)
        if entry is None:
            return NotKnown(f"there is no user {name!r}")
        user = entry.user
        if password is None:
            return _refused(f"user {name!r} gave no password")
        matched = self._verifier.compare(name, password, user.password, remember=user.enabled)
        if isinstance(matched, bool):
            return self._judge(attempt, entry, matched)
        return self._wait(attempt, entry, matched)

    def still_admits(self, principal: Principal) -> str | None:
        """Whether the user is there as before."""
        entry = self._entries.get(principal.name or "")
        if entry is None:
            return f"user {principal.name!r} was removed"
        if not entry.user.enabled:
            return f"user {principal.name!r} is disabled"
        if entry.proof != principal.proof:
            return f"user {principal.name!r} got another password or other rights"
        if not entry.user.takes(principal.client_id):
            return f"user {principal.name!r} may not use this client id any more"
        return None

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Raise ``ValueError``: there is no enhanced authentication here."""
        raise ValueError(f"no authentication method {method!r} on listener {attempt.listener!r}")

    async def start(self) -> None:
        """There is nothing to open: others fill the table."""

    async def stop(self) -> None:
        """There is nothing to let go of: the verifier is shared."""

    async def _wait(
        self, attempt: Attempt, entry: _Entry, matched: Awaitable[bool | Refused]
    ) -> Verdict:
        outcome = await matched
        if isinstance(outcome, Refused):
            return outcome
        # The table may have changed while the comparison ran: what is known now decides.
        now = self._entries.get(entry.user.name)
        if now is None or now.proof != entry.proof:
            return _refused(f"user {entry.user.name!r} was changed meanwhile")
        return self._judge(attempt, now, outcome)

    def _judge(self, attempt: Attempt, entry: _Entry, matched: bool) -> Verdict:
        user = entry.user
        if not matched:
            return _refused(f"wrong password for user {user.name!r}")
        if not user.enabled:
            return _refused(f"user {user.name!r} is disabled")
        if not user.takes(attempt.client_id):
            return Refused(
                ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
                f"user {user.name!r} may only use the client id {user.client_id!r}",
            )
        return Accepted(
            Principal(
                name=user.name,
                client_id=attempt.client_id,
                address=attempt.address,
                listener=attempt.listener,
                source=self.name,
                superuser=user.superuser,
                groups=user.groups,
                proof=entry.proof,
            )
        )

    def _replace(
        self, entries: dict[str, _Entry], costliest: StoredPassword | None, lost: bool
    ) -> None:
        self._entries = entries
        self._verifier.set_costliest(self.name, costliest)
        if lost:
            self._generation += 1


def _lost(old: _Entry, entries: dict[str, _Entry]) -> bool:
    """Whether a user that came in by the old entry may have to go."""
    new = entries.get(old.user.name)
    return (
        new is None
        or new.proof != old.proof
        or new.user.client_id != old.user.client_id
        or (old.user.enabled and not new.user.enabled)
    )


def _refused(reason: str) -> Refused:
    return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, reason)
