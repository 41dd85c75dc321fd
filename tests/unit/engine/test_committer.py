import pytest

from rookery.engine.committer import Committer
from rookery.engine.stats import Stats
from tests.support.engine import FakeStore


class Patient:
    def __init__(self) -> None:
        self.told: list[tuple[int, Exception | None]] = []

    def committed(self, group: int, error: Exception | None) -> None:
        self.told.append((group, error))


class Rig:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.stats = Stats(0.0)
        self.committer = Committer(self.store, self.stats)


RECORDS = [SessionRecord(name, 1) for name in "abc"]


def test_the_records_of_one_turn_are_one_group():
    rig = Rig()
    assert [rig.committer.add(record) for record in RECORDS[:2]] == [1, 1]
    rig.committer.flush()
    assert rig.committer.add(RECORDS[2]) == 2
    rig.committer.flush()
    assert rig.store.groups == [RECORDS[:2], RECORDS[2:]]


def test_an_empty_group_is_not_committed():
    rig = Rig()
    rig.committer.flush()
    assert rig.store.groups == []
    assert rig.committer.add(RECORDS[0]) == 1


def test_who_waits_is_told_when_the_group_is_done():
    rig, one, other = Rig(), Patient(), Patient()
    rig.committer.wait(rig.committer.add(RECORDS[0]), one)
    rig.committer.wait(1, other)
    rig.committer.flush()
    assert one.told == []
    rig.store.complete()
    assert one.told == other.told == [(1, None)]
    assert (rig.stats.commits, rig.stats.records_committed) == (1, 1)


def test_each_group_tells_its_own():
    rig, waiter = Rig(), Patient()
    for record in RECORDS[:2]:
        rig.committer.wait(rig.committer.add(record), waiter)
        rig.committer.flush()
    rig.store.complete()
    assert waiter.told == [(1, None)]
    rig.store.complete()
    assert waiter.told == [(1, None), (2, None)]


def test_a_failure_is_told_counted_and_over_with_the_next_success():
    rig, waiter, error = Rig(), Patient(), OSError("full")
    for record in RECORDS[:2]:
        rig.committer.wait(rig.committer.add(record), waiter)
        rig.committer.flush()
    rig.store.complete(error)
    assert waiter.told == [(1, error)]
    assert rig.committer.failing
    assert (rig.stats.commits, rig.stats.commits_failed) == (0, 1)
    assert rig.stats.records_committed == 0
    rig.store.complete()
    assert not rig.committer.failing


def test_idle_is_when_nobody_waits_for_anything():
    rig = Rig()
    assert rig.committer.idle()
    rig.committer.wait(rig.committer.add(RECORDS[0]), Patient())
    assert not rig.committer.idle(), "a record is open"
    rig.committer.flush()
    assert not rig.committer.idle(), "a commit is under way"
    rig.store.complete()
    assert rig.committer.idle()


def test_a_waiter_that_does_not_listen_is_none():
    rig = Rig()
    rig.committer.wait(rig.committer.add(RECORDS[0]), object())
    rig.committer.flush()
    with pytest.raises(AttributeError):
        rig.store.complete()
