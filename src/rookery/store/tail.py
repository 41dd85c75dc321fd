"""The end of a cell's log, as its only writer knows it.

An append that was not answered may be there, may come to be there later, or never will. What makes that
harmless is that every append names the record it goes behind, so that of all that were tried at one place only
one can ever stand there:

- While it lasts, the writer looks at that place. It finds its own record there, which is then done, or
  tries again.
- When it gives the record up, that stays in doubt. Whoever appends next looks again. Where the doubtful
  record stands after all, the next one goes behind it and says that it follows the one before, which makes
  void what lies between (see ``replay``). Where it does not, the next one takes its place, and with that it
  can never come.
- Should the writer end before anything is appended behind it, then what it gave up was never acknowledged and
  may be found or not, as after any crash.

What stands there and is neither is somebody else's: the writer is fenced and appends nothing any more.
"""

import asyncio
from typing import Final

from rookery.ports import CellLog, Clock, LogFenced, LogUnavailable
from rookery.records_wire import HEAD_BYTES, Record, encode_record

PATIENCE_SECONDS: Final = 12.0
"""How long a record is tried: longer than the log needs to elect a leader, 4 to 9 s, since what fails is sent again by
all who wait for it. Where there is no majority, the lease is over long before, and with it all links that wait."""
LAST_PATIENCE_SECONDS: Final = 3.0
"""The same while the node ends."""
RECORD_BYTES_MAX: Final = 1_048_576
"""How large a record is made at most: the loop has a check sum of each to reckon and a copy to make."""
PAUSE_SECONDS: Final = 0.05
"""Between two attempts."""


class Tail:
    """Appends records one at a time."""

    def __init__(
        self, log: CellLog, epoch: int, boot: int, clock: Clock, patience_seconds: float
    ) -> None:
        self.counts: int = 0
        """The last record that counts: the next one follows it. For who appends to move on."""
        self.end: int = 0
        """The last record known to be there."""
        self._log = log
        self._epoch = epoch
        self._boot = boot
        self._wall = clock.wall
        self._patience_seconds = patience_seconds
        self._number = 0
        self._trying: asyncio.Timeout | None = None
        self._doubtful: list[bytes] = []
        """The heads of what may stand behind ``end``, or come to; no two records have the same."""

    @property
    def payload_bytes_max(self) -> int:
        """How much one record may carry."""
        return min(self._log.record_bytes_max, RECORD_BYTES_MAX) - HEAD_BYTES

    async def append(self, kind: int, payloads: list[bytes]) -> int:
        """Append the records of one group; their bytes. The last of them is then ``end``.

        Raises ``LogUnavailable`` where it gave up, and ``LogFenced``.
        """
        self._number += 1
        wall_ms = int(self._wall() * 1000.0)
        size_bytes = 0
        for part, payload in enumerate(payloads):
            follows = self.end if part else self.counts
            last = part + 1 == len(payloads)
            record = encode_record(
                Record(
                    kind,
                    self._epoch,
                    self._boot,
                    self._number,
                    follows,
                    wall_ms,
                    part,
                    last,
                    payload,
                )
            )
            size_bytes += len(record)
            try:
                async with asyncio.timeout(self._patience_seconds) as self._trying:
                    await self._put(record)
            except TimeoutError:
                raise LogUnavailable(
                    f"no answer to record {self.end + 1} within {self._patience_seconds:g} seconds"
                ) from None
            finally:
                self._trying = None
        return size_bytes

    def hurry(self) -> None:
        """The node ends: give up sooner what is not answered."""
        self._patience_seconds = min(self._patience_seconds, LAST_PATIENCE_SECONDS)
        trying = self._trying
        if trying is not None:
            soon = asyncio.get_running_loop().time() + self._patience_seconds
            trying.reschedule(min(trying.when() or soon, soon))

    async def _put(self, record: bytes) -> None:
        """Try until it is there."""
        head = record[:HEAD_BYTES]
        fenced: LogFenced | None = None
        while True:
            try:
                if (self._doubtful or fenced) and await self._found(head, fenced):
                    return
                fenced = None
                # From here on it may be there, even if nobody is told.
                if head not in self._doubtful:
                    self._doubtful.append(head)
                sequence = await self._log.append(record, self.end)
            except LogUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
            except LogFenced as error:
                if fenced is not None:
                    raise
                fenced = error
            else:
                assert sequence == self.end + 1, "the log takes a record where it was not to go"
                self._move(sequence)
                return

    async def _found(self, head: bytes, fenced: LogFenced | None) -> bool:
        """Whether the record stands where it should. Moves on behind one that was given up."""
        while True:
            found = await self._log.read(self.end + 1, 1)
            if found:
                break
            if fenced is None:
                return False
            # Something is there, and the replica that was asked has not heard of it yet.
            await asyncio.sleep(PAUSE_SECONDS)
        sequence, data = found[0]
        found_head = data[:HEAD_BYTES]
        if found_head not in self._doubtful or sequence != self.end + 1:
            raise fenced or LogFenced(f"record {sequence} is another writer's")
        self._move(sequence)
        return found_head == head

    def _move(self, sequence: int) -> None:
        self.end = sequence
        self._doubtful.clear()
