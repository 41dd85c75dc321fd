import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from rookery.engine.stats import END_NOT_AUTHORIZED
from rookery.mqtt.packets import Auth, ConnAck, Disconnect, PingReq, PubAck
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V3_1, V3_1_1, V5, ReasonCode
from rookery.ports import Accepted, Challenge, PeerCertificate, Principal, Refused
from tests.support.engine import (
    Engine,
    FakeAuthenticator,
    FakeAuthorizer,
    Peer,
    connect,
    props,
    publish,
    said,
    will,
)

YES = Accepted(Principal("user"))
NO = Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "the password is wrong")
METHOD = {"authentication_method": "method"}


def connack(peer_and_answer: tuple[Peer, list]) -> ConnAck:
    peer, (answer,) = peer_and_answer
    assert isinstance(answer, ConnAck)
    assert peer.closed == (answer.reason_code != 0)
    return answer


class TestTheClientId:
    @pytest.mark.clause("5.0:MQTT-3.1.3-6", "5.0:MQTT-3.2.2-16")
    def test_is_assigned_where_there_is_none(self):
        engine = Engine()
        first, second = (connack(engine.ask(connect(""))) for _ in range(2))
        names = {answer.properties.assigned_client_identifier for answer in (first, second)}
        assert names == set(engine.broker.registry.actors)
        assert len(names) == 2

    def test_that_is_assigned_is_the_principal_s(self):
        engine = Engine()
        peer, _ = engine.ask(connect(""))
        assert peer.actor.principal.client_id == peer.actor.client_id != ""

    def test_is_not_told_to_who_brought_one(self):
        answer = connack(Engine().ask(connect("mine")))
        assert answer.properties.assigned_client_identifier is None

    @pytest.mark.clause("3.1.1:MQTT-3.1.3-6", "3.1.1:MQTT-3.1.3-8")
    @pytest.mark.parametrize(
        ("version", "clean", "code"),
        [(V3_1_1, True, 0), (V3_1_1, False, 0x85), (V3_1, True, 0x85), (V5, False, 0)],
    )
    def test_may_be_empty_by_version(self, version, clean, code):
        assert connack(Engine().ask(connect("", version, clean_start=clean))).reason_code == code

    @pytest.mark.parametrize(("client_id", "code"), [("x" * 8, 0), ("x" * 9, 0x85), ("äöüé", 0)])
    def test_is_limited_in_bytes(self, client_id, code):
        assert connack(Engine(client_id_bytes_max=8).ask(connect(client_id))).reason_code == code


class TestAClientIdThatTheAuthenticatorChose:
    def engine(self, client_id: str, **limits: int) -> Engine:
        accepted = Accepted(Principal("user"), client_id=client_id)
        return Engine(authenticator=FakeAuthenticator(accepted), **limits)

    def test_stands_in_place_of_the_clients_own(self):
        engine = self.engine("chosen")
        answer = connack(engine.ask(connect("mine")))
        # The property would tell a client that it brought none.
        assert answer.properties.assigned_client_identifier is None
        assert list(engine.broker.registry.actors) == ["chosen"]
        assert engine.broker.registry.actors["chosen"].principal.client_id == "chosen"

    def test_is_told_to_who_brought_none(self):
        answer = connack(self.engine("chosen").ask(connect("")))
        assert answer.properties.assigned_client_identifier == "chosen"

    def test_is_limited_like_any_other(self):
        engine = self.engine("x" * 9, client_id_bytes_max=8)
        assert connack(engine.ask(connect("a"))).reason_code == 0x85

    def test_is_what_rules_see_of_a_client_that_brought_none(self):
        engine = Engine()
        (client_id,) = [connack(engine.ask(connect(""))).properties.assigned_client_identifier]
        assert engine.broker.registry.actors[client_id].principal.client_id == client_id


