"""Administrative acts as log lines of the node: those of the commands, and its own.

Every act is a line of the audit in the access database first. The node reads on there after each change of
the file, and notes there what it is told to do by a signal.
"""

import asyncio
import sqlite3
from typing import Final

import structlog

from rookery.auth.access.audit import AuditLine, last_number, read_audit
from rookery.auth.access.file import AccessFault, AccessFile
from rookery.auth.access.watch import AccessWatch
from rookery.auth.banned import NODE
from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.app")

LINES_PER_READ_MAX: Final = 1_000


class AuditTrail:
    """Tells in the log what the audit gets while the node runs."""

    def __init__(self, file: AccessFile | None, watch: AccessWatch, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._told: int | None = None
        """The last act that was told; ``None`` before the first look, which tells nothing."""
        watch.subscribe(self._read, self._tell)

    async def note(self, action: str, target: str, detail: str = "", by: str = NODE) -> None:
        """Note an act of the node itself, or that was asked of it.

        Without an access database it is told in the log alone.
        """
        if self._file is None:
            log.info("audit", by=by, action=action, target=target, detail=detail)
            return
        try:
            await asyncio.to_thread(self._write, self._file, action, target, detail, by)
        except AccessFault as fault:
            log.error("audit_not_written", action=action, target=target, reason=str(fault))

    def _write(self, file: AccessFile, action: str, target: str, detail: str, by: str) -> None:
        with file.change(by, self._clock.wall()) as change:
            change.audit(action, target, detail)

    def _read(self, connection: sqlite3.Connection | None) -> tuple[int, list[AuditLine]]:
        """Off the loop."""
        if self._told is None:
            return last_number(connection), []
        lines = read_audit(connection, after=self._told, count_max=LINES_PER_READ_MAX)
        return lines[-1].number if lines else self._told, lines

    def _tell(self, found: tuple[int, list[AuditLine]]) -> None:
        self._told, lines = found
        for line in lines:
            log.info(
                "audit", by=line.by, action=line.action, target=line.target, detail=line.detail
            )
