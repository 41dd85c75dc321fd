"""What the models take, what they derive and what they refuse."""

from typing import Any

import bcrypt
import pytest
from pydantic import ValidationError

from rookery.config.models import Auth, Broker, Config, Limits, Listener, Rule, Tls, User

TLS = {"certificate": "c.pem", "private_key": "k.pem"}


def problems(data: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    """Where and how the settings do not go together."""
    with pytest.raises(ValidationError) as refused:
        Config.model_validate(data)
    return [
        ((*error["loc"], *path), text)
        for error in refused.value.errors()
        for path, text in error["ctx"]["problems"]
    ]


def listener_problems(**fields: Any) -> dict[str, str]:
    found = problems({"listeners": [fields]})
    return {str(path[-1]): text for path, text in found}


class TestDefaults:
    def test_the_ports_are_the_predecessors(self):
        broker = Config().broker
        assert (broker.mqtt_port, broker.grpc_port) == (1883, 8081)
        assert (broker.metrics_port, broker.dashboard_port) == (8082, 18083)

    def test_everything_listens_on_one_tcp_listener(self):
        (listener,) = Config().active_listeners
        assert (listener.type, listener.name) == ("tcp", "tcp")
        assert (listener.host, listener.port) == ("0.0.0.0", 1883)

    def test_two_nodes_with_other_ports_have_other_names(self):
        assert Broker().node_id == "rookery-1883"
        assert Broker(mqtt_port=1884).node_id == "rookery-1884"
        assert Broker(mqtt_port=1884, node_id="n").node_id == "n"

    def test_no_two_nodes_share_anything_when_their_ports_differ(self):
        """All that is fixed on a machine (addresses and the name) follows the ports."""
        ports = {"mqtt_port": 1, "grpc_port": 2, "metrics_port": 3, "dashboard_port": 4}
        one, other = Config(), Config(broker=Broker.model_validate(ports))
        assert not _taken(one) & _taken(other)


def _taken(config: Config) -> set[object]:
    broker = config.broker
    ports = {broker.mqtt_port, broker.grpc_port, broker.metrics_port, broker.dashboard_port}
    return {broker.node_id, *ports, *(each.port for each in config.active_listeners)}


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


class TestAuth:
    def user(self, **fields: object) -> dict[str, object]:
        return {"username": "a", "password": "p", **fields}

    @pytest.mark.parametrize(
        ("enabled", "users", "allowed"),
        [
            (None, 0, True),
            (None, 1, False),
            (False, 0, True),
            (False, 1, True),
            (True, 0, False),
            (True, 1, False),
        ],
    )
    def test_who_gets_in_without_a_name(self, enabled: bool | None, users: int, allowed: bool):
        auth = Auth.model_validate({"enabled": enabled, "users": [self.user()] * users})
        assert auth.anonymous_allowed is allowed

    def test_a_name_belongs_to_one_user(self):
        data = {"broker": {"auth": {"users": [self.user(), self.user(username="b"), self.user()]}}}
        ((path, text),) = problems(data)
        assert path == ("broker", "auth", "users", 2, "username")
        assert "users.0" in text

    def test_a_hash_is_told_from_a_password(self):
        made = bcrypt.hashpw(b"p", bcrypt.gensalt(4)).decode()
        for algorithm, password, hashed in (
            ("bcrypt", made, True),
            ("bcrypt", "p", False),
            ("sha256", "0" * 64, True),
            ("sha256", "p", False),
            ("plain", "p", False),
        ):
            user = User.model_validate(self.user(algorithm=algorithm, password=password))
            assert user.hashed is hashed

    @pytest.mark.parametrize(
        ("password", "fault"), [("$2b$10$cut", "no whole hash"), ("p" * 73, "too long")]
    )
    def test_a_password_that_could_never_match_is_refused(self, password: str, fault: str):
        data = {"broker": {"auth": {"users": [self.user(password=password)]}}}
        ((path, text),) = problems(data)
        assert path[-1] == "password"
        assert fault in text


class TestListeners:
    def test_what_is_left_out_is_filled_in(self):
        data = {
            "broker": {"mqtt_port": 1884},
            "listeners": [
                {"type": "tcp"},
                {"type": "wss", "port": 8084, "tls": TLS},
                {"type": "ws", "port": 8083, "path": "/ws", "host": "::1", "name": "web"},
                {"type": "unix", "path": "/run/rookery.sock"},
            ],
        }
        active = Config.model_validate(data).active_listeners
        assert [(each.name, each.host, each.port, each.path) for each in active] == [
            ("tcp-0", "0.0.0.0", 1884, None),
            ("wss-1", "0.0.0.0", 8084, "/mqtt"),
            ("web", "::1", 8083, "/ws"),
            ("unix-3", None, None, "/run/rookery.sock"),
        ]

    @pytest.mark.parametrize("kind", ["tls", "wss"])
    def test_a_secure_listener_needs_a_certificate_and_a_port(self, kind: str):
        assert set(listener_problems(type=kind)) == {"tls", "port"}

    @pytest.mark.parametrize(("kind", "better"), [("tcp", "tls"), ("ws", "wss"), ("unix", "tls")])
    def test_a_certificate_is_for_secure_listeners_only(self, kind: str, better: str):
        place = {"path": "/s"} if kind == "unix" else {"port": 1}
        found = listener_problems(type=kind, tls=TLS, **place)
        assert set(found) == {"tls"}
        assert found["tls"].endswith(better)

    def test_a_unix_listener_has_a_path_and_no_address(self):
        assert set(listener_problems(type="unix", host="::1", port=1)) == {"path", "host", "port"}
        assert "107 bytes" in listener_problems(type="unix", path="/" + "a" * 107)["path"]

    def test_a_path_is_for_websocket_and_begins_with_a_slash(self):
        assert "not for a tcp" in listener_problems(type="tcp", path="/mqtt")["path"]
        assert '"/mqtt"' in listener_problems(type="ws", port=1, path="mqtt")["path"]

    def test_client_certificates_need_an_authority(self):
        with pytest.raises(ValidationError):
            Tls.model_validate({**TLS, "client_certificate": "required"})
        assert Tls.model_validate({**TLS, "client_certificate": "optional", "ca": "ca.pem"})

    def test_a_name_belongs_to_one_listener(self):
        first, second = {"type": "tcp", "name": "tcp-1"}, {"type": "tcp", "port": 1884}
        ((path, text),) = problems({"listeners": [first, second]})
        assert path == ("listeners", 1, "name")
        assert text == "tcp-1 is the name of listeners.0 already"


class TestAddresses:
    def clash(self, *listeners: dict[str, object], **broker: object) -> list[str]:
        data = {"broker": broker, "listeners": list(listeners)}
        return [".".join(map(str, path)) for path, _ in problems(data)]

    def test_two_listeners_on_one_address(self):
        assert self.clash({"type": "tcp"}, {"type": "tcp"}) == ["listeners.1.port"]
        one, other = {"type": "tcp", "port": 5, "host": "::1"}, {"type": "ws", "port": 5}
        assert self.clash(one, other) == ["listeners.1.port"]

    def test_the_metrics_on_a_listeners_port(self):
        assert self.clash(mqtt_port=8082) == ["broker.metrics_port"]

    def test_other_hosts_port_0_and_no_metrics_do_not_clash(self):
        first = Listener(type="tcp", host="127.0.0.1", port=5)
        assert Config(listeners=(first, Listener(type="tcp", host="127.0.0.2", port=5)))
        assert Config(listeners=(Listener(type="tcp", port=0), Listener(type="tcp", port=0)))
        assert Config.model_validate({"broker": {"mqtt_port": 8082}, "metrics": {"enabled": False}})
