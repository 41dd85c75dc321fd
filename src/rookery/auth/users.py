"""Users with passwords, held in memory.

A cheap hash is decided at once; bcrypt runs in a few threads of its own, and three things keep a
crowd that reconnects from standing in line behind it: equal attempts under way share one
computation, a success is remembered for a while under a keyed hash of name and password (never
the password itself), and beyond ``waiting_max`` attempts the next is told that the server is busy.

What a client can learn: nothing but "bad user name or password". An unknown name, a disabled user
and a wrong password take the work of the costliest hash in the table; the reason given to the
operator tells them apart.
"""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from rookery.auth.passwords import BCRYPT, StoredPassword, hash_password, parse_password
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Clock, Exchange, Principal, Refused


@dataclass(frozen=True)
class User:
    """Somebody who may connect with a password."""

    name: str
    password: StoredPassword
    enabled: bool = True


class VerifiedCache:
    """Which attempts succeeded lately: a bounded table of keyed hashes."""

    def __init__(self, clock: Clock, remember_seconds: float, entries_max: int) -> None:
        self._clock = clock
        self._remember_seconds = remember_seconds
        self._entries_max = entries_max
        self._secret = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def key(self, name: str, password: bytes) -> bytes:
        """The keyed hash of an attempt. It differs from process to process."""
        raw = name.encode()
        # The length keeps "ab" + "c" apart from "a" + "bc".
        text = len(raw).to_bytes(4, "big") + raw + password
        return hashlib.blake2b(text, key=self._secret, digest_size=32).digest()

    def add(self, key: bytes) -> None:
        """Remember a success from now on, in place of the oldest one where the table is full."""
        if self._remember_seconds <= 0:
            return
        self._until.pop(key, None)
        self._until[key] = self._clock.monotonic() + self._remember_seconds
        while len(self._until) > self._entries_max:
            self._until.popitem(last=False)

    def __contains__(self, key: bytes) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if self._clock.monotonic() >= until:
            del self._until[key]
            return False
        return True

    def __len__(self) -> int:
        return len(self._until)


class UsersAuthenticator:
    """Lets in whom the table of users knows. Raises ``ValueError`` where a name is there twice."""

    methods: frozenset[str] = frozenset()

    def __init__(
        self,
        users: Iterable[User],
        clock: Clock,
        *,
        threads: int = 2,
        waiting_max: int = 1000,
        remember_seconds: float = 0.0,
        remembered_max: int = 10_000,
    ) -> None:
        self._users: dict[str, User] = {}
        for user in users:
            if user.name in self._users:
                raise ValueError(f"user {user.name!r} is there twice")
            self._users[user.name] = user
        self._decoy = _decoy(self._users.values())
        self._waiting_max = waiting_max
        self._verified = VerifiedCache(clock, remember_seconds, remembered_max)
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")

    def authenticate(self, attempt: Attempt) -> Accepted | Refused | Awaitable[Accepted | Refused]:
        """Decide at once, or after a comparison in a thread. See the module for what leaks."""
        name, password = attempt.username, attempt.password
        if name is None:
            return _refused("no user name was given")
        if password is None:
            return _refused(f"user {name!r} gave no password")
        user = self._users.get(name)
        stored = self._decoy if user is None else user.password
        if not stored.costly:
            matched = stored.matches(password)
            if matched or not self._decoy.costly:
                return self._judge(attempt, user, matched)
            # A quick refusal would tell that this name has a cheap hash, so that it exists.
            stored = self._decoy
        return self._compare(attempt, user, stored, password)

    @property
    def generation(self) -> int:
        """Nothing changes here."""
        return 0

    def still_admits(self, principal: Principal) -> str | None:
        """Whoever was let in stays."""
        return None

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Raise ``ValueError``: there is no enhanced authentication here."""
        raise ValueError(f"no authentication method {method!r} on listener {attempt.listener!r}")

    def close(self) -> None:
        """Let the threads go. Attempts still waiting are cancelled, so close the links first."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _compare(
        self, attempt: Attempt, user: User | None, stored: StoredPassword, password: bytes
    ) -> Accepted | Refused:
        assert attempt.username is not None
        key = self._verified.key(attempt.username, password)
        if key in self._verified:
            return self._judge(attempt, user, matched=True)
        under_way = self._under_way.get(key)
        if under_way is None:
            if len(self._under_way) >= self._waiting_max:
                return Refused(
                    ReasonCode.SERVER_BUSY,
                    f"{self._waiting_max} password comparisons are waiting already",
                )
            loop = asyncio.get_running_loop()
            under_way = loop.run_in_executor(self._pool, stored.matches, password)
            self._under_way[key] = under_way
            under_way.add_done_callback(partial(self._end_comparison, key))
        # Shielded, because others may share it when this client goes away.
        matched = await asyncio.shield(under_way) and user is not None and stored is user.password
        if matched and user is not None and user.enabled:
            self._verified.add(key)
        return self._judge(attempt, user, matched)

    def _end_comparison(self, key: bytes, _future: asyncio.Future[bool]) -> None:
        del self._under_way[key]

    def _judge(self, attempt: Attempt, user: User | None, matched: bool) -> Accepted | Refused:
        if user is None:
            return _refused(f"there is no user {attempt.username!r}")
        if not matched:
            return _refused(f"wrong password for user {user.name!r}")
        if not user.enabled:
            return _refused(f"user {user.name!r} is disabled")
        return Accepted(
            Principal(
                name=user.name,
                client_id=attempt.client_id,
                address=attempt.address,
                listener=attempt.listener,
            )
        )


def _refused(reason: str) -> Refused:
    return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, reason)


def _decoy(users: Iterable[User]) -> StoredPassword:
    """A password that nobody has, as costly to compare as the costliest of the table."""
    cost = max((user.password.cost for user in users), default=0)
    secret = secrets.token_hex(16)
    text = hash_password(secret, BCRYPT, cost) if cost else hash_password(secret, "sha256")
    decoy = parse_password(text, BCRYPT if cost else "sha256", "")
    assert decoy is not None  # hash_password writes what parse_password reads.
    return decoy
