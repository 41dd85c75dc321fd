import pytest

from rookery.engine.stats import DROP_SESSION_ENDED, END_TAKEOVER
from rookery.mqtt.packets import Disconnect, PingReq, PubAck, PubRec
from rookery.mqtt.types import V3_1_1, V5, ReasonCode
from rookery.ports import Accepted, Principal
from tests.support.engine import (
    Engine,
    FakeAuthenticator,
    FakeAuthorizer,
    FakeStore,
    Peer,
    connect,
    said,
    will,
)


def watcher(engine: Engine, topic: str = "w") -> Peer:
    """A client that sees wills."""
    peer = engine.connect("watcher")
    peer.subscribe(topic, qos=1)
    return peer


class TestTakeover:
    @pytest.mark.clause("5.0:MQTT-3.1.4-3", "3.1.1:MQTT-3.1.4-2")
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_the_old_link_goes(self, version):
        engine = Engine()
        old = engine.connect("a", version)
        new = engine.connect("a", version)
        assert old.closed
        assert said(old.take()) == (["DISCONNECT 0x8E"] if version == V5 else [])
        assert said(new.send(PingReq())) == ["PINGRESP"]
        assert engine.broker.registry.attached == 1
        assert engine.stats.sessions_taken_over == 1
        assert engine.stats.disconnects[END_TAKEOVER] == 1

    def test_the_session_goes_on(self):
        engine = Engine()
        old = engine.connect("a", session_expiry_interval=60)
        old.subscribe("t", qos=1)
        engine.connect("w").publish("t", qos=1, packet_id=1)
        actor = old.actor
        new, more = engine.connect_more("a", clean_start=False, session_expiry_interval=60)
        assert said(more) == ["PUBLISH t=x q1 #1 dup"]
        assert new.actor is actor
        assert engine.stats.sessions_resumed == 1

    def test_a_session_that_was_to_end_with_its_link_does(self):
        engine = Engine()
        old = engine.connect("a")
        old.subscribe("t")
        actor = old.actor
        new = engine.connect("a", clean_start=False)
        assert actor.ended
        assert new.actor is not actor
        assert new.publish("t") == []

    @pytest.mark.parametrize(("delay", "published"), [(0, True), (30, False)])
    def test_the_will_of_the_old_link(self, delay, published):
        engine = Engine()
        reader = watcher(engine)
        engine.connect("a", session_expiry_interval=60, will=will("w", will_delay_interval=delay))
        engine.connect_more("a", clean_start=False, session_expiry_interval=60)
        engine.wait(40)
        assert said(reader.take()) == ["PUBLISH w=gone"] * published

    def test_a_clean_start_ends_the_session_and_its_waiting_will(self):
        engine = Engine()
        reader = watcher(engine)
        engine.connect("a", session_expiry_interval=60, will=will("w", will_delay_interval=30))
        engine.connect("a", clean_start=True)
        assert said(reader.take()) == ["PUBLISH w=gone"]
        assert engine.stats.sessions_discarded == 1

    def test_the_new_principal_s_permissions_hold(self):
        authorizer = FakeAuthorizer()
        authenticator = FakeAuthenticator(*[Accepted(Principal(name)) for name in ("x", "y")])
        engine = Engine(authenticator=authenticator, authorizer=authorizer)
        peer = engine.connect("a", session_expiry_interval=60)
        peer.publish("t")
        peer, _ = engine.connect_more("a", clean_start=False)
        peer.publish("t")
        assert peer.actor.principal.name == "y"
        assert authorizer.asked == ["t", "t"]


