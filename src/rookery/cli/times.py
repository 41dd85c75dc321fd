"""Times and durations as people write them on a command line."""

import re
from datetime import UTC, datetime
from typing import Final

import typer

UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw])")


def seconds_of(text: str) -> float:
    """``90s``, ``10m``, ``2h``, ``7d``, ``1w``; a wrong command line where it is none of these."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise typer.BadParameter(f"no duration {text!r}: must be as 90s, 10m, 2h, 7d or 1w")
    return float(found[1]) * UNITS[found[2]]


def wall_of(text: str) -> float:
    """``2026-01-31`` or ``2026-01-31T12:00`` (in local time, unless it says its own zone)."""
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"no time {text!r}: must be as 2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00+01:00"
        ) from None


def since_of(text: str, wall: float) -> float:
    """A time, or a duration before now."""
    if _DURATION.fullmatch(text.strip()):
        return wall - seconds_of(text)
    return wall_of(text)


def written(wall: float) -> str:
    """A time as the commands print it: in UTC, to the second."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