class TestLimits:
    def test_connections(self):
        engine = Engine(connections_max=1)
        first = engine.connect("a")
        assert connack(engine.ask(connect("b"))).reason_code == 0x97
        assert engine.stats.connects_refused == {0x97: 1}
        first.drop()
        assert connack(engine.ask(connect("b"))).reason_code == 0

    def test_while_draining(self):
        engine = Engine()
        engine.broker.draining = True
        for version in (V3_1_1, V5):
            answer = connack(engine.ask(connect("a", version)))
            assert answer.reason_code == ReasonCode.SERVER_UNAVAILABLE

    def test_while_draining_with_somewhere_to_go(self):
        engine = Engine(server_reference="other:1883")
        engine.broker.draining = True
        answer = connack(engine.ask(connect("a")))
        assert answer.reason_code == ReasonCode.USE_ANOTHER_SERVER
        assert answer.properties.server_reference == "other:1883"

    @pytest.mark.parametrize(
        ("topic", "code"), [("a/b/c", 0), ("a/b/c/d", 0x90), ("a/+", 0x90), ("", 0x90)]
    )
    def test_the_will_s_topic(self, topic, code):
        engine = Engine(topic_levels_max=3)
        assert connack(engine.ask(connect("a", will=will(topic)))).reason_code == code

    def test_the_will_s_permission(self):
        engine = Engine(authorizer=FakeAuthorizer("w"))
        assert connack(engine.ask(connect("a", will=will("w")))).reason_code == 0x87
        assert engine.broker.registry.actors == {}
        assert connack(engine.ask(connect("a", will=will("v")))).reason_code == 0


class TestWhatIsTold:
    def test_nothing_to_old_clients(self):
        answer = connack(Engine(receive_maximum=5).ask(connect("a", V3_1_1)))
        assert answer.properties is None

    def test_limits_that_are_not_the_default(self):
        engine = Engine(receive_maximum=5, packet_bytes_max=1_000, topic_aliases_in_max=3)
        told = connack(engine.ask(connect("a"))).properties
        assert (told.receive_maximum, told.maximum_packet_size) == (5, 1_000)
        assert told.topic_alias_maximum == 3
        engine = Engine(packet_bytes_max=PACKET_BYTES_LIMIT, topic_aliases_in_max=0)
        told = connack(engine.ask(connect("a"))).properties
        assert told is None or (told.receive_maximum, told.maximum_packet_size) == (None, None)
        assert told is None or told.topic_alias_maximum is None

    @pytest.mark.clause("5.0:MQTT-3.1.2-21", "5.0:MQTT-3.2.2-21")
    @pytest.mark.parametrize(
        ("limits", "asked", "told", "used"),
        [
            ({}, 30, None, 30),
            ({"server_keep_alive_seconds": 60}, 30, 60, 60),
            ({"server_keep_alive_seconds": 60}, 60, None, 60),
            ({"keep_alive_seconds_max": 20}, 30, 20, 20),
            ({"keep_alive_seconds_max": 20}, 0, 20, 20),
            ({}, 0, None, 0),
        ],
    )
    def test_keep_alive(self, limits, asked, told, used):
        engine = Engine(**limits)
        peer, (answer,) = engine.ask(connect("a", keep_alive_seconds=asked))
        assert answer.properties.server_keep_alive == told
        assert peer.client.keep_alive_seconds == used

    def test_an_old_client_s_keep_alive_is_its_own(self):
        engine = Engine(server_keep_alive_seconds=60)
        assert engine.connect("a", V3_1_1, keep_alive_seconds=30).client.keep_alive_seconds == 30

    @pytest.mark.parametrize(
        ("asked", "told", "used"), [(50, None, 50), (100, None, 100), (101, 100, 100)]
    )
    def test_session_expiry(self, asked, told, used):
        engine = Engine(session_expiry_seconds_max=100)
        peer, (answer,) = engine.ask(connect("a", session_expiry_interval=asked))
        assert answer.properties.session_expiry_interval == told
        assert peer.actor.session.expiry_seconds == used

    def test_session_expiry_of_old_clients(self):
        engine = Engine(persistent_session_expiry_seconds=500)
        kept = engine.connect("a", V3_1_1, clean_start=False)
        assert kept.actor.session.expiry_seconds == 500
        assert engine.connect("b", V3_1_1).actor.session.expiry_seconds == 0

    @pytest.mark.clause("5.0:MQTT-3.1.2-28")
    @pytest.mark.parametrize(("asked", "told"), [(1, "replies/"), (0, None), (None, None)])
    def test_response_information(self, asked, told):
        engine = Engine(response_information="replies/")
        answer = connack(engine.ask(connect("a", request_response_information=asked)))
        assert answer.properties.response_information == told

    @pytest.mark.clause("5.0:MQTT-3.2.2-2", "5.0:MQTT-3.2.2-3")
    def test_session_present(self):
        engine = Engine()
        for clean, present in ((True, False), (False, True), (True, False)):
            peer, (answer,) = engine.ask(
                connect("a", clean_start=clean, session_expiry_interval=60)
            )
            assert answer.session_present == present
            peer.drop()


