"""What the settings take and what they refuse."""

import pytest
from pydantic import ValidationError

from rookery.config.authentication import User
from rookery.config.authorization import Rule
from rookery.config.limits import Limits
from rookery.config.models import Broker, Config


class TestValues:
    @pytest.mark.parametrize("written", [1884, ":1884", "1884"])
    def test_a_port_is_a_number_or_the_predecessors_text(self, written: object):
        assert Broker.model_validate({"mqtt_port": written}).mqtt_port == 1884

    @pytest.mark.parametrize("written", [-1, 65536, ":", "::1", "x", True, 1.5, "", ":99999999"])
    def test_anything_else_is_no_port(self, written: object):
        with pytest.raises(ValidationError):
            Broker.model_validate({"mqtt_port": written})

    def test_port_0_is_the_systems_choice(self):
        assert Config.model_validate({"broker": {"mqtt_port": 0}}).active_listeners[0].port == 0

    def test_peers_are_a_list_or_a_text_with_commas(self):
        expected = ("a:8081", "10.0.0.7", "[::1]:8081")
        for written in ("a:8081, 10.0.0.7,[::1]:8081,", list(expected)):
            assert Broker.model_validate({"peer_nodes": written}).peer_nodes == expected

    @pytest.mark.parametrize("written", ["a b", "a:b", "a:8081:1", "http://a"])
    def test_a_peer_is_a_host_with_or_without_a_port(self, written: str):
        with pytest.raises(ValidationError):
            Broker.model_validate({"peer_nodes": [written]})

    @pytest.mark.parametrize("written", ["", "a/b", "+", "#", "-a", "a" * 129])
    def test_a_node_id_can_stand_in_a_topic(self, written: str):
        with pytest.raises(ValidationError):
            Broker.model_validate({"node_id": written})

    @pytest.mark.parametrize("written", ["", "A", "a_b", "-a", "a" * 64])
    def test_a_namespace_is_one_of_kubernetes(self, written: str):
        with pytest.raises(ValidationError):
            Broker.model_validate({"pod_namespace": written})

    @pytest.mark.parametrize("written", [True, "5", 5.0, 0, 65536])
    def test_a_limit_is_a_whole_number_within_its_bounds(self, written: object):
        with pytest.raises(ValidationError):
            Limits.model_validate({"inflight_max": written})

    def test_seconds_may_be_a_whole_number(self):
        assert Limits.model_validate({"connect_deadline_seconds": 3}).connect_deadline_seconds == 3
        with pytest.raises(ValidationError):
            Limits.model_validate({"connect_deadline_seconds": float("inf")})

    @pytest.mark.parametrize("written", ["a/b#", "#/a", "a+", "", "$share/g/a", "a\x00"])
    def test_a_rule_needs_a_topic_filter(self, written: str):
        with pytest.raises(ValidationError):
            Rule(permission="allow", action="all", topic_filter=written)

    @pytest.mark.parametrize("written", ["a", "#", "+/a/#", "/", "$SYS/#"])
    def test_every_topic_filter_will_do_for_a_rule(self, written: str):
        rule = Rule(permission="deny", action="publish", topic_filter=written)
        assert rule.topic_filter == written

    def test_a_text_for_a_packet_is_counted_in_bytes(self):
        User.model_validate({"username": "a" * 65535, "password": "p"})
        with pytest.raises(ValidationError):
            User.model_validate({"username": "\u00e9" * 40000, "password": "p"})

    def test_a_model_does_not_change(self):
        with pytest.raises(ValidationError):
            Config().broker.mqtt_port = 5  # type: ignore[misc]

    def test_an_unknown_key_is_refused(self):
        with pytest.raises(ValidationError):
            Config.model_validate({"limits": {"inflight": 5}})

    def test_a_password_is_not_in_the_repr(self):
        user = User.model_validate({"username": "a", "password": "hunter2"})
        assert "hunter2" not in repr(user)
