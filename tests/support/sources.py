"""What tests of authentication sources share: a clock to turn, an attempt, a way to a verdict."""

from collections.abc import Awaitable
from typing import Any

from rookery.auth.source import NotKnown, Source, Verdict
from rookery.ports import Accepted, Attempt, Refused


class TurnedClock:
    """A clock that goes on when the test says so."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.now = 100.0
        self.wall_now = wall

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.wall_now


def attempt(
    username: str | None = "ann", password: str | bytes | None = b"secret", **changed: Any
) -> Attempt:
    given = {"client_id": "c1", "address": "192.0.2.7", "listener": "tcp", **changed}
    raw = password.encode() if isinstance(password, str) else password
    return Attempt(username=username, password=raw, **given)


async def verdict_of(source: Source, asked: Attempt) -> Verdict:
    verdict = source.authenticate(asked)
    if isinstance(verdict, Accepted | Refused | NotKnown):
        return verdict
    assert isinstance(verdict, Awaitable)
    return await verdict


async def refusal(source: Source, asked: Attempt) -> str:
    """The reason of a refusal, which it must be."""
    verdict = await verdict_of(source, asked)
    assert isinstance(verdict, Refused), verdict
    return verdict.reason


async def accepted(source: Source, asked: Attempt) -> Accepted:
    verdict = await verdict_of(source, asked)
    assert isinstance(verdict, Accepted), verdict
    return verdict