class TestWhatIsTaken:
    @pytest.mark.parametrize(
        ("asked", "window"), [({}, 50), ({"receive_maximum": 7}, 7), ({"receive_maximum": 99}, 50)]
    )
    def test_the_window_is_the_smaller_of_both(self, asked, window):
        peer = Engine(inflight_max=50).connect("a", **asked)
        assert peer.actor.session.outbound.window_max == window

    @pytest.mark.clause("5.0:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-26")
    def test_packet_size_and_aliases(self):
        engine = Engine(topic_aliases_out_max=5)
        link = engine.connect("a", maximum_packet_size=500, topic_alias_maximum=9).client.link
        assert (link.packet_bytes_out_max, link.topic_aliases_out_max) == (500, 5)
        link = engine.connect(
            "b", maximum_packet_size=0xFFFFFFFF, topic_alias_maximum=2
        ).client.link
        assert (link.packet_bytes_out_max, link.topic_aliases_out_max) == (PACKET_BYTES_LIMIT, 2)
        link = engine.connect("c").client.link
        assert (link.packet_bytes_out_max, link.topic_aliases_out_max) == (PACKET_BYTES_LIMIT, 0)

    def test_aliases_are_used(self):
        engine = Engine()
        peer = engine.connect("a", topic_alias_maximum=1)
        peer.subscribe("some/long/topic")
        writer = engine.connect("w")
        sizes = []
        for _ in range(2):
            writer.publish("some/long/topic")
            sizes.append(len(peer.io.written))
            assert said(peer.take()) == ["PUBLISH some/long/topic=x"]
        assert sizes[1] == sizes[0] - len("some/long/topic")


class TestPasswords:
    def test_the_authenticator_knows_what_the_client_said(self):
        authenticator = FakeAuthenticator(YES)
        engine = Engine(authenticator=authenticator)
        peer = engine.peer()
        peer.io.peer_certificate = PeerCertificate("c")
        peer.send(connect("a", username="u", password=b"p"))
        (attempt,) = authenticator.attempts
        assert (attempt.client_id, attempt.username, attempt.password) == ("a", "u", b"p")
        assert (attempt.address, attempt.listener) == ("192.0.2.1", "tcp")
        assert attempt.certificate == PeerCertificate("c")
        assert peer.actor.principal.name == "user"

    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_the_client_hears_the_code_and_the_operator_why(self, version):
        engine = Engine(authenticator=FakeAuthenticator(NO))
        with capture_logs() as logs:
            answer = connack(engine.ask(connect("a", version)))
        assert answer.reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
        assert answer.properties is None
        assert [line["detail"] for line in logs] == ["the password is wrong"]
        assert engine.broker.registry.actors == {}

    def test_a_token_given_as_a_name_is_not_logged_whole(self):
        engine = Engine(authenticator=FakeAuthenticator(NO))
        with capture_logs() as logs:
            engine.ask(connect("a", username="eyJhIjoxfQ.eyJiIjoyfQ.signature"))
        assert [line["username"] for line in logs] == ["eyJhIjoxfQ.eyJiIjoyfQ."]

    def test_what_was_sent_behind_a_refused_connect_is_not_done(self):
        engine = Engine(authenticator=FakeAuthenticator(YES, NO))
        reader = engine.connect("r")
        reader.subscribe("t")
        peer = engine.peer()
        assert said(peer.send(connect("a"), publish("t"))) == ["CONNACK 0x86"]
        assert reader.take() == []


def later(*verdicts: Accepted | Refused | Challenge | Exception) -> list[Awaitable]:
    """Verdicts that take a while."""

    async def decide(verdict: object) -> object:
        await asyncio.sleep(0)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    return [decide(verdict) for verdict in verdicts]


