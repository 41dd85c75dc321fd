"""Compares passwords, the costly ones off the loop.

All sources with stored passwords share one verifier. A cheap hash is compared at once; a costly one in a few
threads of its own, which yield to the rest of the process. Three things keep a crowd that reconnects from
standing in line: equal attempts under way share one comparison, a success is remembered for a while under a
keyed hash of name, stored and given password (never the password itself), and beyond ``waiting_max`` comparisons
the next client is told that the server is busy.

What a client can learn from the time it takes: nothing. An unknown name, a disabled user and a wrong password
take the work of the costliest stored password of all sources.
"""

import asyncio
import hashlib
import os
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from rookery.auth.hashes import StoredPassword
from rookery.mqtt.types import ReasonCode
from rookery.ports import Clock, Refused

THREADS: Final = 2
WAITING_MAX: Final = 500
"""With two threads and argon2id about as many as are done before their CONNECT has waited too long."""
REMEMBERED_MAX: Final = 100_000
"""Entries of about 150 bytes; more than that many clients at once are hashed again."""
NICENESS: Final = 5
"""How far the threads stand back behind the loop, where the system can tell threads apart."""


class VerifiedCache:
    """Which attempts succeeded lately: a bounded table of keyed hashes."""

    def __init__(self, clock: Clock, remember_seconds: float, entries_max: int) -> None:
        self._clock = clock
        self._remember_seconds = remember_seconds
        self._entries_max = entries_max
        self._secret = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def key(self, name: str, stored: str, password: bytes) -> bytes:
        """The keyed hash of an attempt. It differs from process to process, and with the stored password."""
        raw_name, raw_stored = name.encode(), stored.encode()
        # The lengths keep "ab" + "c" apart from "a" + "bc".
        lengths = len(raw_name).to_bytes(4, "big") + len(raw_stored).to_bytes(4, "big")
        text = lengths + raw_name + raw_stored + password
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


class Verifier:
    """Compares given passwords with stored ones."""

    def __init__(
        self,
        clock: Clock,
        *,
        threads: int = THREADS,
        waiting_max: int = WAITING_MAX,
        remember_seconds: float = 0.0,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        self._waiting_max = waiting_max
        self._verified = VerifiedCache(clock, remember_seconds, remembered_max)
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}
        self._costliest: dict[str, StoredPassword] = {}
        self._decoy: StoredPassword | None = None
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="password", initializer=_stand_back
        )

    def set_costliest(self, source: str, stored: StoredPassword | None) -> None:
        """Learn the costliest stored password of a source: every refusal takes its work from now on."""
        if stored is None or not stored.costly:
            self._costliest.pop(source, None)
        else:
            self._costliest[source] = stored
        most = max(self._costliest.values(), key=_work_of, default=None)
        self._decoy = None if most is None else most.decoy()

    def compare(
        self, name: str, password: bytes, stored: StoredPassword, *, remember: bool = True
    ) -> bool | Awaitable[bool | Refused]:
        """Whether the password is the stored one. ``remember`` is for users that may come in."""
        if not stored.costly:
            matched = stored.matches(password)
            if matched or self._decoy is None:
                return matched
            # A quick refusal would tell that this name has a cheap hash, so that it exists.
            return self._pretend(name, password)
        key = self._verified.key(name, stored.text, password)
        if key in self._verified:
            return True
        return self._work(key, stored, password, remember)

    def pretend(self, name: str, password: bytes) -> Awaitable[bool | Refused] | None:
        """Take the work of a comparison for a name that nobody knows; ``None`` where it would take none."""
        return None if self._decoy is None else self._pretend(name, password)

    def close(self) -> None:
        """Let the threads go. Attempts still waiting are cancelled, so close the links first."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _pretend(self, name: str, password: bytes) -> bool | Refused:
        decoy = self._decoy
        assert decoy is not None
        key = self._verified.key(name, decoy.text, password)
        outcome = await self._work(key, decoy, password, False)
        # A decoy's password opens nobody's door, should it be found.
        return outcome if isinstance(outcome, Refused) else False

    async def _work(
        self, key: bytes, stored: StoredPassword, password: bytes, remember: bool
    ) -> bool | Refused:
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
        matched = await asyncio.shield(under_way)
        if matched and remember:
            self._verified.add(key)
        return matched

    def _end_comparison(self, key: bytes, _future: asyncio.Future[bool]) -> None:
        del self._under_way[key]


def _work_of(stored: StoredPassword) -> float:
    return stored.work_ms


def _stand_back() -> None:
    if sys.platform == "linux":  # Elsewhere this would be about the whole process.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
