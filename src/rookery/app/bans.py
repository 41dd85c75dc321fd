"""The bans of a node: read from the access database, and those it makes itself written there.

A ban holds from the moment it is made; writing it follows, in a thread, so that it outlives the node. Until
it is written it stays beside what is read. Without an access database it lasts as long as the process.
"""

import asyncio
import sqlite3
from typing import Final

import structlog

from rookery.auth.access.bans import add_bans, read_bans, tidy_bans
from rookery.auth.access.file import AccessFault, AccessFile
from rookery.auth.access.watch import AccessWatch
from rookery.auth.banned import NODE
from rookery.auth.flapping import Repeats
from rookery.auth.guard import Automatic, Guard, Prepared
from rookery.config.models import Config
from rookery.engine.stats import Stats
from rookery.ports import Ban, Clock

log: Final = structlog.get_logger("rookery.app")

LOOK_SECONDS: Final = 0.5
TIDY_SECONDS: Final = 60.0
"""How often bans whose time is up are removed from the database, at most."""


def make_guard(config: Config, clock: Clock, stats: Stats) -> Guard:
    """The guard as the configuration asks for it."""
    bans = config.bans
    failures = flapping = None
    if bans.failures is not None:
        window = Repeats(bans.failures.failures_max, bans.failures.window_seconds)
        failures = Automatic(window, bans.failures.ban_seconds)
    if bans.flapping is not None:
        window = Repeats(bans.flapping.connects_max, bans.flapping.window_seconds)
        flapping = Automatic(window, bans.flapping.ban_seconds)
    return Guard(clock, stats, failures, flapping, bans.exempt_addresses, bans.automatic_max)


class BanKeeper:
    """Keeps a guard and the access database alike."""

    def __init__(
        self,
        guard: Guard,
        file: AccessFile | None,
        watch: AccessWatch,
        clock: Clock,
        automatic_max: int,
    ) -> None:
        self._guard = guard
        self._file = file
        self._clock = clock
        self._automatic_max = automatic_max
        self._unwritten: dict[tuple[str, str], Ban] = {}
        self._tidy_at: float | None = None
        self._fault = ""
        guard.keep = self._keep
        watch.subscribe(self._read, self._apply)

    async def run(self) -> None:
        """Write what is new and remove what is over, again and again; a background task of the node."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Do so once."""
        now = self._clock.monotonic()
        if self._guard.expire() and self._tidy_at is None:
            self._tidy_at = now + TIDY_SECONDS
        due = self._tidy_at is not None and now >= self._tidy_at
        if self._file is None or not (self._unwritten or due):
            return
        writing = dict(self._unwritten)
        try:
            await asyncio.to_thread(self._write, self._file, list(writing.values()))
        except AccessFault as fault:
            if str(fault) != self._fault:
                log.error("bans_not_written", reason=str(fault), count=len(writing))
            self._fault = str(fault)
            return
        self._fault = ""
        self._tidy_at = None
        for key, ban in writing.items():
            if self._unwritten.get(key) is ban:
                del self._unwritten[key]

    def _write(self, file: AccessFile, bans: list[Ban]) -> None:
        wall = self._clock.wall()
        with file.change(NODE, wall) as change:
            add_bans(change, bans)
            tidy_bans(change, wall, self._automatic_max)

    def _keep(self, ban: Ban) -> None:
        if self._file is None:
            return
        self._unwritten[ban.kind, ban.pattern] = ban
        while len(self._unwritten) > self._automatic_max:
            del self._unwritten[next(iter(self._unwritten))]

    def _read(self, connection: sqlite3.Connection | None) -> Prepared:
        """Off the loop."""
        return self._guard.prepare(read_bans(connection))

    def _apply(self, prepared: Prepared) -> None:
        self._guard.apply(prepared, self._unwritten.values())
