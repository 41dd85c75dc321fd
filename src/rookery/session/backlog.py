"""The positions a durable session is owed and does not hold in memory, packed.

An offline session's queue is a list of places in the message log: one or a few bytes for the distance
to the one before, and one for how to deliver it. The messages themselves stay in the store until the
client is back.
"""

from typing import Final

QOS_MASK: Final = 0x03
RETAIN: Final = 0x04
SHARED: Final = 0x08

COMPACT_BYTES: Final = 4_096


class Backlog:
    """A queue of (position, flags), positions ascending."""

    def __init__(self) -> None:
        self.count: int = 0
        self._packed: bytearray = bytearray()
        self._at: int = 0
        self._first: int = 0
        """The position before the first one still packed."""
        self._last: int = 0
        self._removed_bytes: int = 0
        """How much of what was ever packed is no longer in ``_packed``."""

    def append(self, position: int, flags: int) -> None:
        """Add a position higher than all before."""
        packed = self._packed
        distance = position - self._last
        assert distance > 0, "positions rise"
        while distance > 0x7F:
            packed.append((distance & 0x7F) | 0x80)
            distance >>= 7
        packed.append(distance)
        packed.append(flags)
        self._last = position
        self.count += 1

    def take(self, count: int, below: int) -> list[tuple[int, int]]:
        """Remove up to ``count`` positions lower than ``below`` from the front, in order."""
        taken: list[tuple[int, int]] = []
        packed = self._packed
        at = self._at
        position = self._first
        while at < len(packed) and len(taken) < count:
            end = at
            distance = 0
            shift = 0
            byte = packed[end]
            while byte & 0x80:
                distance |= (byte & 0x7F) << shift
                shift += 7
                end += 1
                byte = packed[end]
            distance |= byte << shift
            if position + distance >= below:
                break
            position += distance
            taken.append((position, packed[end + 1]))
            at = end + 2
        self._first = position
        self.count -= len(taken)
        if at >= len(packed):
            self._packed = bytearray()
            self._removed_bytes += at
            at = 0
        elif at >= COMPACT_BYTES and at * 2 >= len(packed):
            del packed[:at]
            self._removed_bytes += at
            at = 0
        self._at = at
        return taken

    def first(self) -> int:
        """The lowest position, 0 when there is none."""
        if self.count == 0:
            return 0
        packed = self._packed
        at = self._at
        distance = 0
        shift = 0
        byte = packed[at]
        while byte & 0x80:
            distance |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            byte = packed[at]
        return self._first + (distance | byte << shift)

    def last(self) -> int:
        """The highest position there ever was."""
        return self._last

    def size_bytes(self) -> int:
        """The memory the packed positions take."""
        return len(self._packed)

    def look(self, walk: "BacklogWalk", count: int) -> list[int]:
        """Up to ``count`` positions from where a walk has come, which goes on behind them."""
        found: list[int] = []
        packed = self._packed
        at = walk.offset - self._removed_bytes
        position = walk.position
        if at < self._at:
            at = self._at
            position = self._first
        while at < len(packed) and len(found) < count:
            distance = 0
            shift = 0
            byte = packed[at]
            while byte & 0x80:
                distance |= (byte & 0x7F) << shift
                shift += 7
                at += 1
                byte = packed[at]
            position += distance | (byte << shift)
            found.append(position)
            at += 2
        walk.offset = at + self._removed_bytes
        walk.position = position
        walk.done = at >= len(packed)
        return found


class BacklogWalk:
    """A look at all positions of a backlog, some at a time, while it goes on being used.

    What is in the backlog all the time is met once; what comes or is taken meanwhile once or not.
    """

    def __init__(self, backlog: Backlog) -> None:
        self.done: bool = False
        """Whether there was nothing behind the last positions taken."""
        self.offset: int = 0
        """How many bytes of all that was ever packed lie behind it."""
        self.position: int = 0
        """The last one met."""
        self._backlog = backlog

    def take(self, count: int) -> list[int]:
        """The next positions."""
        return self._backlog.look(self, count)
