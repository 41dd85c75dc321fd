import asyncio

import pytest

from rookery.engine.subscribing import FILTERS_PER_TURN_MAX
from rookery.mqtt.packets import PingReq, SubAck, Subscribe, SubscriptionRequest, Unsubscribe
from rookery.mqtt.types import V3_1_1, V5
from rookery.ports import Decision
from tests.support.engine import (
    Engine,
    FakeAuthorizer,
    FakeStore,
    Peer,
    brief,
    connect,
    props,
    publish,
    said,
)


def ask(peer: Peer, *filters: str, qos: int = 0, **options) -> SubAck:
    requests = [SubscriptionRequest(each, qos, **options) for each in filters]
    (suback,) = peer.send(Subscribe(9, requests))
    assert isinstance(suback, SubAck)
    return suback


class TestSubscribe:
    @pytest.mark.clause("5.0:MQTT-3.8.4-1", "5.0:MQTT-3.8.4-6")
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_each_filter_is_answered_in_order(self, version):
        peer = Engine().connect("c", version)
        requests = [SubscriptionRequest(f"t/{qos}", qos) for qos in (2, 0, 1)]
        (suback,) = peer.send(Subscribe(9, requests))
        assert (suback.packet_id, list(suback.reason_codes)) == (9, [2, 0, 1])

    def test_the_counters_and_the_session_know_it(self):
        engine = Engine()
        peer = engine.connect("c")
        peer.subscribe("a", "$share/g/b", qos=1, identifier=7)
        granted = peer.actor.session.subscriptions
        assert list(granted) == ["a", "$share/g/b"]
        assert granted["$share/g/b"].topic_filter == "b"
        assert granted["$share/g/b"].share == "g"
        assert granted["a"].share is None
        assert (granted["a"].identifier, granted["a"].qos_max) == (7, 1)
        assert engine.stats.subscriptions_made == 2

    def test_the_same_again_is_kept_already(self):
        store = FakeStore()
        engine = Engine(store)
        peer, _ = engine.ask(connect("c", session_expiry_interval=60))
        peer.send(Subscribe(1, [SubscriptionRequest("t", 1)]))
        assert peer.send(Subscribe(2, [SubscriptionRequest("t", 1)])) == []
        engine.complete_all()
        assert said(peer.take()) == ["CONNACK", "SUBACK 0x01", "SUBACK 0x01"]
        for changed in ({"qos_max": 2}, {"no_local": True}, {"retain_as_published": True}):
            asked = SubscriptionRequest("t", **({"qos_max": 1} | changed))
            assert peer.send(Subscribe(3, [asked])) == [], "it waits for the commit"
            engine.complete_all()
            assert len(peer.take()) == 1
            assert len(peer.send(Subscribe(4, [asked]))) == 1
            assert store.waiting == 0
        peer.send(Unsubscribe(5, ["t"]))
        assert peer.send(Subscribe(6, [SubscriptionRequest("t", 1)])) == []

    @pytest.mark.clause("5.0:MQTT-3.8.4-3")
    def test_the_same_filter_again_replaces_the_subscription(self):
        engine = Engine()
        peer = engine.connect("c")
        peer.subscribe("t", qos=2, identifier=1)
        peer.subscribe("t", qos=0, identifier=2)
        (found,) = peer.publish("t")
        assert (found.qos, found.properties.subscription_identifiers) == (0, [2])
        assert engine.broker.router.subscription_count == 1

    def test_durable_ones_are_recorded(self):
        store = FakeStore()
        engine = Engine(store)
        peer, answers = engine.ask(connect("c", session_expiry_interval=60))
        assert answers == [], "CONNACK waits for its row"
        engine.complete()
        peer.take()
        request = SubscriptionRequest("t", 1, no_local=True, retain_as_published=True)
        assert peer.send(Subscribe(7, [request], props(subscription_identifiers=[5]))) == []
        engine.complete()
        assert said(peer.take()) == ["SUBACK 0x01"]
        (row,) = store.content.subscriptions.values()
        assert (row.number, row.topic_filter, row.qos_max) == (peer.actor.number, "t", 1)
        assert (row.no_local, row.retain_as_published, row.identifier) == (True, True, 5)
        assert peer.send(Unsubscribe(9, ["t", "never"])) == []
        engine.complete()
        assert said(peer.take()) == ["UNSUBACK 0x00 0x11"]
        assert store.content.subscriptions == {}
        brief = engine.connect("brief")
        count = len(store.groups)
        brief.subscribe("t")
        brief.send(Unsubscribe(9, ["t"]))
        assert len(store.groups) == count

    def test_what_came_while_qos_0_was_granted_is_not_owed(self):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        peer = engine.connect("c", session_expiry_interval=60)
        rows = store.content.subscriptions
        began = []
        for qos in (1, 2, 0, 1):
            engine.publish_kept("other")
            peer.subscribe("t", qos=qos)
            began.append(rows[peer.actor.number, "t"].began)
        assert began[0] == began[1] == began[2] < began[3]


