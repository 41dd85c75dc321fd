"""Stored passwords for tests: a cheap one, and one whose comparison waits for the test."""

import threading
from collections.abc import Awaitable
from typing import TypeVar

from rookery.auth.hashes import StoredPassword
from rookery.auth.passwords import hash_password, parse_hash
from rookery.ports import Attempt

T = TypeVar("T")


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class GatedPassword(StoredPassword):
    """Costly; the password is ``right``. Every comparison is noted and waits for the gate."""

    def __init__(self, gate: threading.Event | None = None, work_ms: float = 50.0) -> None:
        super().__init__("gated", "gated", work_ms)
        self.gate = gate
        self.compared: list[bytes] = []

    def matches(self, password: bytes) -> bool:
        self.compared.append(password)
        assert self.gate is None or self.gate.wait(10)
        return password == b"right"

    def decoy(self) -> StoredPassword:
        """Itself, so that the work done for nothing is noted too."""
        return self


def cheap(password: str) -> StoredPassword:
    stored = parse_hash(hash_password(password, "sha256"))
    assert stored is not None
    return stored


def attempt(
    username: str | None = None,
    password: bytes | None = None,
    *,
    client_id: str = "c1",
    address: str = "192.0.2.7",
    listener: str = "tcp",
) -> Attempt:
    return Attempt(client_id, username, password, address, listener)


async def settled(outcome: "T | Awaitable[T]") -> T:
    """What comes of it, now or later."""
    return await outcome if isinstance(outcome, Awaitable) else outcome
