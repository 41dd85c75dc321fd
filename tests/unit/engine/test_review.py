import asyncio

import pytest
from structlog.testing import capture_logs

from rookery.engine.review import ASKED_AT_ONCE_MAX
from rookery.engine.stats import DROP_NOT_AUTHORIZED, DROP_REVOKED, END_NOT_AUTHORIZED
from rookery.mqtt.packets import PubComp, PubRec, Unsubscribe
from rookery.mqtt.types import V3_1_1, V5
from rookery.ports import Decision
from tests.support.engine import (
    Engine,
    FakeAuthenticator,
    FakeAuthorizer,
    FakeStore,
    publish,
    said,
    will,
)


def world(**changed):
    authorizer = FakeAuthorizer()
    return authorizer, Engine(authorizer=authorizer, **changed)


class TestWhoIsLetIn:
    @pytest.mark.parametrize("version", [V5, V3_1_1])
    def test_who_is_not_any_more_is_put_out(self, version):
        authenticator = FakeAuthenticator()
        engine = Engine(authenticator=authenticator)
        peers = [engine.connect(name, version, username=name) for name in "ab"]
        authenticator.unwanted = {"a": "user 'a' is disabled"}
        authenticator.generation += 1
        with capture_logs() as logs:
            engine.turn()
        assert said(peers[0].take()) == (["DISCONNECT 0x87"] if version == V5 else [])
        assert [peer.closed for peer in peers] == [True, False]
        assert engine.stats.disconnects[END_NOT_AUTHORIZED] == 1
        refusal = next(each for each in logs if each["event"] == "client_refused")
        assert (refusal["reason"], refusal["detail"]) == (
            "not_admitted_any_more",
            "user 'a' is disabled",
        )

    def test_before_it_says_another_word(self):
        authenticator = FakeAuthenticator()
        engine = Engine(authenticator=authenticator)
        reader = engine.connect("r", username="r")
        reader.subscribe("t")
        sender = engine.connect("s", username="s")
        engine.broker.review.sessions_per_turn_max = 0
        authenticator.unwanted = {"s": "gone"}
        authenticator.generation += 1
        engine.turn((sender, sender.encode(publish("t"))))
        assert sender.closed
        assert reader.take() == []


