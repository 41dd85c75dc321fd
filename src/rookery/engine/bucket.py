"""A token bucket: so many a second, and a little more at once after a pause.

``take`` never refuses. It takes what is asked for, going into debt where there is not enough, and says how
long to wait until the debt is paid. So whoever shares a bucket waits in the order of asking, each for its
own turn, and nobody has to ask again.
"""

from typing import final


@final
class Bucket:
    """Tokens that come at a rate, and are kept up to a bound."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """``rate`` is tokens per second, ``burst`` the most that are kept; the bucket begins full."""
        self.rate: float = rate
        self.burst: float = burst
        self._tokens: float = burst
        self._at: float = now

    def take(self, count: float, now: float) -> float:
        """Take tokens; return the seconds to wait before going on, 0 where there were enough."""
        tokens = self._tokens + (now - self._at) * self.rate
        tokens = min(tokens, self.burst)
        tokens -= count
        self._tokens = tokens
        self._at = now
        if tokens >= 0.0:
            return 0.0
        return -tokens / self.rate

    def wait_seconds(self, now: float) -> float:
        """How long until ``take(1)`` would make nobody wait; takes nothing."""
        missing = 1.0 - self._tokens - (now - self._at) * self.rate
        if missing <= 0.0:
            return 0.0
        return missing / self.rate

    def is_full(self, now: float) -> bool:
        """Whether the bucket is as it began: forgetting it changes nothing."""
        return self._tokens + (now - self._at) * self.rate >= self.burst


def bucket_of(rate: float | None, burst_seconds: float, now: float) -> Bucket | None:
    """The bucket of a configured rate, ``None`` without one. A single thing can always be had."""
    if rate is None:
        return None
    return Bucket(rate, max(1.0, rate * burst_seconds), now)