class TestRefusal:
    @pytest.mark.parametrize(
        "written", ["a/#/b", "a+", "$share/g", "$share//t", "$share/g/", "$share/g/a#"]
    )
    def test_an_invalid_filter(self, written):
        engine = Engine()
        peer = engine.connect("c")
        suback = ask(peer, written, "good")
        assert list(suback.reason_codes) == [0x8F, 0]
        assert list(peer.actor.session.subscriptions) == ["good"]
        assert engine.stats.subscriptions_refused == 1

    @pytest.mark.parametrize(("written", "code"), [("a/b/c", 0), ("a/b/c/d", 0x8F)])
    def test_levels_are_limited(self, written, code):
        peer = Engine(topic_levels_max=3).connect("c")
        assert list(ask(peer, written, f"$share/g/{written}").reason_codes) == [code, code]

    @pytest.mark.parametrize(("size", "code"), [(10, 0), (11, 0x8F)])
    def test_bytes_are_limited(self, size, code):
        peer = Engine(topic_bytes_max=10).connect("c")
        assert list(ask(peer, "t" * size).reason_codes) == [code]

    def test_the_number_is_limited_and_a_repeated_one_fits(self):
        peer = Engine(subscriptions_per_session_max=2).connect("c")
        assert list(ask(peer, "a", "b", "c", "a").reason_codes) == [0, 0, 0x97, 0]
        peer.send(Unsubscribe(9, ["a"]))
        assert list(ask(peer, "c").reason_codes) == [0]

    def test_not_authorized_is_asked_about_the_filter_without_its_share(self):
        authorizer = FakeAuthorizer("secret/#")
        peer = Engine(authorizer=authorizer).connect("c")
        suback = ask(peer, "secret/#", "$share/g/secret/#", "open")
        assert list(suback.reason_codes) == [0x87, 0x87, 0]
        assert suback.properties.reason_string == "not authorized"
        assert authorizer.asked == ["secret/#", "secret/#", "open"]

    def test_an_old_client_hears_0x80(self):
        peer = Engine(authorizer=FakeAuthorizer("a")).connect("c", V3_1_1)
        assert list(ask(peer, "a", "b").reason_codes) == [0x80, 0]

    def test_success_needs_no_words(self):
        assert ask(Engine().connect("c"), "a").properties is None


class TestRetained:
    def engine(self) -> Engine:
        engine = Engine()
        writer = engine.connect("w")
        for topic in ("a/1", "a/2", "b/1"):
            writer.publish(topic, qos=1, packet_id=1, retain=True)
        return engine

    @pytest.mark.clause("5.0:MQTT-3.3.1-9", "3.1.1:MQTT-3.3.1-8")
    def test_they_come_after_the_suback_with_the_flag(self):
        peer = self.engine().connect("c")
        packets = peer.send(Subscribe(9, [SubscriptionRequest("a/+", 1)]))
        assert said(packets) == [
            "SUBACK 0x01",
            "PUBLISH a/1=x q1 #1 retain",
            "PUBLISH a/2=x q1 #2 retain",
        ]

    @pytest.mark.clause("5.0:MQTT-3.3.1-9", "5.0:MQTT-3.3.1-10", "5.0:MQTT-3.3.1-11")
    @pytest.mark.parametrize(
        ("handling", "first", "again"), [(0, True, True), (1, True, False), (2, False, False)]
    )
    def test_retain_handling(self, handling, first, again):
        peer = self.engine().connect("c")
        expected = ["PUBLISH b/1=x retain"]
        assert said(peer.subscribe("b/1", retain_handling=handling)) == expected * first
        assert said(peer.subscribe("b/1", retain_handling=handling)) == expected * again

    def test_a_shared_subscription_brings_none(self):
        assert self.engine().connect("c").subscribe("$share/g/a/+") == []

    def test_the_identifier_comes_with_them(self):
        peer = self.engine().connect("c")
        (found,) = peer.subscribe("b/1", identifier=3)
        assert found.properties.subscription_identifiers == [3]

    def test_the_lower_qos(self):
        peer = self.engine().connect("c")
        assert said(peer.subscribe("b/1", qos=0)) == ["PUBLISH b/1=x retain"]

    def test_several_filters_bring_theirs_in_turn(self):
        peer = self.engine().connect("c")
        found = [packet.topic for packet in peer.subscribe("b/#", "a/#")]
        assert found == ["b/1", "a/1", "a/2"]


