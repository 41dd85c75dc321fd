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