async def until(engine: Engine, there: Callable[[], object]) -> None:
    """Let the loop turn until something is there."""
    await engine.until(there)


class TestAVerdictThatTakesTime:
    def test_meanwhile_packets_are_held_in_order(self):
        async def main() -> None:
            engine = Engine(authenticator=FakeAuthenticator(*later(YES)))
            peer, found = engine.ask(connect("a"))
            assert found == []
            assert peer.send(publish("t", qos=1, packet_id=1)) == []
            assert peer.io.paused
            assert peer.send(PingReq()) == []
            await until(engine, lambda: peer.io.written)
            assert said(peer.take()) == ["CONNACK", "PUBACK #1 0x10", "PINGRESP"]
            assert not peer.io.paused

        asyncio.run(main())

    def test_a_refusal(self):
        async def main() -> None:
            engine = Engine(authenticator=FakeAuthenticator(*later(NO)))
            peer, _ = engine.ask(connect("a"))
            await until(engine, lambda: peer.closed)
            assert said(peer.take()) == ["CONNACK 0x86"]

        asyncio.run(main())

    def test_a_client_that_did_not_wait(self):
        async def main() -> None:
            engine = Engine(authenticator=FakeAuthenticator(*later(YES)))
            peer, _ = engine.ask(connect("a"))
            peer.drop()
            await until(engine, lambda: not engine.broker.tasks._running)
            assert engine.broker.registry.actors == {}
            assert peer.take() == []

        asyncio.run(main())

    def test_an_authenticator_that_fails_costs_its_client_the_link(self):
        async def main() -> None:
            engine = Engine(authenticator=FakeAuthenticator(*later(OSError("unreachable"))))
            with capture_logs() as logs:
                peer, _ = engine.ask(connect("a"))
                await until(engine, lambda: peer.closed)
            assert [line["event"] for line in logs] == ["link_crashed"]
            assert engine.stats.supervisor_restarts == 1

        asyncio.run(main())

    def test_garbage_meanwhile_ends_the_link(self):
        async def main() -> None:
            engine = Engine(authenticator=FakeAuthenticator(*later(YES)))
            peer, _ = engine.ask(connect("a"))
            assert said(peer.send_bytes(b"\xc1\0")) == ["CONNACK 0x81"]
            await until(engine, lambda: not engine.broker.tasks._running)
            assert engine.broker.registry.actors == {}

        asyncio.run(main())


@pytest.mark.clause("5.0:MQTT-4.12.0-2", "5.0:MQTT-4.12.0-5")
class TestEnhancedAuthentication:
    @pytest.mark.parametrize("sync", [True, False])
    def test_rounds_until_accepted(self, sync):
        async def main() -> None:
            verdicts = [Challenge(b"1"), Challenge(b"2"), Accepted(Principal("u"), b"done")]
            authenticator = FakeAuthenticator(
                *(verdicts if sync else later(*verdicts)), methods="method"
            )
            engine = Engine(authenticator=authenticator)
            peer = engine.peer()
            packets = [connect("a", authentication_data=b"0", **METHOD)]
            packets += [
                Auth(ReasonCode.CONTINUE_AUTHENTICATION, props(authentication_data=data, **METHOD))
                for data in (b"1+", b"2+")
            ]
            found = []
            for packet in packets:
                peer.engine.turn((peer, peer.encode(packet)))
                await until(engine, lambda: peer.io.written)
                found += peer.take()
            assert said(found) == ["AUTH 0x18", "AUTH 0x18", "CONNACK"]
            assert [each.properties.authentication_data for each in found] == [b"1", b"2", b"done"]
            assert {each.properties.authentication_method for each in found} == {"method"}
            assert authenticator.data == [b"0", b"1+", b"2+"]
            assert peer.actor.principal.name == "u"

        asyncio.run(main())

    @pytest.mark.clause("5.0:MQTT-4.12.0-1")
    def test_an_unknown_method(self):
        engine = Engine(authenticator=FakeAuthenticator(methods="method"))
        answer = connack(engine.ask(connect("a", authentication_method="other")))
        assert answer.reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD

    @pytest.mark.clause("5.0:MQTT-4.12.0-4")
    def test_refused_in_a_later_round(self):
        engine = Engine(
            authenticator=FakeAuthenticator(
                Challenge(b"1"), Refused(ReasonCode.NOT_AUTHORIZED, "no"), methods="method"
            )
        )
        peer, _ = engine.ask(connect("a", **METHOD))
        answer = Auth(ReasonCode.CONTINUE_AUTHENTICATION, props(**METHOD))
        assert said(peer.send(answer)) == ["CONNACK 0x87"]
        assert peer.closed

    def challenged(self) -> Peer:
        engine = Engine(authenticator=FakeAuthenticator(Challenge(b"1"), methods="method"))
        return engine.ask(connect("a", **METHOD))[0]

    @pytest.mark.parametrize(
        ("packet", "code"),
        [
            (Auth(ReasonCode.CONTINUE_AUTHENTICATION, props(authentication_method="x")), "0x82"),
            (publish("t", topic_alias=11), "0x82"),
            (Auth(ReasonCode.RE_AUTHENTICATE, props(**METHOD)), "0x82"),
            (publish("t"), "0x82"),
            (PingReq(), "0x82"),
        ],
    )
    def test_anything_else_than_the_next_step_ends_it(self, packet, code):
        peer = self.challenged()
        assert said(peer.send(packet)) == [f"CONNACK {code}"]
        assert peer.closed

    def test_the_client_may_give_up(self):
        peer = self.challenged()
        assert peer.send(Disconnect()) == []
        assert peer.closed
        assert peer.engine.stats.packets_invalid == 0


