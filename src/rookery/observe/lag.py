"""How late the event loop calls what is due: the time during which nobody was served.

A timer rings ten times a second and notes by how much it was late. The worst is kept over a window
rather than until somebody reads it, so that two readers do not take it from each other.
"""

import asyncio
from typing import Final

from rookery.engine.stats import Stats

INTERVAL_SECONDS: Final = 0.1
WINDOW_SECONDS: Final = 60.0
"""Longer than any usual scrape interval, so that no peak falls between two readings."""


class LagProbe:
    """Measures one loop from ``start`` to ``stop`` and writes its lag into ``Stats``."""

    def __init__(self, stats: Stats, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._stats = stats
        self._interval_seconds = interval_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._window_ends_at = 0.0
        self._worst_seconds = 0.0
        self._worst_before_seconds = 0.0
        self._recent_seconds = 0.0

    def start(self) -> None:
        """Begin to measure the running loop."""
        assert self._timer is None
        loop = asyncio.get_running_loop()
        self._window_ends_at = loop.time() + WINDOW_SECONDS
        self._arm(loop)

    def stop(self) -> None:
        """Measure no more. What was measured stays readable."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def worst_seconds(self) -> float:
        """The worst lag of the current window and the one before: of one to two minutes."""
        return max(self._worst_seconds, self._worst_before_seconds)

    def take_recent(self) -> float:
        """The worst lag since this was asked last; for one reader alone."""
        recent, self._recent_seconds = self._recent_seconds, 0.0
        return recent

    def note(self, lag_seconds: float, now: float) -> None:
        """Take one measurement, made at ``now``."""
        if now >= self._window_ends_at:
            self._worst_before_seconds = self._worst_seconds
            self._worst_seconds = 0.0
            self._window_ends_at = now + WINDOW_SECONDS
        self._worst_seconds = max(self._worst_seconds, lag_seconds)
        self._recent_seconds = max(self._recent_seconds, lag_seconds)
        self._stats.loop_lag_seconds = lag_seconds
        self._stats.loop_lag_seconds_max = max(self._stats.loop_lag_seconds_max, lag_seconds)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._interval_seconds
        self._timer = loop.call_at(due, self._ring, loop, due)

    def _ring(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        # A loop may ring a little early, within the resolution of its clock.
        self.note(max(0.0, now - due), now)
        self._arm(loop)