@pytest.mark.clause("5.0:MQTT-3.1.2-8", "5.0:MQTT-3.1.2-10", "3.1.1:MQTT-3.1.2-8")
class TestWill:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_is_published_when_the_connection_is_lost(self, version):
        engine = Engine()
        reader = watcher(engine)
        engine.connect("a", version, will=will("w", b"bye", 1)).drop()
        assert said(reader.take()) == ["PUBLISH w=bye q1 #1"]
        assert engine.stats.wills_published == 1

    def test_is_retained_if_it_says_so(self):
        engine = Engine()
        engine.connect("a", will=will("w", retain=True)).drop()
        assert said(engine.connect("b").subscribe("w")) == ["PUBLISH w=gone retain"]

    def test_waits_for_its_delay(self):
        engine = Engine()
        reader = watcher(engine)
        peer = engine.connect(
            "a", session_expiry_interval=60, will=will("w", will_delay_interval=10)
        )
        peer.drop()
        engine.wait(9)
        assert reader.take() == []
        engine.wait(3)
        assert said(reader.take()) == ["PUBLISH w=gone"]
        engine.wait(100)
        assert reader.take() == []

    def test_waits_no_longer_than_the_session(self):
        engine = Engine()
        reader = watcher(engine)
        peer = engine.connect(
            "a", session_expiry_interval=5, will=will("w", will_delay_interval=100)
        )
        peer.drop()
        engine.wait(4)
        assert reader.take() == []
        engine.wait(3)
        assert said(reader.take()) == ["PUBLISH w=gone"]

    @pytest.mark.clause("5.0:MQTT-3.1.3-9")
    def test_is_given_up_when_the_client_is_back_in_time(self):
        engine = Engine()
        reader = watcher(engine)
        asked = {"session_expiry_interval": 60, "clean_start": False}
        engine.connect("a", will=will("w", will_delay_interval=10), **asked).drop()
        engine.wait(5)
        peer, _ = engine.connect_more("a", **asked)
        engine.wait(30)
        peer.drop()
        engine.wait(100)
        assert reader.take() == []

    def test_a_second_will_waits_its_own_delay(self):
        engine = Engine()
        reader = watcher(engine)
        asked = {"session_expiry_interval": 60, "clean_start": False}
        engine.connect("a", will=will("w", b"1", will_delay_interval=10), **asked).drop()
        engine.wait(5)
        peer, _ = engine.connect_more("a", will=will("w", b"2", will_delay_interval=20), **asked)
        peer.drop()
        engine.wait(15)
        assert reader.take() == [], "the first one's timer is not the second one's"
        engine.wait(8)
        assert said(reader.take()) == ["PUBLISH w=2"]


class TestExpiry:
    @pytest.mark.clause("5.0:MQTT-3.1.2-23", "5.0:MQTT-4.1.0-2")
    def test_counts_from_the_end_of_the_link(self):
        engine = Engine()
        peer = engine.connect("a", session_expiry_interval=10)
        peer.subscribe("t")
        engine.wait(100)
        assert not peer.actor.ended
        actor = peer.actor
        peer.drop()
        engine.wait(10)
        assert not actor.ended
        engine.wait(2)
        assert actor.ended
        assert engine.broker.registry.actors == {}
        assert engine.broker.router.subscription_count == 0
        assert engine.stats.sessions_expired == 1

    def test_begins_anew_with_each_link(self):
        engine = Engine()
        asked = {"session_expiry_interval": 10, "clean_start": False}
        engine.connect("a", **asked).drop()
        engine.wait(8)
        peer, _ = engine.connect_more("a", **asked)
        engine.wait(8)
        actor = peer.actor
        peer.drop()
        engine.wait(8)
        assert not actor.ended
        engine.wait(4)
        assert actor.ended

    def test_the_longest_is_never(self):
        engine = Engine()
        engine.connect("a", session_expiry_interval=0xFFFFFFFF).drop()
        assert engine.broker.registry.actors["a"].expires_at is None
        engine.wait(100)
        assert "a" in engine.broker.registry.actors

    def test_without_one_the_session_ends_with_its_link(self):
        engine = Engine()
        engine.connect("a").drop()
        assert engine.broker.registry.actors == {}
        assert engine.stats.sessions_expired == 0

    def test_what_still_waited_is_counted(self):
        engine = Engine()
        peer = engine.connect("a", session_expiry_interval=5)
        peer.subscribe("t", qos=1)
        peer.drop()
        writer = engine.connect("w")
        for n in (1, 2):
            writer.publish("t", qos=1, packet_id=n)
        engine.wait(10)
        assert engine.stats.dropped[DROP_SESSION_ENDED] == 2


