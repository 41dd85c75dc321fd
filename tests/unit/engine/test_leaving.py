from rookery.engine.leaving import AT_ONCE_MAX, LEFT_PER_TURN_MAX
from rookery.mqtt.packets import Subscribe, SubscriptionRequest
from tests.support.engine import Engine, FakeStore, Peer, publish, said

COUNT = 2 * LEFT_PER_TURN_MAX + 7


def engine_with_many(**asked) -> tuple[Engine, Peer]:
    engine = Engine(FakeStore(at_once=True), subscriptions_per_session_max=5_000)
    peer = engine.connect("c", **asked)
    requests = [SubscriptionRequest(f"t/{n}", 1) for n in range(COUNT)]
    peer.send(Subscribe(1, [*requests, SubscriptionRequest("$share/g/t/0", 1)]))
    return engine, peer


def left(engine: Engine) -> int:
    return engine.broker.router.subscription_count


def lose(engine: Engine, peer: Peer) -> None:
    """The connection goes in a turn of its own."""
    engine.broker.begin_turn()
    peer.client.lost()
    engine.end_turn()


def test_a_few_go_at_once():
    engine = Engine()
    peer = engine.connect("c")
    peer.subscribe(*[f"t/{n}" for n in range(AT_ONCE_MAX)])
    lose(engine, peer)
    assert left(engine) == 0


def test_many_go_turn_by_turn():
    engine, peer = engine_with_many()
    lose(engine, peer)
    found = [left(engine)]
    while engine.turn_requested:
        engine.turn()
        found.append(left(engine))
    assert found == [COUNT, COUNT - LEFT_PER_TURN_MAX, 7, 0], "the shared one went at once"


def test_many_sessions_share_what_a_turn_has():
    engine, peer = engine_with_many()
    other = engine.connect("other")
    other.send(Subscribe(1, [SubscriptionRequest(f"o/{n}", 0) for n in range(AT_ONCE_MAX + 1)]))
    lose(engine, peer)
    lose(engine, other)
    total = left(engine)
    engine.turn()
    assert left(engine) == total - LEFT_PER_TURN_MAX
    engine.settle()
    assert left(engine) == 0


def test_nothing_is_told_or_owed_to_who_has_ended():
    engine, peer = engine_with_many(session_expiry_interval=1)
    writer = engine.connect("w")
    lose(engine, peer)
    engine.clock.now += 2
    engine.turn()
    assert left(engine) > 0
    assert isinstance(engine.store, FakeStore)
    commits = len(engine.store.groups)
    for n in range(COUNT):
        packet = publish(f"t/{n}", qos=1, packet_id=n + 1)
        writer.client.received(writer.encode(packet), engine.broker.now)
    engine.turn()
    engine.settle()
    assert not any(group.entries for group in engine.store.groups[commits:])
    assert engine.broker.router.subscription_count == 0


def test_who_comes_back_at_once_has_what_it_asks_for_now():
    engine, peer = engine_with_many()
    lose(engine, peer)
    again = engine.connect("c")
    again.subscribe("t/5", qos=1)
    engine.settle()
    assert left(engine) == 1
    assert said(again.publish("t/5", qos=1, packet_id=1)) == ["PUBACK #1", "PUBLISH t/5=x q1 #1"]
