"""Hints for a dead node reach the sessions that came from its cell, and nobody else."""

import pytest

from rookery.engine.peers.heirs import deliver_hint
from rookery.message import Message, message_from_publish
from tests.support.adopting import CELL, adopt, neighbour, survivor_of
from tests.support.engine import Engine, FakeStore, publish

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}


def hint(topic: str, payload: bytes = b"hint", qos: int = 1, publisher: str = "w") -> Message:
    return message_from_publish(publish(topic, payload, qos, retain=True), publisher, 0.0)


def subscribed(engine: Engine, client_id: str, *filters: str, **more) -> None:
    peer = engine.connect(client_id, **LASTING)
    peer.subscribe(*filters, qos=2, **more)
    peer.drop()


@pytest.fixture
def engine() -> Engine:
    """A node with a session of its own, and the sessions of another one's cell."""
    there = Engine(FakeStore(at_once=True))
    subscribed(there, "one", "n/#", retain_as_published=True, identifier=5)
    subscribed(there, "two", "n/a", no_local=True)
    subscribed(there, "member", "$share/g/n/#")
    dead = survivor_of(there.store)
    engine = neighbour(dead)
    subscribed(engine, "ours", "n/#", "$share/g/n/#")
    adopt(engine, dead)
    return engine


def got(engine: Engine, client_id: str) -> list[tuple[bytes, int, bool]]:
    _, more = engine.connect_more(client_id, **LASTING)
    return [(each.payload, each.qos, each.retain) for each in more]


@pytest.mark.parametrize("crash", [False, True])
def test_go_to_adopted_sessions_alone_and_are_kept(engine, crash):
    group = deliver_hint(engine.broker, CELL, hint("n/a"))
    assert group
    engine.settle()
    assert engine.broker.committer.durable >= group
    if crash:
        engine = Engine.restart(survivor_of(engine.store))
    assert got(engine, "ours") == []
    assert got(engine, "one") == [(b"hint", 1, True)]
    assert got(engine, "two") == [(b"hint", 1, False)]
    assert got(engine, "member") == []  # Its group had it from where it was published.


def test_keep_the_qos_that_they_were_owed_with():
    there = Engine(FakeStore(at_once=True))
    for name, qos in (("low", 1), ("high", 2)):
        peer = there.connect(name, **LASTING)
        peer.subscribe("n/a", qos=qos)
        peer.drop()
    dead = survivor_of(there.store)
    engine = neighbour(dead)
    adopt(engine, dead)
    deliver_hint(engine.broker, CELL, hint("n/a", qos=2))
    engine.settle()
    for actor in engine.broker.registry.actors.values():
        number = actor.number
        engine.store.content.subscriptions[number, "n/a"].qos_max = 2
    again = Engine.restart(survivor_of(engine.store))
    for each in (engine, again):
        assert got(each, "low") == [(b"hint", 1, False)]
        assert got(each, "high") == [(b"hint", 2, False)]


def test_of_another_cell_go_to_nobody(engine):
    assert deliver_hint(engine.broker, "b", hint("n/a")) == 0
    assert deliver_hint(engine.broker, CELL, hint("x")) == 0
    for name in ("ours", "one", "two", "member"):
        assert got(engine, name) == []


def test_are_not_given_back_to_a_publisher_who_wants_none_of_its_own(engine):
    deliver_hint(engine.broker, CELL, hint("n/a", publisher="two"))
    assert got(engine, "two") == []
    assert len(got(engine, "one")) == 1


def test_an_adopted_session_is_known_again_after_a_crash(engine):
    again = Engine.restart(survivor_of(engine.store))
    deliver_hint(again.broker, CELL, hint("n/a"))
    again.settle()
    assert len(got(again, "one")) == 1
