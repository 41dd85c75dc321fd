"""What is wrong with the links now, told once in the log and kept for who asks."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import structlog

from rookery.cluster.refusals import Reason
from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.cluster")

PROBLEM_SECONDS: Final = 15.0
"""How long a problem is one that nobody met again; who is refused tries again every second."""
PROBLEMS_MAX: Final = 100
"""Strangers may come by any names they like."""
PASSING: Final = (Reason.NOT_EXPECTED, Reason.OLDER_STREAM, Reason.BUSY)
"""What is usual while nodes come and go, unless it lasts."""


@dataclass(slots=True)
class _Problem:
    text: str
    met_at: float


class Problems:
    """Problems by the peer, or the address, they are with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Problem] = OrderedDict()

    def met(self, key: str, text: str, reason: str, *, peer: str, address: str, event: str) -> None:
        """A problem is there, or still there; the log gets it once."""
        now = self._clock.monotonic()
        before = self._known.pop(key, None)
        self._known[key] = _Problem(text, now)
        if len(self._known) > PROBLEMS_MAX:
            self._known.popitem(last=False)
        if before is None or before.text != text or now - before.met_at > PROBLEM_SECONDS:
            tell = log.info if reason in PASSING else log.warning
            tell(event, peer=peer, address=address, reason=reason, detail=text)

    def over(self, key: str) -> None:
        """It is none any more."""
        self._known.pop(key, None)

    def list(self) -> list[str]:
        """Those of now."""
        since = self._clock.monotonic() - PROBLEM_SECONDS
        return [each.text for each in self._known.values() if each.met_at >= since]