class TestUnsubscribe:
    @pytest.mark.clause("5.0:MQTT-3.10.4-4", "5.0:MQTT-3.10.4-5")
    def test_each_filter_is_answered(self):
        engine = Engine()
        peer = engine.connect("c")
        peer.subscribe("a", "$share/g/a")
        (unsuback,) = peer.send(Unsubscribe(77, ["a", "never", "$share/g/a", "a"]))
        assert unsuback.packet_id == 77
        assert list(unsuback.reason_codes) == [0, 0x11, 0, 0x11]
        assert engine.stats.subscriptions_ended == 2
        assert engine.broker.router.subscription_count == 0
        assert peer.publish("a") == []

    def test_an_old_client_is_told_no_codes(self):
        peer = Engine().connect("c", V3_1_1)
        (unsuback,) = peer.send(Unsubscribe(5, ["never"]))
        assert (unsuback.packet_id, unsuback.reason_codes) == (5, [])


def test_the_identifier_of_a_subscribe_holds_for_all_its_filters():
    peer = Engine().connect("c")
    requests = [SubscriptionRequest("a"), SubscriptionRequest("b")]
    peer.send(Subscribe(9, requests, props(subscription_identifiers=[12])))
    for topic in ("a", "b"):
        (found,) = peer.publish(topic)
        assert found.properties.subscription_identifiers == [12]


class TestPermissions:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_where_it_is_asked_for_the_client_is_put_out(self, version):
        engine = Engine(
            authorizer=FakeAuthorizer("b"), denied_v5_disconnects=True, denied_v3_disconnects=True
        )
        peer = engine.connect("c", version)
        requests = [SubscriptionRequest(each, 0) for each in "abc"]
        found = peer.send(Subscribe(9, requests))
        assert said(found) == (["DISCONNECT 0x87"] if version == V5 else [])
        assert peer.closed
        assert engine.broker.router.subscription_count == 0

    def test_answers_that_take_time_come_together(self):
        async def main() -> None:
            authorizer = FakeAuthorizer("b", slow=True)
            engine = Engine(authorizer=authorizer)
            peer = engine.connect("c")
            requests = [SubscriptionRequest(each, 1) for each in ("a", "x#", "b", "$share/g/d")]
            assert peer.send(Subscribe(9, requests)) == []
            assert authorizer.asked == ["a", "b", "d"]
            authorizer.answer()
            await engine.until(lambda: peer.io.written)
            assert said(peer.take()) == ["SUBACK 0x01 0x8F 0x87 0x01"]

        asyncio.run(main())

    def test_the_link_may_end_meanwhile(self):
        async def main() -> None:
            authorizer = FakeAuthorizer(slow=True)
            engine = Engine(authorizer=authorizer)
            peer = engine.connect("c")
            peer.send(Subscribe(9, [SubscriptionRequest("a", 0)]))
            peer.drop()
            authorizer.answer()
            await engine.until(lambda: not engine.broker.tasks._running)
            assert engine.broker.router.subscription_count == 0

        asyncio.run(main())


