"""Group commit and the message log: what a turn must keep becomes durable together.

There is one open group. It is handed to the store at the end of a turn, when the one before is done:
while a commit is under way the next group collects what comes, so that the batches grow with
the load. Groups are numbered; whoever must wait remembers the number of the group its state went
into, and is told when that group, and so every one before it, is durable.

A group that cannot be committed is given up with the one behind it: their messages were never taken. What
they held of state is tried again without any message, so that a full disk takes what makes room on it. What
must not be durable without its message waits until messages are taken again: a retained topic's new position,
a will's removal from its session's row, and the end of a session that handed a message over.

``references`` counts, block by block, how often the log's entries are referred to (by sessions that are owed
them, by retained topics); the blocks that nobody refers to any more go with the next group.
"""

from collections.abc import Callable
from typing import Final, Protocol

from rookery.engine.references import References
from rookery.engine.stats import Stats
from rookery.message import Message
from rookery.ports import Store
from rookery.records import (
    Group,
    Loaded,
    ProgressRow,
    SessionRow,
    block_of,
    encode_message,
    position_of,
)

PENDING_BYTES_MAX: Final = 4_194_304
"""Bytes of entries not yet durable beyond which clients are not read from."""
LAZY_SECONDS: Final = 0.25
"""How long what nobody waits for may stay uncommitted."""


# Compiled classes name it as a base: mypyc calls those directly, and others as Python does.
class Waiter(Protocol):
    """Somebody who holds something back until a group is durable."""

    def committed(self, group: int, error: Exception | None) -> None:
        """The group is durable, or (with an error) nothing of it may be acknowledged."""

    def room(self) -> None:
        """A commit is done, so there may be room for more."""


class ProgressSource(Protocol):
    """A durable session whose progress changed."""

    def progress_row(self) -> ProgressRow | None:
        """How far it has come; ``None`` when it has ended meanwhile."""


