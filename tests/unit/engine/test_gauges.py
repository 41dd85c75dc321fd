from rookery.engine.gauges import BrokerGauges
from tests.support.engine import Engine


def standing(engine: Engine) -> dict[str, int]:
    gauges = BrokerGauges(engine.broker)
    names = [name for name in dir(gauges) if not name.startswith("_")]
    return {name: getattr(gauges, name)() for name in names}


def test_everything_stands_at_zero():
    assert set(standing(Engine()).values()) == {0}


def test_what_stands_is_counted():
    engine = Engine()
    away = engine.connect("away", session_expiry_interval=60)
    away.subscribe("a/#", "a/+", "$share/g/a/b", "$share/h/a/b", qos=1)
    here = engine.connect("here")
    here.subscribe("a/#")
    away.drop()
    here.publish("a/b", b"12345", retain=True)
    here.publish("q", qos=1, packet_id=1)
    engine.peer()
    assert standing(engine) == {
        "connections": 1,
        "sessions": 2,
        "subscriptions": 5,
        "shared_subscriptions": 2,
        "topics": 3,
        "retained_messages": 1,
        "retained_bytes": engine.broker.retained.bytes,
        "queued_messages": 0,
        "paced_clients": 0,
        "relayed_clients": 0,
        "half_open": 1,
        "overload_level": 0,
        "bans": 0,
        "store_bytes": 0,
        "store_problems": 0,
    }
    assert engine.broker.retained.bytes >= 5


def test_what_is_unacknowledged_waits_as_much_as_what_is_queued():
    engine = Engine(inflight_max=1)
    reader = engine.connect("reader")
    reader.subscribe("t", qos=1)
    writer = engine.connect("writer")
    for packet_id in (1, 2, 3):
        writer.publish("t", qos=1, packet_id=packet_id)
    assert standing(engine)["queued_messages"] == 3