class TestManyFilters:
    """A packet of very many is worked off a few filters a turn."""

    COUNT = 2 * FILTERS_PER_TURN_MAX + 7

    def subscribe(self) -> Subscribe:
        return Subscribe(7, [SubscriptionRequest(f"t/{n}", 1) for n in range(self.COUNT)])

    def engine(self, **changed) -> Engine:
        return Engine(subscriptions_per_session_max=1_000, **changed)

    def test_each_turn_has_its_share_and_the_answer_comes_last(self):
        engine = self.engine()
        peer = engine.connect("c")
        made = []
        engine.turn((peer, peer.encode(self.subscribe(), PingReq())))
        while engine.turn_requested:
            made.append(engine.stats.subscriptions_made)
            assert peer.take() == []
            assert peer.io.paused, "what comes behind it waits with the system"
            engine.turn()
        assert made == [FILTERS_PER_TURN_MAX, 2 * FILTERS_PER_TURN_MAX]
        suback, pong = peer.take()
        assert isinstance(suback, SubAck)
        assert list(suback.reason_codes) == [1] * self.COUNT
        assert brief(pong) == "PINGRESP"
        assert not peer.io.paused

    def test_so_is_the_end_of_many(self):
        engine = self.engine()
        peer = engine.connect("c")
        peer.send(self.subscribe())
        names = [f"t/{n}" for n in range(self.COUNT)]
        engine.turn((peer, peer.encode(Unsubscribe(8, names))))
        assert engine.stats.subscriptions_ended == FILTERS_PER_TURN_MAX
        engine.settle()
        (unsuback,) = peer.take()
        assert list(unsuback.reason_codes) == [0] * self.COUNT
        assert engine.broker.router.subscription_count == 0

    def test_others_are_served_meanwhile(self):
        engine = self.engine()
        greedy, honest = engine.connect("greedy"), engine.connect("honest")
        engine.turn((greedy, greedy.encode(self.subscribe())))
        engine.turn((honest, honest.encode(publish("t", qos=1, packet_id=1))))
        assert said(honest.take()) == ["PUBACK #1 0x10"]
        assert engine.stats.subscriptions_made < self.COUNT

    def test_many_such_clients_share_what_a_turn_has(self):
        engine = self.engine()
        peers = [engine.connect(str(number)) for number in range(20)]
        engine.turn(*[(peer, peer.encode(self.subscribe())) for peer in peers])
        assert engine.stats.subscriptions_made < 20 * FILTERS_PER_TURN_MAX
        engine.settle()
        assert engine.stats.subscriptions_made == 20 * self.COUNT
        assert all(len(peer.take()) == 1 for peer in peers)

    def test_a_client_that_goes_in_between_leaves_nothing(self):
        engine = self.engine()
        peer = engine.connect("c")
        engine.turn((peer, peer.encode(self.subscribe())))
        peer.drop()
        assert engine.broker.router.subscription_count == 0

    def test_the_answer_waits_for_the_first_filters_too(self):
        """Those of the last turn are refused: they need nothing durable by themselves."""
        store = FakeStore()
        refused = {f"t/{n}" for n in range(FILTERS_PER_TURN_MAX, self.COUNT)}
        engine = Engine(
            store, authorizer=FakeAuthorizer(*refused), subscriptions_per_session_max=1_000
        )
        peer, _ = engine.ask(connect("c", session_expiry_interval=60))
        engine.complete_all()
        peer.take()
        assert peer.send(self.subscribe()) == []
        engine.complete_all()
        (suback,) = peer.take()
        assert list(suback.reason_codes) == [1] * FILTERS_PER_TURN_MAX + [0x87] * len(refused)