class TestSubscriptions:
    def test_what_is_forbidden_is_revoked_at_once(self):
        authorizer, engine = world()
        reader, sender = engine.connect("r"), engine.connect("s")
        reader.subscribe("a", "b", "$share/g/c")
        authorizer.deny("a", "c")
        with capture_logs() as logs:
            engine.turn()
        sender.send(publish("a"), publish("b"), publish("c"))
        assert said(reader.take()) == ["PUBLISH b=x"]
        assert not reader.closed
        assert engine.stats.subscriptions_revoked == 2
        revoked = [each for each in logs if each["event"] == "subscription_revoked"]
        assert [(each["topic"], each["rule"]) for each in revoked] == [
            ("a", "a rule"),
            ("$share/g/c", "a rule"),
        ]

    def test_nothing_slips_through_to_who_is_not_reviewed_yet(self, monkeypatch):
        authorizer, engine = world()
        reader, sender = engine.connect("r"), engine.connect("s")
        reader.subscribe("a", qos=1)
        engine.broker.review.sessions_per_turn_max = 0
        monkeypatch.setattr(authorizer, "may_publish", lambda *_: Decision(True, "may write"))
        authorizer.deny("a")
        engine.turn((sender, sender.encode(publish("a"), publish("a", qos=1, packet_id=1))))
        assert reader.take() == []
        assert engine.stats.dropped[DROP_REVOKED] == 2

    def test_a_permission_to_publish_is_asked_again(self):
        authorizer, engine = world()
        sender = engine.connect("s")
        assert said(sender.publish("a", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]
        authorizer.deny("a")
        assert said(sender.publish("a", qos=1, packet_id=2)) == ["PUBACK #2 0x87"]

    def test_what_waits_in_the_queue_is_let_go(self):
        authorizer, engine = world()
        reader, sender = engine.connect("r", receive_maximum=1), engine.connect("s")
        reader.subscribe("a", "b", qos=1)
        for number, topic in enumerate("aaab", start=1):
            sender.publish(topic, qos=1, packet_id=number)
        first = reader.take_one()
        authorizer.deny("a")
        engine.turn()
        assert engine.stats.dropped[DROP_REVOKED] == 2
        assert reader.actor.session.outbound.queue_bytes == len(b"\0\1b") + len(b"x")
        ack = said(reader.send_bytes(b"\x40\x02" + first.packet_id.to_bytes(2, "big")))
        assert ack == ["PUBLISH b=x q1 #2"]

    def test_what_waits_in_the_log_is_let_go(self):
        authorizer, engine = world()
        reader, sender = engine.connect("r", session_expiry_interval=99), engine.connect("s")
        reader.subscribe("a", "b", qos=1)
        reader.drop()
        for number, topic in enumerate("abab", start=1):
            sender.publish(topic, qos=1, packet_id=number)
        authorizer.deny("a")
        engine.turn()
        _, more = engine.connect_more("r", clean_start=False, session_expiry_interval=99)
        assert said(more) == ["PUBLISH b=x q1 #1", "PUBLISH b=x q1 #2"]
        assert engine.stats.dropped[DROP_REVOKED] == 2
        assert not engine.broker.registry.actors["r"].revoked

    def test_the_store_knows(self):
        authorizer, engine = world()
        store = engine.store
        assert isinstance(store, FakeStore)
        reader = engine.connect("r", session_expiry_interval=99)
        reader.subscribe("a", "b", qos=1)
        authorizer.deny("a")
        engine.turn()
        engine.settle()
        assert [written for _, written in store.content.subscriptions] == ["b"]

    def test_what_a_share_group_is_owed_goes_to_another(self, monkeypatch):
        authorizer, engine = world()
        first = engine.connect("1", receive_maximum=1)
        first.subscribe("$share/g/a", qos=1)
        sender = engine.connect("s")
        for number in (1, 2):
            sender.publish("a", qos=1, packet_id=number)
        second = engine.connect("2")
        second.subscribe("$share/g/a", qos=1)

        def may_subscribe(principal, *_):
            return Decision(principal.client_id != "1", "not the first")

        monkeypatch.setattr(authorizer, "may_subscribe", may_subscribe)
        authorizer.generation += 1
        engine.turn()
        assert said(second.take()) == ["PUBLISH a=x q1 #1"]
        assert engine.stats.dropped[DROP_REVOKED] == 0

    def test_retained_messages_still_to_come_are_not_sent(self):
        authorizer, engine = world()
        sender = engine.connect("s")
        for number in range(3):
            sender.publish(f"a/{number}", qos=1, packet_id=number + 1, retain=True)
        reader = engine.connect("r", receive_maximum=1)
        assert len(reader.subscribe("b/#", "a/+", qos=1)) == 1, "the window is full"
        assert reader.actor.streams
        authorizer.deny("a/+")
        engine.turn()
        assert reader.actor.streams is None

    @pytest.mark.parametrize("version", [V5, V3_1_1])
    def test_where_it_is_asked_for_the_client_is_put_out(self, version):
        authorizer, engine = world(denied_v5_disconnects=True, denied_v3_disconnects=True)
        reader = engine.connect("r", version)
        reader.subscribe("a")
        authorizer.deny("a")
        engine.turn()
        assert said(reader.take()) == (["DISCONNECT 0x87"] if version == V5 else [])
        assert reader.closed


class TestInSlices:
    def test_many_sessions_take_several_turns(self):
        authorizer, engine = world()
        engine.broker.review.sessions_per_turn_max = 2
        for number in range(5):
            engine.connect(str(number)).subscribe("a")
        authorizer.deny("a")
        engine.turn()
        assert engine.stats.subscriptions_revoked == 2
        assert engine.settle() == 2
        assert engine.stats.subscriptions_revoked == 5

    def test_a_turn_ends_when_its_time_is_up(self, monkeypatch):
        authorizer, engine = world()
        for number in range(5):
            engine.connect(str(number)).subscribe("a")
        authorizer.deny("a")
        monkeypatch.setattr(engine.clock, "monotonic", iter(range(1_000, 2_000)).__next__)
        engine.turn()
        assert engine.stats.subscriptions_revoked == 1


class TestAClientThatIsBack:
    def test_its_subscriptions_are_reviewed_before_anything_is_sent(self):
        authorizer, engine = world()
        store = engine.store
        reader, sender = engine.connect("r", session_expiry_interval=99), engine.connect("s")
        reader.subscribe("a", "b", qos=1)
        reader.drop()
        for number, topic in enumerate("ab", start=1):
            sender.publish(topic, qos=1, packet_id=number)
        assert isinstance(store, FakeStore)
        authorizer.denied = {"a"}
        later = Engine.restart(store, authorizer=authorizer)
        authorizer.generation += 1
        later.turn()
        assert "a" in later.broker.registry.actors["r"].session.subscriptions, "nobody knows whose"
        _, more = later.connect_more("r", clean_start=False, session_expiry_interval=99)
        assert said(more) == ["PUBLISH b=x q1 #1"]

    def test_the_same_one_at_the_same_rules_is_not_asked_about(self):
        authorizer, engine = world()
        engine.connect("r", session_expiry_interval=99).subscribe("a")
        engine.broker.registry.actors["r"].client.lost()
        asked = len(authorizer.asked)
        engine.connect_more("r", clean_start=False, session_expiry_interval=99)
        assert len(authorizer.asked) == asked
        engine.connect_more("r", clean_start=False, username="other")
        assert len(authorizer.asked) == asked + 1


class TestWills:
    def test_one_that_waited_is_asked_about_again(self):
        authorizer, engine = world()
        reader = engine.connect("r")
        reader.subscribe("w")
        sender = engine.connect(
            "s", session_expiry_interval=99, will=will("w", will_delay_interval=5)
        )
        sender.drop()
        authorizer.denied.add("w")
        authorizer.generation += 1
        authorizer.may_subscribe = lambda *_: authorizer._decision("")
        engine.wait(6)
        assert reader.take() == []
        assert engine.stats.dropped[DROP_NOT_AUTHORIZED] == 1

    def test_without_a_change_it_is_not(self):
        authorizer, engine = world()
        reader = engine.connect("r")
        reader.subscribe("w")
        sender = engine.connect("s", will=will("w"))
        asked = len(authorizer.asked)
        sender.drop()
        assert said(reader.take()) == ["PUBLISH w=gone"]
        assert len(authorizer.asked) == asked

    def test_an_answer_later(self):
        async def main():
            authorizer, engine = world()
            reader = engine.connect("r")
            reader.subscribe("w")
            sender = engine.connect("s", will=will("w"))
            authorizer.generation += 1
            engine.turn()
            authorizer.slow = True
            sender.drop()
            assert reader.take() == []
            authorizer.answer()
            await engine.until(lambda: reader.io.written)
            assert said(reader.take()) == ["PUBLISH w=gone"]

        asyncio.run(main())


class TestAnswersThatTakeTime:
    def test_meanwhile_nothing_is_sent(self):
        async def main():
            authorizer, engine = world()
            reader = engine.connect("r", session_expiry_interval=99)
            sender = engine.connect("s")
            reader.subscribe("a", "b", qos=1)
            sender.publish("x")
            authorizer.slow = True
            authorizer.generation += 1
            engine.turn()
            authorizer.slow = False
            sender.send(publish("a", qos=1, packet_id=1), publish("b", qos=1, packet_id=2))
            assert reader.take() == []
            authorizer.denied = {"a"}
            authorizer.answer()
            await engine.until(lambda: reader.io.written)
            assert said(reader.take()) == ["PUBLISH b=x q1 #1"]
            assert engine.stats.dropped[DROP_REVOKED] == 1

        asyncio.run(main())

    def test_a_client_that_is_back_waits_for_them(self):
        async def main():
            authorizer, engine = world()
            reader = engine.connect("r", session_expiry_interval=99)
            reader.subscribe("a", qos=1)
            engine.connect("s").publish("a", qos=1, packet_id=1)
            assert said(reader.take()) == ["PUBLISH a=x q1 #1"]
            reader.drop()
            authorizer.slow = True
            back, more = engine.connect_more(
                "r", clean_start=False, session_expiry_interval=99, username="other"
            )
            assert more == []
            authorizer.answer()
            await engine.until(lambda: back.io.written)
            assert said(back.take()) == ["PUBLISH a=x q1 #1 dup"]

        asyncio.run(main())

    def test_a_session_that_ends_meanwhile(self):
        async def main():
            authorizer, engine = world()
            reader = engine.connect("r")
            reader.subscribe("a")
            authorizer.slow = True
            authorizer.generation += 1
            engine.turn()
            reader.drop()
            authorizer.denied = {"a"}
            authorizer.answer()
            await engine.until(lambda: not engine.broker.tasks._running)
            assert engine.stats.subscriptions_revoked == 0

        asyncio.run(main())

    def test_only_the_last_review_counts(self):
        async def main():
            authorizer, engine = world()
            reader = engine.connect("r", session_expiry_interval=99)
            reader.subscribe("a")
            authorizer.slow = True
            for _ in range(2):
                authorizer.generation += 1
                engine.turn()
            first, second = authorizer.open
            first[1].set_result(authorizer._decision("a"))
            await engine.until(lambda: len(engine.broker.tasks._running) == 1)
            assert reader.actor.under_review
            second[1].set_result(authorizer._decision("a"))
            await engine.until(lambda: not reader.actor.under_review)

        asyncio.run(main())

    def test_a_failure_of_ours_costs_the_link(self):
        async def main():
            authorizer, engine = world()
            reader = engine.connect("r")
            reader.subscribe("a")
            authorizer.slow = True
            authorizer.generation += 1
            engine.turn()
            authorizer.open[0][1].set_exception(RuntimeError("ours"))
            await engine.until(lambda: reader.closed)

        asyncio.run(main())

    def test_only_some_are_asked_at_a_time(self):
        async def main():
            authorizer, engine = world(subscriptions_per_session_max=1_000)
            count = 2 * ASKED_AT_ONCE_MAX
            peers = [engine.connect(f"r{number}") for number in range(4)]
            peers[0].subscribe(*[f"t/{number}" for number in range(count)])
            for peer in peers[1:]:
                peer.subscribe("t/1", "t/2")
            authorizer.slow = True
            authorizer.asked.clear()
            authorizer.generation += 1
            engine.turn()
            while authorizer.open:
                assert len(authorizer.open) <= ASKED_AT_ONCE_MAX
                assert any(peer.actor.under_review for peer in peers)
                authorizer.denied = {"t/1"}
                authorizer.answer()
                await engine.until(lambda: not engine.broker.tasks._running or authorizer.open)
            engine.settle()
            assert len(authorizer.asked) == count + 6, "each is asked about once"
            assert not any(peer.actor.under_review for peer in peers)
            assert engine.stats.subscriptions_revoked == 4
            sender = engine.connect("s")
            authorizer.slow = False
            sender.publish("t/2")
            assert [said(peer.take()) for peer in peers] == [["PUBLISH t/2=x"]] * 4

        asyncio.run(main())

    def test_one_that_ends_at_once_lets_go_of_what_an_earlier_one_held(self):
        async def main():
            authorizer, engine = world()
            reader, sender = engine.connect("r"), engine.connect("s")
            reader.subscribe("a", "b", qos=1)
            authorizer.slow = True
            authorizer.generation += 1
            engine.turn()
            authorizer.slow = False
            sender.publish("a", qos=1, packet_id=1)
            assert reader.take() == []
            authorizer.generation += 1
            engine.turn()
            assert said(reader.take()) == ["PUBLISH a=x q1 #1"]

        asyncio.run(main())

    def test_a_failure_leaves_room_for_others(self):
        async def main():
            authorizer, engine = world()
            failing = engine.connect("f")
            failing.subscribe(*[f"t/{number}" for number in range(ASKED_AT_ONCE_MAX)])
            authorizer.slow = True
            authorizer.generation += 1
            engine.turn()
            authorizer.open[0][1].set_exception(RuntimeError("ours"))
            await engine.until(lambda: failing.closed)
            authorizer.slow = False
            reader = engine.connect("r")
            reader.subscribe("a")
            authorizer.slow = True
            authorizer.generation += 1
            engine.turn()
            assert authorizer.asked[-1] == "a"

        asyncio.run(main())


LASTING = {"session_expiry_interval": 60, "clean_start": False}


class TestWhatWasInFlight:
    """A session may be resumed by another user, or when rules have changed since its client went."""

    def left_behind(self, qos: int, *, acknowledged: bool = False):
        authorizer, engine = world(store=FakeStore(at_once=True))
        reader = engine.connect("r", username="ann", **LASTING)
        reader.subscribe("a", "b", qos=qos)
        sender = engine.connect("s")
        for packet_id, topic in enumerate("ab", 1):
            sender.publish(topic, qos=qos, packet_id=packet_id)
        assert len(said(reader.take())) == 2
        if acknowledged:
            reader.send(PubRec(1), PubRec(2))
        reader.drop()
        return authorizer, engine

    @pytest.mark.parametrize("qos", [1, 2])
    def test_what_is_forbidden_is_not_sent_again(self, qos):
        authorizer, engine = self.left_behind(qos)
        authorizer.deny("a")
        _, more = engine.connect_more("r", username="bob", **LASTING)
        told = [each for each in said(more) if each.startswith("PUBLISH")]
        assert told == [f"PUBLISH b=x q{qos} #2 dup"]
        assert engine.stats.dropped[DROP_REVOKED] == 1

    def test_a_qos_2_exchange_ends_in_good_order(self):
        authorizer, engine = self.left_behind(2)
        authorizer.deny("a")
        reader, more = engine.connect_more("r", username="bob", **LASTING)
        assert "PUBREL #1" in said(more)
        reader.send(PubComp(1))
        assert engine.broker.registry.actors["r"].session.outbound.released == {}

    def test_what_was_unsubscribed_is_completed(self):
        authorizer, engine = self.left_behind(1)
        reader, _ = engine.connect_more("r", username="ann", **LASTING)
        reader.send(Unsubscribe(1, ["a"]))
        reader.drop()
        authorizer.deny("b")
        _, more = engine.connect_more("r", username="ann", **LASTING)
        assert said(more) == ["PUBLISH a=x q1 #1 dup"]

    def test_what_the_present_link_was_sent_is_completed(self):
        authorizer, engine = world()
        reader = engine.connect("r", **LASTING)
        reader.subscribe("a", qos=1)
        engine.connect("s").publish("a", qos=1, packet_id=1)
        reader.take()
        authorizer.deny("a")
        engine.turn()
        assert len(engine.broker.registry.actors["r"].session.outbound.inflight) == 1
