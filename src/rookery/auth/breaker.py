"""Leaves a server that fails alone for a while, and what is decided without it."""

from typing import Final, Literal

import structlog

from rookery.auth.source import NotKnown
from rookery.mqtt.types import ReasonCode
from rookery.ports import Clock, Refused

log: Final = structlog.get_logger("rookery.auth")


class Breaker:
    """Counts failures in a row; after so many it lets one attempt through per pause."""

    def __init__(self, source: str, clock: Clock, failures_max: int, pause_seconds: float) -> None:
        self._source = source
        self._clock = clock
        self._failures_max = failures_max
        self._pause_seconds = pause_seconds
        self._failures = 0
        self._until = float("-inf")

    def allows(self) -> bool:
        """Whether to ask now. Where that is to try whether the server is back, only one may."""
        if self._failures < self._failures_max:
            return True
        now = self._clock.monotonic()
        if now < self._until:
            return False
        self._until = now + self._pause_seconds
        return True

    def succeeded(self) -> None:
        """The server answered."""
        if self._failures >= self._failures_max:
            log.info("authentication_server_back", source=self._source)
        self._failures = 0

    def failed(self, problem: str) -> None:
        """It did not, or with nothing of use."""
        self._failures += 1
        if self._failures == self._failures_max:
            self._until = self._clock.monotonic() + self._pause_seconds
            log.warning(
                "authentication_server_left_alone",
                source=self._source,
                failures=self._failures,
                seconds=self._pause_seconds,
                problem=problem,
            )


def without_server(on_error: Literal["deny", "ignore"], reason: str) -> Refused | NotKnown:
    """What is decided where the server that knows did not say."""
    if on_error == "ignore":
        return NotKnown(reason)
    return Refused(ReasonCode.SERVER_UNAVAILABLE, reason)
