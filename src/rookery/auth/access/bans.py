"""The bans in the access database."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from rookery.auth.access.file import Change
from rookery.auth.banned import ACTIONS, KINDS, NODE
from rookery.ports import Ban

_COLUMNS: Final = "kind, pattern, action, reason, by, at, until"


def read_bans(connection: sqlite3.Connection | None) -> list[Ban]:
    """All bans, the oldest first; none where there is no database."""
    if connection is None:
        return []
    rows = connection.execute(f"SELECT {_COLUMNS} FROM bans ORDER BY at, kind, pattern")  # noqa: S608
    return [Ban(*row) for row in rows if row[0] in KINDS and row[2] in ACTIONS]


def add_bans(change: Change, bans: Iterable[Ban]) -> None:
    """Keep these, each in place of one of the same pattern; one line of the audit each."""
    for ban in bans:
        change.connection.execute(
            f"INSERT OR REPLACE INTO bans ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (ban.kind, ban.pattern, ban.action, ban.reason, ban.by, ban.at_wall, ban.until_wall),
        )
        ends = "for good" if ban.until_wall is None else f"for {ban.until_wall - ban.at_wall:.0f} s"
        detail = f"{ban.action} {ends}" + (f": {ban.reason}" if ban.reason else "")
        change.audit("ban add", f"{ban.kind} {ban.pattern}", detail)


def remove_ban(change: Change, kind: str, pattern: str) -> bool:
    """Let go of a ban; whether there was one."""
    found = change.connection.execute(
        "DELETE FROM bans WHERE kind = ? AND pattern = ?", (kind, pattern)
    )
    if found.rowcount:
        change.audit("ban remove", f"{kind} {pattern}")
    return found.rowcount > 0


def tidy_bans(change: Change, wall: float, automatic_max: int) -> None:
    """Remove the bans whose time is up, and the oldest of the node's own where it has too many."""
    change.connection.execute("DELETE FROM bans WHERE until <= ?", (wall,))
    change.connection.execute(
        "DELETE FROM bans WHERE (kind, pattern) IN (SELECT kind, pattern FROM bans WHERE by = ? "
        "ORDER BY at DESC LIMIT -1 OFFSET ?)",
        (NODE, automatic_max),
    )


def lines(bans: Iterable[Ban]) -> Iterator[dict[str, object]]:
    """Bans as ``rookery ban list --json`` and ``export`` write them."""
    for ban in bans:
        yield {
            "kind": ban.kind,
            "pattern": ban.pattern,
            "action": ban.action,
            "reason": ban.reason,
            "by": ban.by,
            "at": ban.at_wall,
            "until": ban.until_wall,
        }
