from tests.support.engine import Engine, publish

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}


def test_only_what_a_share_group_gives_is_taken_and_nothing_else_is_kept():
    engine = Engine()
    reader = engine.connect("r", **LASTING)
    reader.subscribe("n/#", "$share/g/s", qos=1)
    actor = reader.actor
    reader.drop()
    actor.dormant = True
    writer = engine.connect("w")
    writer.send(*[publish("n/a", b"own", 1, packet_id=n) for n in (1, 2)])
    engine.wait(1)
    assert engine.store.blocks == {}
    assert engine.broker.committer.references._counts == {}
    writer.publish("s", b"shared", 1, packet_id=3)
    writer.publish("n/a", b"qos 0")
    actor.dormant = False
    assert [each.payload for each in engine.connect_more("r", **LASTING)[1]] == [b"shared"]
