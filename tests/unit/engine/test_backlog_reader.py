"""What a session that was away is owed comes back from the log, in order, and what is lost is let go."""

from rookery.mqtt.packets import PubAck, Publish
from tests.support.engine import Engine, FakeStore, publish

LASTING = {"session_expiry_interval": 60, "clean_start": False}


def owed(engine: Engine, count: int) -> None:
    engine.connect("r", **LASTING).subscribe("t", qos=1)
    engine.broker.registry.actors["r"].client.lost()
    writer = engine.connect("w")
    for number in range(1, count + 1):
        writer.send(publish("t", b"%d" % number, 1, packet_id=number))
    engine.wait(1)


def test_it_is_read_in_order_and_the_flags_with_it():
    engine = Engine(FakeStore(at_once=True))
    owed(engine, 5)
    _, more = engine.connect_more("r", **LASTING)
    assert [(each.payload, each.qos) for each in more] == [(b"%d" % n, 1) for n in range(1, 6)]


def test_an_entry_that_is_not_there_is_finished_with():
    store = FakeStore(at_once=True)
    engine = Engine(store)
    owed(engine, 3)
    (first, *_) = store.blocks
    del store.blocks[first]
    reader, more = engine.connect_more("r", **LASTING)
    got = [each for each in more if isinstance(each, Publish)]
    assert [each.payload for each in got] == [b"2", b"3"]
    reader.send(*[PubAck(each.packet_id) for each in got])
    engine.wait(1)
    assert store.blocks == {}


def test_who_ended_meanwhile_gets_nothing():
    store = FakeStore(at_once=True)
    engine = Engine(store)
    owed(engine, 2)
    store.reads_at_once = False
    reader, _ = engine.connect_more("r", **LASTING)
    actor = engine.broker.registry.actors["r"]
    reader.drop()
    engine.broker.registry.expire(actor)
    while store.reading:
        store.complete_read()
    assert actor.session.outbound.queue is None


class TestTooOld:
    """``limits.queue_seconds_max``: what waited longer is dropped when it is read."""

    def read(self, engine: Engine) -> list[bytes]:
        _, more = engine.connect_more("r", **LASTING)
        return [each.payload for each in more if isinstance(each, Publish)]

    def test_it_is_dropped_and_counted_and_its_space_is_free(self):
        store = FakeStore(at_once=True)
        engine = Engine(store, queue_seconds_max=30)
        owed(engine, 2)
        engine.wait(20)
        engine.connect("late").publish("t", b"young", 1, packet_id=1)
        engine.wait(15)
        assert self.read(engine) == [b"young"]
        assert engine.stats.dropped["too_old"] == 2
        engine.wait(1)
        assert len(store.blocks) == 1

    def test_without_the_limit_it_waits(self):
        engine = Engine(FakeStore(at_once=True))
        owed(engine, 2)
        engine.wait(50)
        assert self.read(engine) == [b"1", b"2"]

    def test_the_time_a_node_was_down_counts(self):
        store = FakeStore(at_once=True)
        owed(Engine(store, queue_seconds_max=30), 2)
        again = Engine.restart(store, after_seconds=31, queue_seconds_max=30)
        assert self.read(again) == []
        again.wait(1)
        assert store.blocks == {}