class TestRows:
    def test_a_durable_session_s_life(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        peer = engine.connect("a", session_expiry_interval=5)
        (row,) = store.content.sessions.values()
        assert (row.client_id, row.expiry_seconds, row.detached_at_wall) == ("a", 5, None)
        at = engine.clock.wall()
        peer.drop()
        engine.wait(1)
        (row,) = store.content.sessions.values()
        assert row.detached_at_wall == pytest.approx(at)
        engine.wait(10)
        assert store.content.sessions == {}

    def test_a_brief_session_has_none(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("a").drop()
        engine.wait(1)
        assert all(not group.sessions for group in store.groups)

    def test_a_brief_session_with_a_will_has_one(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        peer = engine.connect("a", will=will("w"))
        (row,) = store.content.sessions.values()
        assert (row.expiry_seconds, row.will is None) == (0, False)
        peer.drop()
        engine.wait(1)
        assert store.content.sessions == {}

    def test_a_durable_session_that_became_brief(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("a", session_expiry_interval=5).drop()
        engine.connect_more("a", clean_start=False)[0].send(Disconnect())
        engine.wait(1)
        assert store.content.sessions == {}

    def test_a_clean_start_waits_until_the_session_before_is_gone(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("a", V3_1_1, clean_start=False).drop()
        engine.wait(1)
        store.at_once = False
        peer, answers = engine.ask(connect("a", V3_1_1, clean_start=True))
        assert answers == []
        engine.complete()
        assert said(peer.take()) == ["CONNACK"]
        assert store.content.sessions == {}


def test_the_most_at_once_is_kept():
    engine = Engine()
    peers = [engine.connect(name) for name in "abc"]
    for peer in peers:
        peer.drop()
    assert (engine.stats.connections_max, engine.stats.sessions_max) == (3, 3)
    assert engine.broker.registry.attached == 0
    assert engine.stats.sessions_created == 3


@pytest.mark.clause("5.0:MQTT-4.8.2-4", "5.0:MQTT-4.8.2-5")
class TestHandingOver:
    FILTER = "$share/g/t"

    def group(self, engine: Engine, **more) -> list[Peer]:
        """Two durable members; the first is sent to first."""
        peers = [
            engine.connect(name, session_expiry_interval=60, **more) for name in ("one", "two")
        ]
        for peer in peers:
            peer.subscribe(self.FILTER, qos=2)
        return peers

    def test_what_was_not_acknowledged_goes_to_another_member(self):
        engine = Engine()
        one, two = self.group(engine)
        writer = engine.connect("w")
        for n in (1, 2, 3):
            writer.publish("t", b"%d" % n, 1, packet_id=n)
        assert said(one.take()) == ["PUBLISH t=1 q1 #1", "PUBLISH t=3 q1 #2"]
        one.send(PubAck(1))
        one.drop()
        assert said(two.take()) == ["PUBLISH t=2 q1 #1", "PUBLISH t=3 q1 #2"]
        one, more = engine.connect_more("one", clean_start=False)
        assert more == []

    def test_what_was_never_sent_goes_as_well(self):
        engine = Engine(inflight_max=1)
        one, two = self.group(engine)
        writer = engine.connect("w")
        for n in range(1, 5):
            writer.publish("t", b"%d" % n, 2, packet_id=n)
        assert said(one.take()) == ["PUBLISH t=1 q2 #1"]
        two.take()
        one.drop()
        assert one.client.actor is None
        held = engine.broker.registry.actors["one"].session.outbound
        assert [d.message.payload for d in held.inflight.values()] == [b"1"], "QoS 2 stays"
        assert held.queue is None
        waiting = two.actor.session.outbound.queue
        assert [d.message.payload for d in waiting] == [b"4", b"3"]

    def test_with_nobody_else_it_waits_for_its_client_as_it_was(self):
        engine = Engine(queue_messages_max=1)
        one, two = self.group(engine)
        two.drop()
        writer = engine.connect("w")
        for n in (1, 2, 3):
            writer.publish("t", b"%d" % n, 1, packet_id=n)
        one.drop()
        one, more = engine.connect_more("one", clean_start=False)
        assert said(more) == [f"PUBLISH t={n} q1 #{n} dup" for n in (1, 2, 3)]
        assert engine.stats.dropped_total() == 0

    def test_when_the_session_ends_a_member_without_a_link_takes_it(self):
        engine = Engine()
        one, two = self.group(engine)
        two.drop()
        engine.connect("w").publish("t", qos=1, packet_id=1)
        one.take()
        one.send(Disconnect(properties=None))
        engine.wait(1)
        actor = engine.broker.registry.actors["one"]
        engine.broker.begin_turn()
        engine.broker.registry.end_session(actor)
        engine.end_turn()
        _, more = engine.connect_more("two", clean_start=False)
        assert said(more) == ["PUBLISH t=x q1 #1"]

    def test_when_the_last_session_ends_it_is_counted(self):
        engine = Engine()
        peer = engine.connect("one")
        peer.subscribe(self.FILTER, qos=1)
        engine.connect("w").publish("t", qos=1, packet_id=1)
        peer.drop()
        assert engine.stats.dropped[DROP_SESSION_ENDED] == 1

    def test_the_options_are_the_new_member_s(self):
        engine = Engine()
        one = engine.connect("one", session_expiry_interval=60)
        two = engine.connect("two")
        one.subscribe(self.FILTER, qos=1, identifier=1, retain_as_published=True)
        engine.connect("w").publish("t", qos=1, packet_id=1, retain=True)
        assert said(one.take()) == ["PUBLISH t=x q1 #1 retain"]
        two.subscribe(self.FILTER, qos=0, identifier=2)
        one.drop()
        (found,) = two.take()
        assert said([found]) == ["PUBLISH t=x"]
        assert found.properties.subscription_identifiers == [2]

    @pytest.mark.clause("5.0:MQTT-4.8.2-6")
    def test_what_a_member_refused_goes_to_nobody(self):
        engine = Engine()
        one, two = self.group(engine)
        writer = engine.connect("w")
        writer.publish("t", qos=1, packet_id=1)
        writer.publish("t", qos=2, packet_id=2)
        one.send(PubAck(1, ReasonCode.UNSPECIFIED_ERROR))
        two.take()
        two.send(PubRec(1, ReasonCode.UNSPECIFIED_ERROR))
        one.drop()
        assert two.take() == []


class TestATimerIsAlwaysALittleLate:
    """By a tick, or while thousands are due at once: what the client is told goes by the clock."""

    def test_a_will_that_is_due_is_published_though_its_client_is_back(self):
        engine = Engine()
        reader = watcher(engine)
        asked = {"session_expiry_interval": 60, "clean_start": False}
        engine.connect("a", will=will("w", qos=1, will_delay_interval=10), **asked).drop()
        engine.clock.now += 10.01
        engine.connect_more("a", **asked)
        assert said(reader.take()) == ["PUBLISH w=gone q1 #1"]
        engine.wait(60)
        assert reader.take() == []

    def test_a_session_that_is_over_is_not_resumed(self):
        engine = Engine()
        asked = {"session_expiry_interval": 10, "clean_start": False}
        engine.connect("a", **asked).drop()
        engine.clock.now += 10.01
        assert engine.connect("a", **asked).client.session_is_new
        assert engine.stats.sessions_expired == 1
