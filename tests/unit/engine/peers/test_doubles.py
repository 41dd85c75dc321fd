"""A client that has a session at the dead node and at the one that adopts: the latter stays."""

import pytest

from tests.support.adopting import adopt, neighbour, survivor_of
from tests.support.engine import Engine, FakeStore

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}
COUNT = 100


def dead_cell() -> FakeStore:
    there = Engine(FakeStore(at_once=True), queue_messages_max=1_000)
    begun = there.connect("c", receive_maximum=2, **LASTING)
    begun.subscribe("n/#", qos=2)
    writer = there.connect("w")
    for n in range(COUNT):
        writer.publish("n/a", b"%d" % n, 2, packet_id=n + 1)
    assert len(begun.take()) == 2
    there.store.crash()
    return survivor_of(there.store)


@pytest.mark.parametrize("crash", [False, True])
def test_one_that_is_away_gets_what_the_other_was_owed(crash):
    dead = dead_cell()
    engine = neighbour(dead)
    ours = engine.connect("c", **LASTING)
    ours.subscribe("n/#", "own", qos=1)
    number = ours.actor.number
    ours.drop()
    engine.connect("w").publish("own", b"first", 1, packet_id=1)
    other = engine.connect("other", **LASTING)
    other.subscribe("n/#", qos=1)
    other_number = other.actor.number
    other.drop()
    summary = adopt(engine, dead)
    assert (summary.sessions, summary.doubles) == (1, 1)
    engine.wait(1)
    assert set(engine.store.content.sessions) == {number, other_number}
    if crash:
        engine = Engine.restart(survivor_of(engine.store))
    peer, more = engine.connect_more("c", **LASTING)
    assert peer.actor.number == number
    assert [each.payload for each in more] == [b"first", *[b"%d" % n for n in range(COUNT)]]
    assert engine.connect_more("other", **LASTING)[1] == []


def test_one_that_is_there_stays_as_it_is():
    dead = dead_cell()
    engine = neighbour(dead)
    ours = engine.connect("c", **LASTING)
    ours.subscribe("n/#", qos=1)
    summary = adopt(engine, dead)
    assert summary.doubles == 1
    assert ours.take() == []
    engine.wait(1)
    assert set(engine.store.content.sessions) == {ours.actor.number}
    assert engine.store.blocks == {}
    engine.connect("w").publish("n/a", b"m", 1, packet_id=1)
    assert [each.payload for each in ours.take()] == [b"m"]


def test_one_that_ends_meanwhile_leaves_its_place():
    dead = dead_cell()
    engine = neighbour(dead)
    ours = engine.connect("c", **LASTING)
    ended: list[bool] = []

    def end() -> None:
        engine.broker.registry.end_session(ours.actor)
        ended.append(True)

    summary = adopt(engine, dead, reachable=end)
    assert ended == [True]
    assert summary.doubles == 0
    _, more = engine.connect_more("c", **LASTING)
    assert len(more) == COUNT


def test_a_crash_before_it_was_merged_keeps_the_one_that_was_here():
    dead = dead_cell()
    engine = neighbour(dead)
    ours = engine.connect("c", **LASTING)
    number = ours.actor.number
    ours.drop()
    left: list[FakeStore] = []
    adopt(engine, dead, reachable=lambda: left.append(survivor_of(engine.store)))
    assert len(left[0].content.sessions) == 2
    again = Engine.restart(left[0])
    again.wait(1)
    assert set(again.store.content.sessions) == {number}
    assert again.broker.registry.actors["c"].number == number
