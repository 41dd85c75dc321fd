import pytest

from rookery.engine.last_words import explanation, last_words, take_leave
from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.packets import Disconnect
from rookery.mqtt.types import V3_1_1, V5, ReasonCode
from tests.support.engine import Engine, connect, props, will


class TestOfTheClient:
    def test_change_how_long_its_session_lasts_within_the_limit(self):
        engine = Engine(session_expiry_seconds_max=100)
        actor = engine.connect("c", session_expiry_interval=10).actor
        take_leave(actor, Disconnect(properties=props(session_expiry_interval=1_000)))
        assert actor.session.expiry_seconds == 100

    def test_make_no_session_last_that_was_to_end(self):
        actor = Engine().connect("c").actor
        with pytest.raises(ProtocolViolation):
            take_leave(actor, Disconnect(properties=props(session_expiry_interval=1)))

    @pytest.mark.parametrize(
        ("reason_code", "stays"),
        [(ReasonCode.SUCCESS, False), (ReasonCode.DISCONNECT_WITH_WILL, True)],
    )
    def test_say_what_becomes_of_its_will(self, reason_code: ReasonCode, stays: bool):
        actor = Engine().connect("c", will=will("t")).actor
        take_leave(actor, Disconnect(reason_code))
        assert (actor.session.will is not None) == stays


class TestOurs:
    def test_give_the_reason(self):
        packet = last_words(Engine().broker, ReasonCode.SERVER_BUSY, "too much")
        assert packet.properties.reason_string == "too much"
        assert last_words(Engine().broker, ReasonCode.SERVER_BUSY, "").properties is None

    def test_name_another_server_where_there_is_one(self):
        engine = Engine(server_reference="other")
        packet = last_words(engine.broker, ReasonCode.USE_ANOTHER_SERVER, "moved")
        assert packet.properties.server_reference == "other"
        packet = last_words(engine.broker, ReasonCode.SERVER_BUSY, "")
        assert packet.properties is None


class TestAnExplanation:
    def test_is_for_refusals_and_for_clients_that_take_one(self):
        refused = ReasonCode.NOT_AUTHORIZED
        assert explanation(connect("c", V5), refused).reason_string == "not authorized"
        assert explanation(connect("c", V5), ReasonCode.SUCCESS) is None
        assert explanation(connect("c", V5, request_problem_information=0), refused) is None
        assert explanation(connect("c", V3_1_1), refused) is None
        assert explanation(None, refused) is None