@pytest.mark.clause("5.0:MQTT-4.12.1-1", "5.0:MQTT-4.12.1-2")
class TestReAuthentication:
    AGAIN = Auth(ReasonCode.RE_AUTHENTICATE, props(authentication_data=b"new", **METHOD))
    STEP = Auth(ReasonCode.CONTINUE_AUTHENTICATION, props(authentication_data=b"s", **METHOD))

    def admitted(self, *verdicts: object, **more) -> Peer:
        authenticator = FakeAuthenticator(YES, *verdicts, methods="method")
        engine = Engine(authenticator=authenticator, **more)
        return engine.ask(connect("a", **METHOD))[0]

    def test_the_principal_changes_and_so_may_permissions(self):
        authorizer = FakeAuthorizer()
        peer = self.admitted(
            Challenge(b"c"), Accepted(Principal("other"), b"ok"), authorizer=authorizer
        )
        peer.publish("t")
        assert said(peer.send(self.AGAIN)) == ["AUTH 0x18"]
        (done,) = peer.send(self.STEP)
        assert (done.reason_code, done.properties.authentication_data) == (0, b"ok")
        assert done.properties.authentication_method == "method"
        assert peer.actor.principal.name == "other"
        peer.publish("t")
        assert authorizer.asked == ["t", "t"]

    def test_between_the_rounds_everything_goes_on(self):
        peer = self.admitted(Challenge(b"c"), YES)
        peer.send(self.AGAIN)
        assert said(peer.send(PingReq(), self.STEP)) == ["PINGRESP", "AUTH"]

    @pytest.mark.clause("5.0:MQTT-3.14.2-1")
    @pytest.mark.parametrize(
        ("code", "told"),
        [
            (ReasonCode.NOT_AUTHORIZED, 0x87),
            (ReasonCode.SERVER_BUSY, 0x89),
            (ReasonCode.BAD_USER_NAME_OR_PASSWORD, 0x87),
        ],
    )
    def test_a_refusal_ends_the_link(self, code, told):
        peer = self.admitted(Refused(code, "no"))
        assert said(peer.send(self.AGAIN)) == [f"DISCONNECT 0x{told:02X}"]
        assert peer.closed
        assert peer.engine.stats.disconnects[END_NOT_AUTHORIZED] == 1

    def test_not_twice_at_once(self):
        peer = self.admitted(Challenge(b"c"))
        peer.send(self.AGAIN)
        assert said(peer.send(self.AGAIN)) == ["DISCONNECT 0x82"]

    def test_no_step_without_a_beginning(self):
        assert said(self.admitted().send(self.STEP)) == ["DISCONNECT 0x82"]

    def test_not_by_another_method(self):
        other = Auth(ReasonCode.RE_AUTHENTICATE, props(authentication_method="other"))
        assert said(self.admitted().send(other)) == ["DISCONNECT 0x82"]

    @pytest.mark.clause("5.0:MQTT-4.12.0-7")
    @pytest.mark.parametrize("asked", [{}, {"receive_maximum": 5}])
    def test_not_without_a_method_in_the_connect(self, asked):
        peer = Engine().connect("a", **asked)
        assert said(peer.send(self.AGAIN)) == ["DISCONNECT 0x82"]

    def test_a_longer_proof_puts_the_end_off(self):
        engine = Engine()
        engine.broker.authenticator = FakeAuthenticator(
            until_wall(engine, 10), until_wall(engine, 1_000), methods="method"
        )
        peer, _ = engine.ask(connect("a", keep_alive_seconds=0, **METHOD))
        assert said(peer.send(self.AGAIN)) == ["AUTH"]
        engine.wait(900)
        assert not peer.closed
        engine.wait(102)
        assert peer.closed

    def test_an_assigned_client_id_is_what_the_authenticator_is_asked_about(self):
        authenticator = FakeAuthenticator(YES, YES, methods="method")
        engine = Engine(authenticator=authenticator)
        peer, _ = engine.ask(connect("", **METHOD))
        peer.send(self.AGAIN)
        first, again = authenticator.attempts
        assert (first.client_id, again.client_id) == ("", peer.actor.client_id)

    def test_packets_wait_for_a_verdict_that_takes_time(self):
        async def main() -> None:
            peer = self.admitted(*later(YES))
            assert peer.send(self.AGAIN, PingReq()) == []
            await until(peer.engine, lambda: peer.io.written)
            assert said(peer.take()) == ["AUTH", "PINGRESP"]

        asyncio.run(main())

    def test_a_fault_meanwhile_is_told_with_a_disconnect(self):
        async def main() -> None:
            peer = self.admitted(*later(YES))
            assert peer.send(self.AGAIN) == []
            assert said(peer.send_bytes(b"\xc1\0")) == ["DISCONNECT 0x81"]
            await until(peer.engine, lambda: not peer.engine.broker.tasks._running)

        asyncio.run(main())


