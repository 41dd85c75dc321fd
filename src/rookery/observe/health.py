"""Whether the node lives, has started and is ready for clients, with the reasons.

- *live*: the loop answers. A node that fails this wants to be restarted.
- *startup*: everything that is done once at the start is done.
- *ready*: clients may be sent here: started, and every readiness check holds. A node that fails
  this wants to be left alone until it recovers or has drained.
"""

from collections.abc import Callable
from dataclasses import dataclass

CheckFunction = Callable[[], tuple[bool, str]]
"""Tells whether something is in order, and its state in a few words."""


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class HealthReport:
    """The outcome of several checks."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all of them hold."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, object]:
        """The answer of the health addresses."""
        checks: list[dict[str, object]] = [
            {"name": check.name, "ok": check.ok, "detail": check.detail} for check in self.checks
        ]
        return {"status": "ok" if self.ok else "unavailable", "checks": checks}


class Health:
    """The checks of one node. Whoever can be unready registers a check."""

    def __init__(self) -> None:
        self._started = False
        self._checks: dict[str, CheckFunction] = {}

    def add_check(self, name: str, check: CheckFunction) -> None:
        """Let readiness depend on this too. It is called on the loop and must not wait."""
        assert name not in self._checks, f"there are two health checks named {name!r}"
        self._checks[name] = check

    def mark_started(self) -> None:
        """Say that the start is done."""
        self._started = True

    def live(self) -> HealthReport:
        """Whether the node lives. Being asked on the loop, it does."""
        return HealthReport((Check("loop", True, "answers"),))

    def startup(self) -> HealthReport:
        """Whether the start is done."""
        return HealthReport((self._startup_check(),))

    def ready(self) -> HealthReport:
        """Whether clients may be sent here."""
        checks = [self._startup_check()]
        for name, check in self._checks.items():
            ok, detail = check()
            checks.append(Check(name, ok, detail))
        return HealthReport(tuple(checks))

    def everything(self) -> HealthReport:
        """All the checks there are."""
        return HealthReport(self.live().checks + self.ready().checks)

    def _startup_check(self) -> Check:
        return Check("startup", self._started, "done" if self._started else "under way")
