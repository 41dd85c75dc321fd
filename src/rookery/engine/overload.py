"""Whether the node has more to do than it can, and what is put off then.

Two things are looked at a few times a second: the memory of the process, and how late the loop is. Above nine
tenths of the memory mark, or as soon as the loop is late, work that can wait is shed: no ``$SYS`` messages,
retained messages more slowly, QoS 0 dropped earlier for clients that read slowly. Above the memory mark, or
when the loop stays late, new connections are refused as well. What is served already goes on. The node is as
always again when all has been well for a while, so that it does not waver.
"""

from __future__ import annotations

from typing import Final, final

from rookery.engine.stats import Stats

NORMAL: Final = 0
SHEDDING: Final = 1
"""Work that can wait is put off."""
REFUSING: Final = 2
"""New connections are refused as well."""

NAMES: Final = ("normal", "shedding", "refusing")

SHED_SHARE: Final = 0.9
"""The share of the memory mark from which on work is shed."""
RELIEF_SHARE: Final = 0.95
"""What a mark counts for while it is exceeded: memory must fall that far below it."""
NO_MARK: Final = float("inf")


@final
class Overload:
    """Judges what is measured; ``level`` is what it has come to."""

    def __init__(
        self,
        stats: Stats,
        memory_bytes_max: float = NO_MARK,
        loop_lag_seconds_max: float = NO_MARK,
        sustained_seconds: float = 0.0,
    ) -> None:
        self.level: int = NORMAL
        self.reason: str = ""
        """Why it is not normal, for the operator."""
        self.memory_bytes_max = memory_bytes_max
        self.loop_lag_seconds_max = loop_lag_seconds_max
        self._sustained_seconds = sustained_seconds
        self._stats = stats
        self._late_since: float | None = None
        self._well_since: float | None = None

    def observe(self, memory_bytes: float, loop_lag_seconds: float, now: float) -> bool:
        """Take one measurement; whether the level changed."""
        wanted, reason = self._by_memory(memory_bytes)
        by_lag, lag_reason = self._by_lag(loop_lag_seconds, now)
        if by_lag > wanted:
            wanted, reason = by_lag, lag_reason
        if wanted >= self.level:
            self._well_since = None
            if reason:
                self.reason = reason
            return self._rise(wanted)
        if self._well_since is None:
            self._well_since = now
        if now - self._well_since < self._sustained_seconds:
            return False
        self.level = wanted
        self.reason = reason
        self._well_since = None
        return True

    def shed(self, what: str) -> None:
        """Count work that was put off or left undone, one of ``SHED``."""
        self._stats.shed[what] += 1

    def _rise(self, wanted: int) -> bool:
        if wanted == self.level:
            return False
        self.level = wanted
        self._stats.overloads += 1
        return True

    def _by_memory(self, memory_bytes: float) -> tuple[int, str]:
        refuse_at = self.memory_bytes_max
        shed_at = refuse_at * SHED_SHARE
        if self.level == REFUSING:
            refuse_at *= RELIEF_SHARE
        if self.level >= SHEDDING:
            shed_at *= RELIEF_SHARE
        if memory_bytes < shed_at:
            return NORMAL, ""
        reason = (
            f"{memory_bytes / 2**20:.0f} MiB of memory, mark {self.memory_bytes_max / 2**20:.0f}"
        )
        return (REFUSING if memory_bytes >= refuse_at else SHEDDING), reason

    def _by_lag(self, loop_lag_seconds: float, now: float) -> tuple[int, str]:
        if loop_lag_seconds <= self.loop_lag_seconds_max:
            self._late_since = None
            return NORMAL, ""
        if self._late_since is None:
            self._late_since = now
        reason = f"the loop is {loop_lag_seconds:.3f} s late, mark {self.loop_lag_seconds_max:g}"
        sustained = now - self._late_since >= self._sustained_seconds
        return (REFUSING if sustained else SHEDDING), reason
