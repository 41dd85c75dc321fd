"""What succeeded lately, remembered under keyed hashes: never a password itself, and never for long."""

import hashlib
import secrets
from collections import OrderedDict
from typing import Generic, TypeVar

from rookery.ports import Clock

Outcome = TypeVar("Outcome")


class Verified(Generic[Outcome]):
    """A bounded table of successes and what came of them."""

    def __init__(self, clock: Clock, remember_seconds: float, entries_max: int = 10_000) -> None:
        self._clock = clock
        self._remember_seconds = remember_seconds
        self._entries_max = entries_max
        self._secret = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, tuple[float, Outcome]] = OrderedDict()

    def key(self, *parts: bytes) -> bytes:
        """The keyed hash of what succeeded. It differs from process to process."""
        hashed = hashlib.blake2b(key=self._secret, digest_size=32)
        for part in parts:
            # The length keeps "ab" + "c" apart from "a" + "bc".
            hashed.update(len(part).to_bytes(4, "big"))
            hashed.update(part)
        return hashed.digest()

    def add(self, key: bytes, outcome: Outcome) -> None:
        """Remember a success from now on, in place of the oldest one where the table is full."""
        if self._remember_seconds <= 0:
            return
        self._until.pop(key, None)
        self._until[key] = self._clock.monotonic() + self._remember_seconds, outcome
        while len(self._until) > self._entries_max:
            self._until.popitem(last=False)

    def get(self, key: bytes) -> Outcome | None:
        """What came of it, while it is remembered."""
        found = self._until.get(key)
        if found is None:
            return None
        until, outcome = found
        if self._clock.monotonic() >= until:
            del self._until[key]
            return None
        return outcome

    def __len__(self) -> int:
        return len(self._until)
