from rookery.engine.peers.marks import Marks, marks_of
from tests.support.engine import Engine, FakeStore


def begun() -> tuple[Engine, FakeStore, Marks]:
    store = FakeStore()
    engine = Engine(store)
    return engine, store, Marks(engine.broker)


def test_a_number_is_new_once_and_after_a_restart_no_more():
    engine, store, marks = begun()
    assert marks.is_new("a/1", 5)
    marks.note("a/1", 5)
    assert not marks.is_new("a/1", 5)
    assert not marks.is_new("a/1", 4)
    assert marks.is_new("a/2", 5)
    engine.turn()
    engine.complete()
    assert marks_of(store.content.loaded()) == {"a/1": 5}
    again = Marks(engine.broker)
    again.restore(store.content.loaded())
    assert not again.is_new("a/1", 5)
    assert again.is_new("a/1", 6)


def test_goes_back_with_a_message_that_could_not_be_made_durable():
    engine, store, marks = begun()
    marks.note("a/1", 5)
    engine.turn()
    engine.complete()
    marks.note("a/1", 6)
    marks.note("b/1", 1)
    engine.turn()
    marks.note("a/1", 7)
    engine.complete(OSError("full"))
    assert not marks.is_new("a/1", 5)
    assert marks.is_new("a/1", 6)
    assert marks.is_new("b/1", 1)
    engine.wait(2)
    engine.complete_all()
    assert marks_of(store.content.loaded()) == {"a/1": 5}


def test_says_what_a_number_waits_for():
    engine, _, marks = begun()
    assert marks.group_of("a/1", 5) == 0
    first = marks.note("a/1", 5)
    engine.turn()
    second = marks.note("a/1", 7)
    assert second > first
    assert [marks.group_of("a/1", number) for number in (4, 5, 6, 7)] == [
        first,
        first,
        second,
        second,
    ]
    engine.complete()
    assert marks.group_of("a/1", 5) in {0, second}
    engine.complete_all()
    assert marks.group_of("a/1", 7) == 0


def test_an_origin_that_begins_anew_is_forgotten():
    engine, store, marks = begun()
    marks.note("a/1", 5)
    engine.turn()
    marks.forget("a/1")
    engine.complete()
    assert marks.is_new("a/1", 1)
    engine.wait(2)
    engine.complete_all()
    assert store.content.facts == {}
    marks.note("a/1", 1)
    engine.turn()
    engine.complete(OSError("full"))
    engine.wait(2)
    engine.complete_all()
    assert store.content.facts == {}
