"""How much of an import is done at a stretch, and what becomes of what cannot be read."""

from itertools import pairwise

from rookery.engine.peers import importing
from rookery.engine.peers.slices import CommitFailed
from rookery.engine.stats import DROP_QUEUE_FULL
from rookery.message import Delivery
from rookery.records import OutboundRow
from tests.support.adopting import adopt, neighbour, survivor_of
from tests.support.engine import Engine, FakeStore, publish, said

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}


def cell(readers: int, messages: int, payload: bytes = b"m", **changed) -> FakeStore:
    there = Engine(FakeStore(at_once=True), **changed)
    for n in range(readers):
        peer = there.connect(f"r{n}", **LASTING)
        peer.subscribe("n/#", qos=1)
        peer.drop()
    writer = there.connect("w")
    writer.send(*[publish("n/a", payload, 1, packet_id=n + 1) for n in range(messages)])
    there.wait(1)
    return survivor_of(there.store)


class TestASlice:
    def test_holds_so_many_entries_and_no_more(self):
        dead = cell(1, 300)
        engine = neighbour(dead)
        committer = engine.broker.committer
        open_entries: list[int] = []

        def look(step: int) -> None:
            open_entries.append(len(committer.group.entries))

        adopt(engine, dead, work_max=60, meanwhile=look)
        # An entry costs some steps for itself and two for each session it is owed to.
        assert max(open_entries) <= 11
        assert sum(len(group.entries) for group in engine.store.groups) == 300
        assert len(engine.store.groups) > 25

    def test_may_end_among_the_sessions_that_one_entry_is_owed_to(self, monkeypatch):
        dead = cell(80, 2)
        engine = neighbour(dead)
        matched: list[object] = []
        monkeypatch.setattr(
            importing, "recipient_for", lambda each, _: matched.append(each) or each
        )
        owed: list[object] = []
        monkeypatch.setattr(
            importing, "Delivery", lambda *each: owed.append(each) or Delivery(*each)
        )
        counts: list[tuple[int, int, int]] = []

        def look(step: int) -> None:
            subscribed = engine.broker.router.subscription_count
            counts.append((subscribed, len(matched), len(owed)))

        summary = adopt(engine, dead, work_max=10, meanwhile=look)
        assert (summary.deliveries, summary.messages) == (160, 2)
        assert counts[-1] == (80, 160, 160)
        for earlier, later in pairwise(counts):
            assert sum(later) - sum(earlier) <= 10

    def test_no_more_than_some_bytes_wait_for_the_disk(self):
        dead = cell(1, 100, b"x" * 1_000)
        engine = neighbour(dead, at_once=False)
        committer = engine.broker.committer
        waiting: list[int] = []

        def look(step: int) -> None:
            under_way = committer._under_way
            waiting.append(committer.group.entry_bytes)
            if under_way is not None:
                waiting[-1] += under_way.entry_bytes

        adopt(engine, dead, work_max=20, meanwhile=look, ahead_bytes_max=10_000)
        assert 5_000 < max(waiting) < 16_000


def test_an_entry_for_many_sessions_is_kept_once_and_small():
    dead = cell(100, 1)
    engine = neighbour(dead)
    adopt(engine, dead)
    entries = [entry for group in engine.store.groups for entry in group.entries]
    assert len(entries) == 1
    assert len(entries[0]) < 40


def test_damaged_entries_are_counted_and_the_rest_comes():
    dead = cell(1, 3)
    (entries,) = dead.content.blocks.values()
    entries[1] = b"\xff"
    engine = neighbour(dead)
    summary = adopt(engine, dead)
    assert (summary.damaged, summary.messages) == (1, 2)
    assert len(engine.connect_more("r0", **LASTING)[1]) == 2


def test_an_identifier_without_its_message_is_let_go_of():
    dead = cell(1, 0)
    (number,) = dead.content.sessions
    dead.content.outbound[number, 3] = OutboundRow(number, 3, 77 << 20, False)
    dead.content.outbound[number, 4] = OutboundRow(number, 4, 0, True)
    engine = neighbour(dead)
    adopt(engine, dead)
    for each in (Engine.restart(survivor_of(engine.store)), engine):
        assert sorted(said(each.connect_more("r0", **LASTING)[1])) == ["PUBREL #3", "PUBREL #4"]


def test_what_is_over_our_limits_is_dropped_and_counted():
    dead = cell(1, 20)
    engine = neighbour(dead, queue_messages_max=5)
    adopt(engine, dead)
    assert engine.stats.dropped[DROP_QUEUE_FULL] == 15
    assert len(engine.connect_more("r0", **LASTING)[1]) == 5
    engine.wait(1)


def test_messages_keep_the_date_they_were_kept_at():
    dead = cell(1, 2, queue_seconds_max=100)
    engine = neighbour(dead, after_seconds=60, queue_seconds_max=100)
    adopt(engine, dead)
    engine.wait(50)
    assert engine.connect_more("r0", **LASTING)[1] == []


def test_what_was_counted_and_not_told_yet_is_taken_back_when_a_commit_fails():
    dead = cell(60, 3)
    failures = 0
    for groups in range(1, 200):
        engine = neighbour(dead, at_once=False)
        store = engine.store
        committer = engine.broker.committer

        def fill(step: int, store=store, committer=committer, groups=groups) -> None:
            store.is_broken = len(store.groups) >= groups and not committer.stuck

        try:
            adopt(engine, dead, work_max=7, meanwhile=fill)
        except CommitFailed:
            failures += 1
            engine.complete_all()
            assert committer.references._counts == {}
        else:
            break
    assert failures > 20