@pytest.mark.clause("5.0:MQTT-4.4.0-1", "3.1.1:MQTT-4.4.0-1")
class TestResume:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_what_was_in_flight_then_the_queue(self, version):
        engine = Engine()
        asked = {"session_expiry_interval": 60} if version == V5 else {}
        peer = engine.connect("a", version, clean_start=False, **asked)
        peer.subscribe("t", qos=1)
        writer = engine.connect("w")
        for n in (1, 2):
            writer.publish("t", b"%d" % n, 1, packet_id=n)
        peer.take()
        peer.send(PubAck(1))
        peer.drop()
        writer.publish("t", b"3", 1, packet_id=3)
        sent = engine.stats.messages_sent
        peer, more = engine.connect_more("a", version, clean_start=False, **asked)
        assert said(more) == ["PUBLISH t=2 q1 #2 dup", "PUBLISH t=3 q1 #3"]
        assert engine.stats.messages_sent - sent == 2

    def test_into_a_smaller_window(self):
        engine = Engine()
        peer = engine.connect("a", session_expiry_interval=60)
        peer.subscribe("t", qos=1)
        writer = engine.connect("w")
        for n in (1, 2, 3):
            writer.publish("t", b"%d" % n, 1, packet_id=n)
        peer.drop()
        peer, more = engine.connect_more("a", clean_start=False, receive_maximum=1)
        assert said(more) == ["PUBLISH t=1 q1 #1 dup"]
        assert said(peer.send(PubAck(1))) == ["PUBLISH t=2 q1 #2 dup"]
        assert said(peer.send(PubAck(2))) == ["PUBLISH t=3 q1 #3 dup"]

    def test_a_clean_start_has_nothing(self):
        engine = Engine()
        peer = engine.connect("a", session_expiry_interval=60)
        peer.subscribe("t", qos=1)
        peer.drop()
        engine.connect("w").publish("t", qos=1, packet_id=1)
        peer, more = engine.connect_more("a", clean_start=True)
        assert more == []
        assert peer.actor.session.subscriptions == {}