class TestManyFiltersWithAnswersThatTakeTime:
    """Each slice is asked about when it is its turn."""

    COUNT = TestManyFilters.COUNT

    def world(self, *denied: str, **changed):
        authorizer = FakeAuthorizer(*denied, slow=True)
        engine = Engine(authorizer=authorizer, subscriptions_per_session_max=1_000, **changed)
        return authorizer, engine

    def packet(self) -> Subscribe:
        return TestManyFilters().subscribe()

    async def answered(self, engine: Engine, authorizer: FakeAuthorizer) -> None:
        """Answer what is asked, and wait until more is asked or nobody waits any more."""
        authorizer.answer()
        await engine.until(lambda: authorizer.open or not engine.broker.tasks._running)
        engine.settle()

    def test_they_come_slice_by_slice_and_what_is_behind_waits_in_order(self):
        async def main() -> None:
            authorizer, engine = self.world("t/0", f"t/{self.COUNT - 1}")
            authorizer.may_publish = lambda *_: Decision(True, "a rule")
            peer = engine.connect("c")
            behind = [publish("t/1", qos=1, packet_id=3), Unsubscribe(8, ["t/1"]), PingReq()]
            peer.send(self.packet(), *behind)
            slices = []
            while authorizer.open:
                slices.append(len(authorizer.open))
                assert peer.take() == []
                assert peer.io.paused
                await self.answered(engine, authorizer)
            assert slices == [FILTERS_PER_TURN_MAX, FILTERS_PER_TURN_MAX, 7]
            assert authorizer.asked == [f"t/{n}" for n in range(self.COUNT)]
            found = peer.take()
            assert isinstance(found[0], SubAck)
            assert list(found[0].reason_codes) == [0x87] + [1] * (self.COUNT - 2) + [0x87]
            assert said(found[1:]) == [
                "PUBACK #3",
                "UNSUBACK 0x00",
                "PINGRESP",
                "PUBLISH t/1=x q1 #1",
            ]
            assert not peer.io.paused

        asyncio.run(main())

    def test_the_silence_meanwhile_is_ours(self):
        async def main() -> None:
            authorizer, engine = self.world()
            peer = engine.connect("c", keep_alive_seconds=10)
            peer.send(self.packet())
            while authorizer.open:
                engine.wait(20)
                authorizer.answer()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                engine.broker.timers.advance(engine.broker.now, 1_000)
                assert not peer.closed
                await engine.until(lambda: authorizer.open or peer.io.written)
            engine.wait(14)
            assert said(peer.take())[0].startswith("SUBACK")
            assert not peer.closed, "it has all of its time again"
            engine.wait(3)
            assert peer.closed

        asyncio.run(main())

    @pytest.mark.parametrize("taken_over", [False, True])
    def test_a_link_that_ends_in_between_asks_no_more(self, taken_over: bool):
        async def main() -> None:
            authorizer, engine = self.world()
            peer = engine.connect("c", session_expiry_interval=60)
            peer.send(self.packet(), PingReq())
            await self.answered(engine, authorizer)
            assert len(authorizer.asked) == 2 * FILTERS_PER_TURN_MAX
            if taken_over:
                authorizer.slow = False
                after, _ = engine.ask(connect("c", clean_start=False, session_expiry_interval=60))
                assert said(peer.take()) == ["DISCONNECT 0x8E"]
            else:
                peer.drop()
            asked = len(authorizer.asked)
            await self.answered(engine, authorizer)
            assert len(authorizer.asked) == asked
            assert engine.broker.router.subscription_count == FILTERS_PER_TURN_MAX
            if taken_over:
                assert said(after.send(PingReq())) == ["PINGRESP"]

        asyncio.run(main())

    def test_rules_that_change_in_between_hold_for_all_slices(self):
        async def main() -> None:
            authorizer, engine = self.world()
            sender = engine.connect("s")
            authorizer.slow = False
            for number in (0, 1):
                sender.publish(f"t/{number}", retain=True)
            authorizer.slow = True
            peer = engine.connect("c")
            peer.send(self.packet())
            await self.answered(engine, authorizer)
            assert engine.stats.subscriptions_made == FILTERS_PER_TURN_MAX
            authorizer.deny("t/0", "t/150")
            engine.turn()
            while authorizer.open:
                await self.answered(engine, authorizer)
            assert list(peer.actor.session.subscriptions) == [
                f"t/{n}" for n in range(self.COUNT) if n not in (0, 150)
            ]
            suback, *retained = peer.take()
            assert isinstance(suback, SubAck)
            assert suback.reason_codes[150] == 0x87
            assert said(retained) == ["PUBLISH t/1=x retain"], "nothing of what is revoked"

        asyncio.run(main())


class Fatal(FakeAuthorizer):
    """Ends the links of those who ask for what is denied."""

    def may_publish(self, principal, topic, qos, retain):
        decision = super().may_publish(principal, topic, qos, retain)
        return Decision(decision.allowed, decision.rule, ends_link=not decision.allowed)

    def may_subscribe(self, principal, topic_filter, qos):
        return self.may_publish(principal, topic_filter, qos, False)


@pytest.mark.parametrize("version", [V3_1_1, V5])
def test_what_is_denied_may_end_the_link(version: int):
    engine = Engine(authorizer=Fatal("bomb"))
    for packet in (
        Subscribe(1, [SubscriptionRequest("a", 0), SubscriptionRequest("bomb", 0)]),
        publish("bomb"),
        publish("bomb", qos=1, packet_id=1),
    ):
        peer = engine.connect("c", version)
        assert said(peer.send(packet)) == (["DISCONNECT 0x98"] if version == V5 else [])
        assert peer.closed
    assert engine.stats.disconnects["administrative"] == 3


def test_deep_filters_count_for_more():
    engine = Engine(topic_levels_max=128, subscriptions_per_session_max=10)
    peer = engine.connect("c", session_expiry_interval=60)
    deep = "a/" * 127
    assert list(ask(peer, deep + "x", "s", deep + "y", "t", "u").reason_codes) == [
        0,
        0,
        0x97,
        0,
        0x97,
    ]
    peer.send(Unsubscribe(9, [deep + "x"]))
    assert list(ask(peer, deep + "y", "s").reason_codes) == [0, 0]
    assert peer.actor.filter_weight == 10
    assert isinstance(engine.store, FakeStore)
    again = Engine.restart(engine.store, topic_levels_max=128, subscriptions_per_session_max=10)
    assert again.broker.registry.actors["c"].filter_weight == 10
