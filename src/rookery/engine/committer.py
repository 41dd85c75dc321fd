"""Group commit: the records of one turn become durable together, and acknowledgements wait for it.

Groups are numbered; whoever must wait for a record remembers the number of the group it went into and
is told when that group, and so every one before it, is done.
"""

from typing import Protocol

from rookery.engine.stats import Stats
from rookery.ports import Record, Store


# Compiled classes name it as a base: mypyc calls those directly, and others as Python does.
class Waiter(Protocol):
    """Somebody who holds something back until a group is durable."""

    def committed(self, group: int, error: Exception | None) -> None:
        """The group is durable, or (with an error) nothing of it may be acknowledged."""


class Committer:
    """Collects records and hands them to the store once per turn."""

    def __init__(self, store: Store, stats: Stats) -> None:
        self.failing: bool = False
        """Whether the last group failed: the node is not ready then."""
        self._store = store
        self._stats = stats
        self._group: int = 1
        self._records: list[Record] = []
        self._waiters: dict[int, list[Waiter]] = {}

    def add(self, record: Record) -> int:
        """Put a record into the open group; return the group's number."""
        self._records.append(record)
        return self._group

    def wait(self, group: int, waiter: Waiter) -> None:
        """Tell ``waiter`` when the group is done; once for each call."""
        waiters = self._waiters.get(group)
        if waiters is None:
            self._waiters[group] = [waiter]
        else:
            waiters.append(waiter)

    def flush(self) -> None:
        """Close the open group and commit it, if it holds anything."""
        if not self._records:
            return
        group = self._group
        records = self._records
        self._group = group + 1
        self._records = []
        self._store.commit(records, lambda error: self._done(group, len(records), error))

    def idle(self) -> bool:
        """Whether everything that anybody waits for is done."""
        return not self._records and not self._waiters

    def _done(self, group: int, count: int, error: Exception | None) -> None:
        self.failing = error is not None
        if error is None:
            self._stats.commits += 1
            self._stats.records_committed += count
        else:
            self._stats.commits_failed += 1
        for waiter in self._waiters.pop(group, []):
            waiter.committed(group, error)
