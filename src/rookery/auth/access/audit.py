"""The audit in the access database: who changed what, when. Every change writes its line itself."""

import sqlite3
from dataclasses import dataclass

from rookery.auth.access.file import AUDIT_ROWS_MAX


@dataclass(frozen=True)
class AuditLine:
    """One administrative act."""

    number: int
    at_wall: float
    by: str
    action: str
    target: str
    detail: str


def read_audit(
    connection: sqlite3.Connection | None,
    *,
    after: int = 0,
    since_wall: float = 0.0,
    count_max: int = AUDIT_ROWS_MAX,
) -> list[AuditLine]:
    """The last acts of those after a number and since a time, the oldest first."""
    if connection is None:
        return []
    rows = connection.execute(
        "SELECT number, at, by, action, target, detail FROM audit WHERE number > ? AND at >= ? "
        "ORDER BY number DESC LIMIT ?",
        (after, since_wall, count_max),
    )
    return [AuditLine(*row) for row in rows][::-1]


def last_number(connection: sqlite3.Connection | None) -> int:
    """The number of the last act; 0 when there is none."""
    if connection is None:
        return 0
    (number,) = connection.execute("SELECT coalesce(max(number), 0) FROM audit").fetchone()
    return int(number)
