"""The thread that owns the connection for writing.

The loop hands it groups; it makes each durable in one statement and calls back on the loop. Between
groups, and when there are none, it notes that the node is alive, gives pages back to the system and
measures.
"""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from rookery.ports import Clock
from rookery.records import Group
from rookery.store.database import (
    SYNCHRONOUS,
    connect_to_read,
    connect_to_write,
    fault_of,
    file_bytes,
    page_bytes,
)
from rookery.store.faults import StoreFault
from rookery.store.rows import commit_cells
from rookery.store.schema import COMMIT

Done = Callable[[Exception | None], None]
Work = Callable[[sqlite3.Connection, Group], None]

ALIVE_SECONDS: Final = 1.0
"""How often commits also write that the node is alive."""
TICK_SECONDS: Final = 3.0
"""How long without a commit until that is written by itself."""
FREE_BYTES_KEPT: Final = 16_777_216
"""Free pages that stay in the file for the next messages."""
SHRINK_PAGES: Final = 256
"""Pages given back at a time, so that no commit waits long for it."""
SHRINKS_PER_TICK: Final = 50
ROOM_BYTES_MIN: Final = 65_536
SPARE_PART: Final = 64
"""One part in so many of the bytes allowed must be free before messages are taken again."""
ALARM_PART: Final = 0.8
"""The part of the bytes allowed from which the operator is told."""