class Committer:
    """The open group, the commit under way, and who waits for which."""

    def __init__(
        self,
        store: Store,
        stats: Stats,
        wall_minus_monotonic: float,
        done: Callable[[], None],
        failed: Callable[[int], None],
    ) -> None:
        """``done`` is told that a commit is done, ``failed`` from which position on nothing was taken.

        That is 0 when it was none but state.
        """
        self.wall_minus_monotonic = wall_minus_monotonic
        self.failing: bool = False
        """Whether a commit failed and none says yet that there is room: no message is taken then."""
        self.stuck: bool = False
        """Whether the last commit failed: not even state can be kept, as far as is known."""
        self.group = Group(1)
        """The open group."""
        self.number: int = 1
        """Its number."""
        self.durable: int = 0
        """The last group that is durable, and with it all before."""
        self.dates: bool = False
        """Whether entries say when they were made, because messages may become too old to wait."""
        self.now: float = 0.0
        """The monotonic clock as of this turn."""
        self.references = References()
        self._store = store
        self._tell_done = done
        self._tell_failed = failed
        self._stats = stats
        self._waiters: dict[int, list[Waiter]] = {}
        self._crowd: list[Waiter] = []
        self._urgent: bool = False
        self._full: bool = False
        self._opened_at: float = 0.0
        self._under_way: Group | None = None
        self._changed: dict[ProgressSource, bool] = {}
        self._release_with: list[tuple[int, int]] = []
        """Group and position: references that end when the group is durable."""
        self._release_again: list[int] = []
        """The positions of those whose group failed."""
        self._tied: dict[int, int] = {}
        """By session: the group with the message that its row goes with."""
        self._tied_rows: dict[int, SessionRow | None] = {}
        self.lost_retained: dict[str, int] = {}
        """By topic name: the position of a retained message that is not in the log after all."""
        self.origin: str = ""
        """The node that kept the message which is being put into the log now; empty where none did."""
        self.origin_number: int = 0
        """The number by which that node knows it."""
        self._next_session: int = 1

    def start_from(self, loaded: Loaded) -> None:
        """Go on where the store's last user ended."""
        self.group.block = max(loaded.next_block, block_of(_highest_position(loaded)) + 1)
        self._next_session = loaded.next_number

    def new_session_number(self) -> int:
        """A number no session ever had."""
        number = self._next_session
        self._next_session = number + 1
        return number

    def never_give(self, number: int) -> None:
        """A number that the store may not know to be taken, as no session's row has it."""
        self._next_session = max(self._next_session, number + 1)

    def append(
        self, message: Message, targets: tuple[int, ...], share: str = "", heirs: bytes = b""
    ) -> int:
        """Put a message into the log; return its position. The caller then counts the references."""
        kept_at = self.now if self.dates else None
        return self.append_entry(
            encode_message(
                message,
                self.wall_minus_monotonic,
                targets,
                share,
                kept_at,
                heirs,
                self.origin,
                self.origin_number,
            )
        )

    def append_entry(self, entry: bytes) -> int:
        """The same with a message that was made an entry before."""
        group = self.group
        position = position_of(group.block, len(group.entries))
        group.entries.append(entry)
        group.entry_bytes += len(entry)
        self._urgent = True
        self._full = self._holds_too_much()
        return position

    def end(self) -> int:
        """The position the next message will get, or a lower one than it."""
        return position_of(self.group.block, len(self.group.entries))

    def readable_end(self) -> int:
        """Positions lower than this can be read from the store, or are lost with a failed commit."""
        if self._under_way is not None and self._under_way.entries:
            return position_of(self._under_way.block, 0)
        return position_of(self.group.block, 0)

    def entry_at(self, position: int) -> bytes | None:
        """An entry that cannot be read from the store yet; ``None`` where it was lost with a failed commit."""
        for group in (self._under_way, self.group):
            if group is not None:
                index = position - position_of(group.block, 0)
                if 0 <= index < len(group.entries):
                    return group.entries[index]
        return None

    def refer(self, position: int, count: int) -> None:
        """Count that many more references to an entry."""
        self.references.add(position, count)

    def release(self, position: int) -> None:
        """Somebody who referred to the entry is done with it."""
        if self.references.remove(position):
            block = block_of(position)
            if block < self.group.block:
                self.group.finished_blocks.append(block)

    def release_with_group(self, position: int) -> None:
        """Release the entry when the open group, which replaces it, is durable."""
        if self.failing:
            self._release_again.append(position)
        else:
            self._release_with.append((self.number, position))

    def held_back(self) -> list[int]:
        """The positions of entries that are referred to until what replaces them is durable."""
        return [*[position for _, position in self._release_with], *self._release_again]

    def tie(self, number: int) -> None:
        """What a session's row says from now on is true only with a message of the open group."""
        self._tied[number] = self.number

    def keep_session(self, number: int, row: SessionRow | None) -> None:
        """Keep a session's row; not before a message that it goes with, if that could not be taken."""
        if self.failing and number in self._tied:
            self._tied_rows[number] = row
        else:
            self.group.sessions[number] = row

    def trims_pending(self) -> bool:
        """Whether a group that is not durable yet trims blocks."""
        if self._under_way is not None and self._under_way.trimmed:
            return True
        return len(self.group.trimmed) > 0

    def must_keep(self) -> int:
        """Somebody will wait for what was put into the open group; return its number."""
        self._urgent = True
        return self.number

    def touch(self, source: ProgressSource) -> None:
        """A session's progress changed. Nobody waits for that: what is lost of it is sent again."""
        self._changed[source] = True

    def wait(self, group: int, waiter: Waiter) -> None:
        """Tell ``waiter`` when the group is done; once for each call."""
        waiters = self._waiters.get(group)
        if waiters is None:
            self._waiters[group] = [waiter]
        else:
            waiters.append(waiter)

    def crowded(self) -> bool:
        """Whether so much waits for the disk that nothing more should be taken in."""
        return self._full

    def _holds_too_much(self) -> bool:
        pending = self.group.entry_bytes
        if self._under_way is not None:
            pending += self._under_way.entry_bytes
        return pending > PENDING_BYTES_MAX

    def wait_for_room(self, waiter: Waiter) -> None:
        """Tell ``waiter`` when the commit under way is done."""
        self._crowd.append(waiter)

    def flush(self, now: float) -> None:
        """Commit the open group, unless one is under way or it holds nothing that presses."""
        if self._under_way is not None:
            return
        if not self._urgent:
            # While it fails an empty group is tried as well, to learn when it no longer does.
            if not self._changed and self.group.empty() and not self.failing:
                self._opened_at = now
                return
            if now < self._opened_at + LAZY_SECONDS:
                return
        self._opened_at = now
        self._urgent = False
        group = self._close_group()
        number = self.number
        self.number = number + 1
        self._under_way = group
        self._store.commit(group, lambda error: self._done(number, error))

    def idle(self) -> bool:
        """Whether everything that anybody waits for is done."""
        return self._under_way is None and not self._urgent and not self._waiters

    def finish(self, now: float) -> None:
        """Commit even what nobody waits for: the node is stopping."""
        if self._changed or not self.group.empty():
            self._urgent = True
        self.flush(now)

    def _close_group(self) -> Group:
        group = self.group
        for source in self._changed:
            row = source.progress_row()
            if row is not None:
                group.progress[row.number] = row
        self._changed = {}
        if self._tied_rows:
            for number in group.sessions:
                self._tied_rows.pop(number, None)
        next_block = group.next_block()
        for block in range(group.block, next_block):
            if self.references.holds(block):
                entries = group.block_entries(block)
                size_bytes = sum([len(entry) for entry in entries])
                self.references.weigh(block, len(entries), size_bytes, 0)
            else:
                group.finished_blocks.append(block)
        self.group = Group(next_block)
        return group

    def _done(self, number: int, error: Exception | None) -> None:
        group = self._under_way
        assert group is not None
        self._under_way = None
        if error is None:
            self.durable = number
            self.stuck = False
            self._end_ties(number)
            if self.failing:
                self.failing = self._store.full()
            self._stats.commits += 1
            self._stats.records_committed += len(group.entries)
            for block, kept in group.trimmed.items():
                self.references.reduce(block, len(kept))
        else:
            self.failing = True
            self.stuck = True
            self._stats.commits_failed += 1
            number = self._fail_open_group(group)
        self._full = self._holds_too_much()
        for each in [each for each in self._waiters if each <= number]:
            for waiter in self._waiters.pop(each):
                waiter.committed(each, error)
        crowd = self._crowd
        self._crowd = []
        for waiter in crowd:
            waiter.room()
        self._tell_done()

    def _fail_open_group(self, group: Group) -> int:
        """Give up the open group as well: nothing of it may overtake what was lost with the one before.

        What the groups held of state is tried again, after a while; their messages were never taken, and
        what they trimmed is looked at anew: it takes room before it gives any.
        Returns the number of the open group.
        """
        opened = self.group
        self.group = Group(opened.next_block())
        for _, position in self._release_with:
            self._release_again.append(position)
        self._release_with.clear()
        self._keep_for_later(opened)
        self._keep_for_later(group)
        lost = group.entries or opened.entries
        self._tell_failed(position_of(group.block, 0) if lost else 0)
        self._urgent = False
        number = self.number
        self.number = number + 1
        return number

    def _end_ties(self, number: int) -> None:
        if self._release_with:
            left: list[tuple[int, int]] = []
            for group, position in self._release_with:
                if group <= number:
                    self.release(position)
                else:
                    left.append((group, position))
            self._release_with = left
        if self._tied and not self.failing:
            for session in [each for each, group in self._tied.items() if group <= number]:
                del self._tied[session]

    def take_again(self) -> None:
        """There is room again: what waited for messages goes with the open group, which has them."""
        for position in self._release_again:
            self._release_with.append((self.number, position))
            self._urgent = True
        self._release_again.clear()
        for number, session in self._tied_rows.items():
            self.group.sessions.setdefault(number, session)
        self._tied_rows.clear()
        self._tied.clear()

    def _keep_for_later(self, group: Group) -> None:
        later = self.group
        for number, session in group.sessions.items():
            if number in self._tied:
                self._tied_rows.setdefault(number, session)
            else:
                later.sessions.setdefault(number, session)
        for written, subscription in group.subscriptions.items():
            later.subscriptions.setdefault(written, subscription)
        for number, progress in group.progress.items():
            later.progress.setdefault(number, progress)
        for key, outbound in group.outbound.items():
            later.outbound.setdefault(key, outbound)
        for key, held in group.inbound.items():
            if not held:
                later.inbound.setdefault(key, held)
        for topic, position in group.retained.items():
            if topic in later.retained or topic in self.lost_retained:
                continue
            if position is None:
                later.retained[topic] = None
            else:
                self.lost_retained[topic] = position
        for fact, value in group.facts.items():
            later.facts.setdefault(fact, value)
        later.finished_blocks.extend(group.finished_blocks)


def _highest_position(loaded: Loaded) -> int:
    """The highest position any row names, which may lie beyond the last block if a commit failed."""
    highest = 0
    for progress in loaded.progress:
        highest = max(highest, progress.cursor, progress.sent, *progress.done)
    for subscription in loaded.subscriptions:
        highest = max(highest, subscription.began)
    for outbound in loaded.outbound:
        highest = max(highest, outbound.position)
    return highest