class TestAWillThatIsAskedAbout:
    @pytest.mark.parametrize("denied", [False, True])
    def test_the_client_waits_for_the_answer(self, denied):
        async def main() -> None:
            authorizer = FakeAuthorizer(*["w"] * denied, slow=True)
            engine = Engine(authorizer=authorizer)
            peer, found = engine.ask(connect("a", will=will("w")))
            assert found == []
            assert peer.send(PingReq()) == []
            authorizer.answer()
            await engine.until(lambda: peer.io.written)
            answer = ["CONNACK 0x87"] if denied else ["CONNACK", "PINGRESP"]
            assert said(peer.take()) == answer
            assert peer.closed is denied

        asyncio.run(main())

    @pytest.mark.parametrize("error", [None, RuntimeError("ours")])
    def test_it_may_go_meanwhile(self, error):
        async def main() -> None:
            authorizer = FakeAuthorizer(slow=True)
            engine = Engine(authorizer=authorizer)
            peer, _ = engine.ask(connect("a", will=will("w")))
            if error is None:
                peer.drop()
                authorizer.answer()
            else:
                authorizer.open[0][1].set_exception(error)
            await engine.until(lambda: not engine.broker.tasks._running)
            assert engine.broker.registry.actors == {}

        asyncio.run(main())

    def test_only_the_node_has_wills_for_its_own_topics(self):
        _, found = Engine().ask(connect("a", will=will("$SYS/w")))
        assert said(found) == ["CONNACK 0x87"]

    def test_a_will_topic_has_a_limit_of_bytes(self):
        _, found = Engine(topic_bytes_max=5).ask(connect("a", will=will("w" * 6)))
        assert said(found) == ["CONNACK 0x90"]


def until_wall(engine: Engine, seconds: float) -> Accepted:
    return Accepted(Principal("user", expires_at_wall=engine.clock.wall() + seconds))


class TestAProofThatEnds:
    @pytest.mark.parametrize(("version", "told"), [(V5, ["DISCONNECT 0xA0"]), (V3_1_1, [])])
    def test_ends_the_link(self, version, told):
        engine = Engine()
        engine.broker.authenticator = FakeAuthenticator(until_wall(engine, 700))
        peer = engine.connect("a", version, keep_alive_seconds=0)
        with capture_logs() as logs:
            engine.wait(699)
            assert not peer.closed
            engine.wait(2)
        assert peer.closed
        assert said(peer.take()) == told
        assert engine.stats.disconnects[END_NOT_AUTHORIZED] == 1
        (refused,) = [line for line in logs if line["event"] == "client_refused"]
        assert (refused["client_id"], refused["reason"]) == ("a", "maximum_connect_time")

    def test_leaves_the_keep_alive_as_it_is(self):
        engine = Engine()
        engine.broker.authenticator = FakeAuthenticator(until_wall(engine, 700))
        peer = engine.connect("a", keep_alive_seconds=10)
        engine.wait(17)
        assert said(peer.take()) == ["DISCONNECT 0x8D"]

    def test_holds_no_link_that_has_ended(self):
        engine = Engine()
        engine.broker.authenticator = FakeAuthenticator(until_wall(engine, 1e9))
        peer = engine.connect("a", keep_alive_seconds=0)
        peer.drop()
        engine.wait(301)
        slots = engine.broker.timers._slots.values()
        assert not any(timed is peer.client for slot in slots for timed in slot)

    def test_that_has_ended_already(self):
        engine = Engine()
        engine.broker.authenticator = FakeAuthenticator(until_wall(engine, -1))
        peer, answers = engine.ask(connect("a"))
        assert peer.closed
        assert said(answers) == ["CONNACK", "DISCONNECT 0xA0"]


def test_there_are_only_so_many_sessions():
    engine = Engine(sessions_max=2)
    engine.connect("a", session_expiry_interval=60).drop()
    engine.connect("b")
    _, answers = engine.ask(connect("c"))
    assert said(answers) == ["CONNACK 0x97"]
    engine.connect("a", session_expiry_interval=60)


def test_a_client_whose_session_is_elsewhere_is_let_go_of_when_nothing_can_be_kept():
    engine = Engine()
    peer = engine.peer()
    engine.broker.admission.not_kept(peer.client)
    assert said(peer.take()) == []
    assert peer.closed
    assert engine.stats.connects_refused == {}
