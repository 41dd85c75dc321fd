import pytest

from rookery.engine.committer import LAZY_SECONDS, PENDING_BYTES_MAX, Committer
from rookery.engine.stats import Stats
from rookery.message import node_message
from rookery.records import (
    ENTRIES_PER_BLOCK_MAX,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
    position_of,
)
from tests.support.engine import FakeStore

ERROR = OSError("full")


class Patient:
    def __init__(self) -> None:
        self.told: list[tuple[int, Exception | None]] = []
        self.rooms = 0

    def committed(self, group: int, error: Exception | None) -> None:
        self.told.append((group, error))

    def room(self) -> None:
        self.rooms += 1


class Source:
    """A session whose progress changed; without a number it has ended."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.cursor = 0

    def progress_row(self) -> ProgressRow | None:
        return ProgressRow(self.number, self.cursor, 0, []) if self.number else None


class Rig:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.stats = Stats(0.0)
        self.done = 0
        self.failed: list[int] = []
        self.committer = Committer(self.store, self.stats, 0.0, self._done, self.failed.append)

    def _done(self) -> None:
        self.done += 1

    def append(self, payload: bytes = b"m", references: int = 1) -> int:
        position = self.committer.append(node_message("t", payload, False, 0.0), ())
        if references:
            self.committer.refer(position, references)
        return position

    def commit(self, now: float = 0.0, error: Exception | None = None) -> None:
        self.committer.flush(now)
        self.store.complete(error)


class TestGroups:
    def test_what_one_turn_keeps_is_one(self):
        rig = Rig()
        assert [rig.append(), rig.append()] == [position_of(1, 0), position_of(1, 1)]
        rig.commit()
        assert rig.append() == position_of(2, 0)
        rig.commit()
        assert [len(group.entries) for group in rig.store.groups] == [2, 1]
        assert [group.block for group in rig.store.groups] == [1, 2]

    def test_one_with_many_messages_takes_the_blocks_it_needs(self):
        rig = Rig()
        many = [rig.append() for _ in range(ENTRIES_PER_BLOCK_MAX + 1)]
        assert many[-1] == position_of(2, 0)
        rig.committer.release(many[-1])
        assert rig.committer.group.finished_blocks == [], "it is not written yet"
        rig.commit()
        assert rig.store.groups[0].finished_blocks == [2]
        assert rig.append() == position_of(3, 0)
        rig.commit()
        assert sorted(rig.store.blocks) == [1, 3]
        assert len(rig.store.blocks[1]) == ENTRIES_PER_BLOCK_MAX

    def test_one_is_under_way_while_the_next_collects(self):
        rig = Rig()
        rig.append()
        rig.committer.flush(0.0)
        rig.append()
        rig.committer.flush(0.0)
        rig.append()
        rig.committer.flush(0.0)
        assert rig.store.waiting == 1
        rig.store.complete()
        assert rig.done == 1
        rig.commit()
        assert [len(group.entries) for group in rig.store.groups] == [1, 2]

    def test_an_empty_one_is_not_committed(self):
        rig = Rig()
        for now in (0.0, 10.0):
            rig.committer.flush(now)
        assert rig.store.groups == []

    def test_one_without_messages_takes_no_block(self):
        rig = Rig()
        rig.committer.group.retained["t"] = None
        rig.committer.must_keep()
        rig.commit()
        assert rig.append() == position_of(1, 0)


class TestLaziness:
    def test_what_nobody_waits_for_waits_a_while(self):
        rig = Rig()
        rig.committer.flush(10.0)
        rig.committer.group.outbound[1, 1] = None
        rig.committer.flush(10.0 + LAZY_SECONDS / 2)
        assert rig.store.waiting == 0
        rig.committer.flush(10.0 + LAZY_SECONDS)
        assert rig.store.waiting == 1

    def test_progress_is_taken_when_the_group_closes(self):
        rig, source = Rig(), Source(7)
        rig.committer.flush(10.0)
        rig.committer.touch(source)
        source.cursor = 5
        rig.commit(11.0)
        assert rig.store.content.progress[7].cursor == 5
        rig.committer.flush(20.0)
        assert rig.store.waiting == 0, "it did not change again"

    def test_progress_goes_along_with_what_presses(self):
        rig, source = Rig(), Source(7)
        rig.committer.touch(source)
        rig.append()
        rig.commit()
        assert 7 in rig.store.content.progress

    def test_a_session_that_has_ended_has_none(self):
        rig = Rig()
        rig.committer.touch(Source(0))
        rig.append()
        rig.commit()
        assert rig.store.content.progress == {}

    def test_at_the_end_nothing_waits(self):
        rig = Rig()
        rig.committer.touch(Source(7))
        rig.committer.finish(0.0)
        assert rig.store.waiting == 1
        rig.store.complete()
        rig.committer.finish(0.0)
        assert rig.store.waiting == 0


class TestWaiting:
    def test_who_waits_is_told_when_the_group_is_done(self):
        rig, one, other = Rig(), Patient(), Patient()
        rig.append()
        for waiter in (one, other):
            rig.committer.wait(rig.committer.must_keep(), waiter)
        rig.committer.flush(0.0)
        assert one.told == []
        rig.store.complete()
        assert one.told == other.told == [(1, None)]
        assert rig.committer.durable == 1
        assert (rig.stats.commits, rig.stats.records_committed) == (1, 1)

    def test_each_group_tells_its_own(self):
        rig, waiter = Rig(), Patient()
        rig.committer.wait(rig.committer.must_keep(), waiter)
        rig.committer.flush(0.0)
        rig.committer.wait(rig.committer.must_keep(), waiter)
        rig.store.complete()
        assert waiter.told == [(1, None)]
        rig.commit()
        assert waiter.told == [(1, None), (2, None)]

    def test_idle_is_when_nobody_waits_for_anything(self):
        rig = Rig()
        assert rig.committer.idle()
        rig.committer.wait(rig.committer.must_keep(), Patient())
        assert not rig.committer.idle(), "a group is open"
        rig.committer.flush(0.0)
        assert not rig.committer.idle(), "a commit is under way"
        rig.store.complete()
        assert rig.committer.idle()

    def test_it_is_not_idle_while_a_commit_is_under_way_that_nobody_waits_for(self):
        rig = Rig()
        rig.append()
        assert not rig.committer.idle()
        rig.committer.flush(0.0)
        assert not rig.committer.idle()
        rig.store.complete()
        assert rig.committer.idle()

    def test_room_is_told_once_when_a_commit_is_done(self):
        rig, waiter = Rig(), Patient()
        rig.append(b"x" * PENDING_BYTES_MAX)
        assert rig.committer.crowded()
        rig.committer.flush(0.0)
        assert rig.committer.crowded(), "it is not on the disk yet"
        rig.committer.wait_for_room(waiter)
        rig.store.complete()
        assert waiter.rooms == 1
        assert not rig.committer.crowded()
        rig.append()
        rig.commit()
        assert waiter.rooms == 1


class TestReferences:
    def test_a_block_nobody_refers_to_is_finished(self):
        rig = Rig()
        first, second = rig.append(references=2), rig.append()
        rig.commit()
        for position in (first, second):
            rig.committer.release(position)
        assert rig.committer.references.holds(1)
        assert rig.committer.group.finished_blocks == []
        rig.committer.release(first)
        assert not rig.committer.references.holds(1)
        rig.committer.finish(0.0)
        rig.store.complete()
        assert rig.store.blocks == {}

    def test_one_released_before_its_commit_never_stays(self):
        rig = Rig()
        rig.committer.release(rig.append())
        rig.append(references=0)
        rig.commit()
        assert rig.store.groups[0].finished_blocks == [1]
        assert rig.store.blocks == {}

    def test_one_released_while_it_is_under_way_goes_with_the_next(self):
        rig = Rig()
        position = rig.append()
        rig.committer.flush(0.0)
        rig.committer.release(position)
        rig.store.complete()
        assert list(rig.store.blocks) == [1]
        rig.committer.finish(0.0)
        rig.store.complete()
        assert rig.store.blocks == {}

    def test_only_what_is_written_can_be_read(self):
        rig = Rig()
        first = rig.append()
        assert rig.committer.readable_end() <= first
        rig.committer.flush(0.0)
        second = rig.append()
        assert rig.committer.readable_end() <= first
        rig.store.complete()
        assert first < rig.committer.readable_end() <= second


class TestFailure:
    def test_is_told_counted_and_over_with_the_next_success(self):
        rig, waiter = Rig(), Patient()
        rig.append()
        rig.committer.wait(1, waiter)
        rig.commit(error=ERROR)
        assert waiter.told == [(1, ERROR)]
        assert rig.committer.failing
        assert rig.committer.durable == 0
        assert (rig.stats.commits, rig.stats.commits_failed) == (0, 1)
        assert rig.stats.records_committed == 0
        rig.committer.must_keep()
        rig.commit()
        assert not rig.committer.failing

    def test_takes_the_open_group_with_it(self):
        rig, waiter = Rig(), Patient()
        lost = rig.append()
        rig.committer.flush(0.0)
        rig.append()
        rig.committer.wait(rig.committer.must_keep(), waiter)
        rig.store.complete(ERROR)
        assert waiter.told == [(2, ERROR)]
        assert rig.failed == [lost]
        later = rig.append()
        assert later > position_of(2, 0), "their positions are never used again"
        rig.commit()
        assert [len(group.entries) for group in rig.store.groups] == [1, 1]
        assert rig.store.groups[1].block == 3

    def test_state_is_tried_again_the_newest_of_it(self):
        rig = Rig()
        group = rig.committer.group
        group.sessions[1] = SessionRow(1, "old", 60, None, None, 0)
        group.sessions[2] = SessionRow(2, "two", 60, None, None, 0)
        group.inbound = {(1, 5): True, (1, 6): False}
        group.subscriptions[1, "t"] = None
        group.finished_blocks = [9]
        group.facts = {"a": b"old", "b": None}
        rig.committer.must_keep()
        rig.committer.flush(0.0)
        rig.committer.group.sessions[1] = SessionRow(1, "new", 60, None, None, 0)
        rig.committer.group.facts["a"] = b"new"
        rig.store.complete(ERROR)
        later = rig.committer.group
        assert {row.client_id for row in later.sessions.values() if row} == {"new", "two"}
        assert later.inbound == {(1, 6): False}, "what was to be taken never was"
        assert later.subscriptions == {(1, "t"): None}
        assert later.finished_blocks == [9]
        assert later.facts == {"a": b"new", "b": None}

    def test_rows_of_every_kind_are_tried_again(self):
        rig = Rig()
        rig.committer.touch(Source(7))
        rig.committer.group.outbound[7, 1] = OutboundRow(7, 1, 0, True)
        rig.committer.group.retained["t"] = None
        rig.commit(now=10.0, error=ERROR)
        rig.commit(now=10.0 + LAZY_SECONDS)
        (group,) = rig.store.groups[1:]
        assert list(group.progress) == [7]
        assert list(group.outbound) == [(7, 1)]
        assert group.retained == {"t": None}

    def test_no_group_has_the_number_of_one_that_was_given_up(self):
        rig = Rig()
        rig.append()
        rig.committer.flush(0.0)
        given_up = rig.committer.must_keep()
        rig.store.complete(ERROR)
        assert rig.committer.must_keep() > given_up

    def test_what_was_given_up_no_longer_presses(self):
        rig = Rig()
        rig.append()
        rig.committer.flush(10.0)
        rig.append()
        rig.store.complete(ERROR)
        rig.committer.flush(10.0)
        assert rig.store.waiting == 0

    def test_is_tried_again_after_a_while_even_with_nothing_to_keep(self):
        rig = Rig()
        rig.append()
        rig.commit(now=10.0, error=ERROR)
        rig.committer.flush(10.0)
        assert rig.store.waiting == 0
        rig.committer.flush(10.0 + LAZY_SECONDS)
        rig.store.complete()
        assert not rig.committer.failing


class TestTheStart:
    def test_goes_on_behind_what_there_is(self):
        rig, loaded = Rig(), Loaded()
        loaded.next_block, loaded.next_number = 5, 3
        rig.committer.start_from(loaded)
        assert rig.append() == position_of(5, 0)
        assert [rig.committer.new_session_number() for _ in range(2)] == [3, 4]

    @pytest.mark.parametrize(
        ("cursor", "sent", "done", "began"),
        [(7, 0, [], 0), (0, 7, [], 0), (0, 0, [1, 7], 0), (0, 0, [], 7)],
    )
    def test_uses_no_position_again_that_is_spoken_of(self, cursor, sent, done, began):
        rig, loaded = Rig(), Loaded()
        loaded.next_block = 5
        row = [position_of(each, 0) for each in (cursor, sent)]
        loaded.progress = [ProgressRow(1, *row, [position_of(each, 0) for each in done])]
        loaded.subscriptions = [SubscriptionRow(1, "t", 1, False, False, 0, position_of(began, 0))]
        rig.committer.start_from(loaded)
        assert rig.append() > position_of(7, 0)