class Writer:
    """Commits groups, one after the other."""

    def __init__(
        self,
        path: Path,
        durability: str,
        bytes_max: int,
        clock: Clock,
        refuses: bool = True,
    ) -> None:
        """Without ``refuses`` a commit takes what is over ``bytes_max``: who hands it over asks before."""
        self.problem: str | None = None
        """Why the last commit failed."""
        self.live_bytes: int = 0
        """Bytes of the pages in use, as of the last look and the commits since."""
        self.file_bytes: int = 0
        self.room_bytes: int = 0
        """What was free on the disk, as of the last look and the commits since."""
        self.full: bool = False
        """Whether messages were refused and there is no sign yet that there is room for them."""
        self._path = path
        self._synchronous = SYNCHRONOUS[durability]
        self._bytes_max = bytes_max
        self._refuses = refuses
        self._wall = clock.wall
        self._next_block = 1
        self._next_number = 1
        self._alive_at = 0.0
        self._refused_bytes = 0
        self._connection: sqlite3.Connection | None = None
        self._keeper: sqlite3.Connection | None = None
        """Does nothing but stay open: see ``connect``."""
        self._queue: SimpleQueue[tuple[Work, Group, Done] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def connect(self) -> sqlite3.Connection:
        """Open the connection; raises ``sqlite3.Error`` or ``StoreFault``. Off the loop.

        As long as anybody has the database open SQLite remembers where the log ends. Were this the only
        connection, then closed after a commit that failed, the next one would read the log to know, take
        what the failed commit had written for done, and build upon what no sync has brought to the disk.
        """
        self._connection = connect_to_write(self._path, self._synchronous)
        if self._keeper is None:
            self._keeper = connect_to_read(self._path)
            self._keeper.execute("SELECT count(*) FROM meta").fetchone()
        self._measure(self._connection)
        return self._connection

    def start(self, loop: asyncio.AbstractEventLoop, next_block: int, next_number: int) -> None:
        """Take groups from now on."""
        self._next_block, self._next_number = next_block, next_number
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="store-writer", daemon=True
        )
        self._thread.start()

    def commit(self, group: Group, done: Done) -> None:
        """Make a group durable; ``done`` is called on the loop, in the order of the calls."""
        self._queue.put((self._commit, group, done))

    def find_room(self, group: Group, done: Done) -> None:
        """Ask whether the messages of a group find room now; ``done`` is called on the loop."""
        self._queue.put((self._check_room, group, done))

    def has_room(self, group: Group) -> bool:
        """Whether the messages of a group find room, as far as is known without a look."""
        if not group.entries:
            return True
        if not self._refuses and self.room_bytes < 2 * group.entry_bytes + ROOM_BYTES_MIN:
            return False
        return self.live_bytes + group.entry_bytes <= self._bytes_max

    def stop(self) -> None:
        """Finish what was handed over and close the connection. Waits; off the loop."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()
        self._disconnect()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._wall() + TICK_SECONDS
        while True:
            try:
                job = self._queue.get(timeout=TICK_SECONDS)
            except Empty:
                job = None
            else:
                if job is None:
                    self._tick()
                    return
                work, group, done = job
                error = self._worked(work, group)
                loop.call_soon_threadsafe(done, error)
            now = self._wall()
            # A clock that was set back must not end the ticks.
            if job is None or now >= due or now < due - TICK_SECONDS:
                due = now + TICK_SECONDS
                self._tick()

    def _worked(self, work: Work, group: Group) -> StoreFault | None:
        """Do something with one group, or say why not."""
        self._next_block = max(self._next_block, group.next_block() if group.entries else 0)
        if group.sessions:
            self._next_number = max(self._next_number, max(group.sessions) + 1)
        try:
            work(self._connected(), group)
        except (sqlite3.Error, OSError, OverflowError) as error:
            self._refuse(group)
            return self._failed(error)
        except StoreFault as fault:
            self._refuse(group)
            self.problem = str(fault)
            return fault
        return None

    def _commit(self, connection: sqlite3.Connection, group: Group) -> None:
        """Make one group durable, all or nothing."""
        if self._refuses:
            self._check_room(connection, group)
        connection.execute(COMMIT, self._cells(group))
        self.live_bytes += group.entry_bytes
        self.room_bytes -= group.entry_bytes
        if group.entries or not self.full:
            self.problem = None
            self.full = False
        else:
            self._look_for_room(connection)

    def _refuse(self, group: Group) -> None:
        if group.entries:
            self.full = True
            self._refused_bytes = group.entry_bytes

    def _cells(self, group: Group) -> list[str | bytes | int | float | None]:
        now = self._wall()
        # What is gone must not be all that told the highest number.
        removes = bool(group.finished_blocks or group.trimmed) or None in group.sessions.values()
        alive: float | None = None
        if removes or not 0 <= now - self._alive_at < ALIVE_SECONDS:
            alive = self._alive_at = now
        return commit_cells(group, self._next_block, self._next_number, alive)

    def _check_room(self, connection: sqlite3.Connection, group: Group) -> None:
        """Refuse messages over the bytes allowed; what makes room, or takes little, may always pass."""
        if self.has_room(group):
            return
        self._measure(connection)
        if self.live_bytes + group.entry_bytes > self._bytes_max:
            raise StoreFault(
                f"{self._path} is full: {self.live_bytes} bytes of the {self._bytes_max} that "
                "store.bytes_max allows"
            )
        if not self._refuses and self.room_bytes < 2 * group.entry_bytes + ROOM_BYTES_MIN:
            raise StoreFault(
                f"{self._path} cannot grow: {self.room_bytes} bytes are free; make room on the disk"
            )

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if not self._path.exists():  # A new one would begin without all that was promised.
            raise StoreFault(f"{self._path} is gone: put it back, or start the node again")
        return self.connect()

    def _failed(self, error: sqlite3.Error | OSError | OverflowError) -> StoreFault:
        fault = fault_of(self._path, error)
        self.problem = str(fault)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG):
            # After an error of the disk nothing the connection remembers is to be trusted.
            self._disconnect()
        return fault

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _tick(self) -> None:
        """Note that the node is alive, give back free pages, measure."""
        try:
            connection = self._connected()
            self._alive_at = self._wall()
            connection.execute(
                "UPDATE meta SET next_block = max(next_block, ?), next_number = max(next_number, ?),"
                " alive_at = ?",
                (self._next_block, self._next_number, self._alive_at),
            )
            self._shrink(connection)
            self._look_for_room(connection)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
        except StoreFault as fault:
            self.problem = str(fault)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give free pages back, unless a commit waits."""
        for _ in range(SHRINKS_PER_TICK):
            live, free = page_bytes(connection)
            if free < FREE_BYTES_KEPT or free < live // 4:
                return
            # Only a script is stepped to its end: this statement has a step for each page and no columns.
            connection.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
            if not self._queue.empty():
                return

    def _look_for_room(self, connection: sqlite3.Connection) -> None:
        """Measure; forget the problem once the commit that failed would find room, and some to spare.

        Each refusal costs clients their links, so it must not come again with the next message.
        """
        try:
            self._measure(connection)
        except (sqlite3.Error, OSError):
            return
        bytes_max = self._bytes_max
        wanted = min(self._refused_bytes + bytes_max // SPARE_PART, bytes_max // 4)
        if self.problem is None or (
            self.room_bytes >= 2 * self._refused_bytes + ROOM_BYTES_MIN
            and self.live_bytes + wanted <= bytes_max
        ):
            self.problem = None
            self.full = False

    def _measure(self, connection: sqlite3.Connection) -> None:
        self.live_bytes, _ = page_bytes(connection)
        self.file_bytes = file_bytes(self._path)
        self.room_bytes = shutil.disk_usage(self._path.parent).free

    def problems(self) -> list[str]:
        """What is wrong now."""
        found = [] if self.problem is None else [self.problem]
        if self.live_bytes > ALARM_PART * self._bytes_max:
            found.append(
                f"{self._path} holds {self.live_bytes} bytes of the {self._bytes_max} that "
                "store.bytes_max allows"
            )
        return found
