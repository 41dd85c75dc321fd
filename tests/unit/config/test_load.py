"""Whole configurations from real files: precedence, origins, and every error at once."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rookery.config.errors import ConfigErrors
from rookery.config.load import (
    access_directory,
    find_file,
    load,
    store_directory,
    unnamed_directory,
)

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file that errors then call ``f.yaml``."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        Path("f.yaml").write_text(text)
        return Path("f.yaml")

    return written


def errors(
    path: Path | None = None, environ: Mapping[str, str] | None = None, *overrides: str
) -> list[str]:
    with pytest.raises(ConfigErrors) as failed:
        load(path, environ, overrides)
    return str(failed.value).splitlines()


class TestPrecedence:
    """Each source wins over all before it, in this order."""

    SOURCES = (
        (None, {}, (), 1883, "default"),
        ("broker: {mqtt_port: 1}\n", {}, (), 1, "f.yaml:1:21"),
        ("broker: {mqtt_port: 1}\n", {"MQTT_PORT": ":2"}, (), 2, "environment MQTT_PORT"),
        (
            "broker: {mqtt_port: 1}\n",
            {"MQTT_PORT": ":2", "ROOKERY_BROKER__MQTT_PORT": "3"},
            (),
            3,
            "environment ROOKERY_BROKER__MQTT_PORT",
        ),
        (
            "broker: {mqtt_port: 1}\n",
            {"MQTT_PORT": ":2", "ROOKERY_BROKER__MQTT_PORT": "3"},
            ("broker.mqtt_port=4",),
            4,
            "--set broker.mqtt_port=4",
        ),
        (None, {}, ("broker.mqtt_port=4", "broker.mqtt_port=5"), 5, "--set broker.mqtt_port=5"),
    )

    @pytest.mark.parametrize(("text", "environ", "overrides", "port", "origin"), SOURCES)
    def test_the_last_source_wins(self, write: Write, text, environ, overrides, port, origin):
        path = write(text) if text else None
        loaded = load(path, environ, overrides)
        assert loaded.config.broker.mqtt_port == port
        assert str(loaded.origins["broker", "mqtt_port"]) == origin
        assert (loaded.source, loaded.overrides) == (path, tuple(overrides))

    def test_a_section_takes_keys_from_every_source(self, write: Write):
        path = write("limits:\n  inflight_max: 5\n  receive_maximum: 6\n")
        environ = {"ROOKERY_LIMITS": "{receive_maximum: 7, connections_max: 8}"}
        limits = load(path, environ, ["limits.connections_max=9"]).config.limits
        assert (limits.inflight_max, limits.receive_maximum, limits.connections_max) == (5, 7, 9)

    def test_an_entry_of_a_list_from_the_file_can_be_changed_or_added(self, write: Write):
        path = write("listeners:\n  - {type: tcp, port: 5}\n")
        environ = {"ROOKERY_LISTENERS__0__HOST": "::1", "ROOKERY_LISTENERS__1__TYPE": "ws"}
        loaded = load(path, environ, ["listeners[1].port=6"])
        first, second = loaded.config.listeners
        assert (first.host, first.port, second.type, second.port) == ("::1", 5, "ws", 6)
        names = {
            ".".join(map(str, path)): str(origin)
            for path, origin in loaded.origins.items()
            if path[0] == "listeners" and origin.kind != "default"
        }
        assert names == {
            "listeners.0.type": "f.yaml:2:12",
            "listeners.0.port": "f.yaml:2:23",
            "listeners.0.host": "environment ROOKERY_LISTENERS__0__HOST",
            "listeners.1.type": "environment ROOKERY_LISTENERS__1__TYPE",
            "listeners.1.port": "--set listeners[1].port=6",
        }

    def test_a_whole_list_replaces_the_one_before(self, write: Write):
        path = write("listeners:\n  - {type: tcp, port: 5}\n  - {type: tcp, port: 6}\n")
        loaded = load(path, {"ROOKERY_LISTENERS": '[{"type": "tcp", "port": 7}]'})
        assert [each.port for each in loaded.config.listeners] == [7]

    def test_the_predecessors_variables(self):
        environ = {
            "NODE_ID": "node1",
            "MQTT_PORT": ":1884",
            "GRPC_PORT": "8091",
            "METRICS_PORT": ":8092",
            "DASHBOARD_PORT": "18084",
            "PEER_NODES": "node2:8081,node3:8081",
            "POD_NAMESPACE": "mqtt",
        }
        loaded = load(None, environ)
        broker = loaded.config.broker
        assert (broker.node_id, broker.mqtt_port, broker.grpc_port) == ("node1", 1884, 8091)
        assert (broker.metrics_port, broker.dashboard_port) == (8092, 18084)
        assert (broker.peer_nodes, broker.pod_namespace) == (
            ("node2:8081", "node3:8081"),
            "mqtt",
        )
        assert str(loaded.origins["broker", "peer_nodes", 1]) == "environment PEER_NODES"

    def test_the_predecessors_file(self, write: Write):
        path = write(
            'broker:\n  node_id: "node1"\n  mqtt_port: ":1883"\n  grpc_port: ":8081"\n'
            '  metrics_port: ":8082"\n  dashboard_port: ":18083"\n  auth:\n    enabled: true\n'
            '    users:\n      - username: "admin"\n        password: "admin123"\n'
            '        algorithm: "bcrypt"\n        enabled: true\n'
        )
        auth = load(path).config.broker.auth
        assert auth.enabled
        assert auth.users[0].password.get_secret_value() == "admin123"

    def test_a_number_will_do_for_a_text_as_it_was_written(self, write: Write):
        path = write("broker: {auth: {users: [{username: 007, password: 1_000}]}}\n")
        (user,) = load(path).config.broker.auth.users
        assert (user.username, user.password.get_secret_value()) == ("007", "1_000")

    def test_every_value_has_an_origin(self, write: Write):
        loaded = load(write("limits:\n  inflight_max: 5\n"))
        set_there = [path for path, origin in loaded.origins.items() if origin.kind != "default"]
        assert set_there == [("limits", "inflight_max")]
        assert ("listeners",) in loaded.origins
        assert ("broker", "auth", "users") in loaded.origins


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "error"),
        [
            (
                "limits:\n  inflight_max: abc\n",
                (
                    "f.yaml:2:17: limits.inflight_max: must be a whole "
                    'number from 1 to 65535, not "abc"'
                ),
            ),
            (
                "limits:\n  inflight_max: 0\n",
                "f.yaml:2:17: limits.inflight_max: must be a whole number from 1 to 65535, not 0",
            ),
            (
                "limits:\n  inflight_max: yes\n",
                (
                    "f.yaml:2:17: limits.inflight_max: must be a whole "
                    "number from 1 to 65535, not true"
                ),
            ),
            (
                "limits:\n  inflight_max:\n",
                (
                    "f.yaml:2:16: limits.inflight_max: must be a whole "
                    "number from 1 to 65535, not empty"
                ),
            ),
            (
                "limits:\n  inflight_maxx: 1\n",
                "f.yaml:2:3: limits.inflight_maxx: unknown key, did you mean inflight_max?",
            ),
            (
                "mqtt_port: 1\n",
                "f.yaml:1:1: mqtt_port: unknown key, did you mean broker.mqtt_port?",
            ),
            (
                "log: {}\nlog: {}\n",
                "f.yaml:2:1: log: is given on line 1 already; keep one of the two",
            ),
            (
                "log: debug\n",
                (
                    "f.yaml:1:6: log: must be a mapping with the keys level, format, "
                    'repeat_limit_per_minute, not "debug"'
                ),
            ),
            ("listeners: {type: tcp}\n", "f.yaml:1:12: listeners: must be a list, not a mapping"),
            (
                "listeners: [5]\n",
                (
                    "f.yaml:1:13: listeners.0: must be a mapping with the keys type, "
                    "name, host, port, path, tls, proxy_protocol, authentication, anonymous, mountpoint, backlog, reuse_port, limits, not 5"
                ),
            ),
            (
                "listeners:\n  - port: 5\n",
                "f.yaml:2:5: listeners.0.type: is missing: must be one of tcp, tls, ws, wss, unix",
            ),
            (
                "listeners:\n  - type: tpc\n",
                (
                    "f.yaml:2:11: listeners.0.type: must be one of tcp, "
                    'tls, ws, wss, unix, not "tpc"; did you mean tcp?'
                ),
            ),
            (
                "listeners:\n  - {type: tls, port: 5}\n",
                (
                    "f.yaml:2:5: listeners.0.tls: is missing: a "
                    "tls listener needs certificate and private_key here"
                ),
            ),
            (
                "listeners:\n  - {type: unix, path: a, port: 5}\n",
                (
                    "f.yaml:2:33: listeners.0.port: is "
                    "not for a unix listener, which has a path; leave it out"
                ),
            ),
            (
                "broker: {mqtt_port: 8082}\n",
                (
                    "f.yaml:1:9: broker.metrics_port: is port 8082, which "
                    "broker.mqtt_port has already; give it another"
                ),
            ),
            (
                "listeners: [{type: tcp, port: 8082}]\n",
                (
                    "f.yaml:1:1: broker.metrics_port: is port 8082, which "
                    "listeners.0.port has already; give it another"
                ),
            ),
            ("a: b: c\n", "f.yaml:1:5: is not valid YAML: mapping values are not allowed here"),
            (
                "- a\n",
                (
                    "f.yaml:1:1: must be a mapping with the keys broker, listeners, limits, bans, overload, "
                    "mqtt, store, authentication, authorization, log, metrics, cluster"
                ),
            ),
        ],
    )
    def test_each_kind_has_its_place(self, write: Write, text: str, error: str):
        assert errors(write(text)) == [error]

    def test_all_are_told_at_once(self, write: Write):
        path = write(
            "limits:\n  inflight_max: 0\n  inflight_max: 5\n  zzz: 1\n"
            "listeners:\n  - {type: tls, port: x}\n  - {type: ws, port: 5, nmae: a}\n"
            "log: {level: loud}\n"
        )
        found = errors(path, {"MQTT_PORT": "x", "ROOKERY_LOG__FROMAT": "1"}, "a=1", "broker.x=1")
        assert [line.split(": ")[0] for line in found] == [
            "f.yaml:2:17",
            "f.yaml:3:3",
            "f.yaml:4:3",
            "f.yaml:6:5",
            "f.yaml:6:23",
            "f.yaml:7:25",
            "f.yaml:8:14",
            "environment MQTT_PORT",
            "environment ROOKERY_LOG__FROMAT",
            "--set a=1",
            "--set broker.x=1",
        ]

    def test_a_wrong_value_does_not_hide_how_the_others_do_not_go_together(self, write: Write):
        path = write(
            "log: {level: loud}\n"
            "listeners:\n  - {type: tls, port: 5, backlog: 0}\n  - {type: tcp}\n  - {type: tcp}\n"
        )
        assert [line.split(": ")[:2] for line in errors(path)] == [
            ["f.yaml:1:14", "log.level"],
            ["f.yaml:3:5", "listeners.0.tls"],
            ["f.yaml:3:35", "listeners.0.backlog"],
            ["f.yaml:5:5", "listeners.2.port"],
        ]

    def test_a_value_that_is_overridden_is_blamed_where_it_came_from(self, write: Write):
        path = write("limits: {inflight_max: 5}\n")
        assert errors(path, {"ROOKERY_LIMITS__INFLIGHT_MAX": "abc"}) == [
            (
                "environment ROOKERY_LIMITS__INFLIGHT_MAX: limits.inflight_max: must be a whole number "
                'from 1 to 65535, not "abc"'
            )
        ]
        assert errors(path, {}, "limits.inflight_max=abc") == [
            (
                "--set limits.inflight_max=abc: limits.inflight_max: must be a whole number from 1 to "
                '65535, not "abc"'
            )
        ]

    def test_a_clash_of_a_default_is_blamed_on_what_clashes_with_it(self):
        assert errors(None, {"MQTT_PORT": "8082"}) == [
            (
                "environment MQTT_PORT: broker.metrics_port: is port 8082, which broker.mqtt_port has "
                "already; give it another"
            )
        ]

    def test_a_wrong_path_from_elsewhere(self):
        assert errors(None, {"ROOKERY_LISTENERS__TCP__PORT": "5"}, "limits.inflight_max.x=1") == [
            (
                "environment ROOKERY_LISTENERS__TCP__PORT: listeners.tcp.port: entries of a list go by "
                "number, as listeners.0"
            ),
            (
                "--set limits.inflight_max.x=1: limits.inflight_max.x: unknown key; "
                "limits.inflight_max is a single value"
            ),
        ]

    def test_an_entry_beyond_the_end_of_a_list(self):
        assert errors(None, {}, "listeners.1.type=tcp") == [
            (
                "--set listeners.1.type=tcp: listeners.1.type: the list ends before it; the next free "
                "number is 0"
            )
        ]

    def test_no_error_tells_a_password(self, write: Write):
        path = write(
            "broker: {auth: {users: [{username: a, password: [hunter2]},"
            " {username: b, password: '$2b$hunter2'}]}}\n"
        )
        lines = errors(path, {}, "broker.auth.users.0.password=[hunter2]")
        assert len(lines) == 2
        assert "hunter2" not in "".join(lines)

    def test_a_name_that_is_no_unicode(self):
        (line,) = errors(None, {"NODE_ID": "\udcff"})
        assert line.startswith("environment NODE_ID: broker.node_id: must be a name of 1 to 128")


class TestFindingTheFile:
    def test_the_option_then_the_variable_then_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        assert find_file(None, {}) is None
        assert find_file(None, {"ROOKERY_CONFIG": ""}) is None
        Path("rookery.yaml").touch()
        assert find_file(None, {}) == Path("rookery.yaml")
        assert find_file(None, {"ROOKERY_CONFIG": "e.yaml"}) == Path("e.yaml")
        assert find_file(Path("o.yaml"), {"ROOKERY_CONFIG": "e.yaml"}) == Path("o.yaml")

    def test_a_file_that_was_named_must_be_there(self, tmp_path: Path):
        path = tmp_path / "no.yaml"
        assert errors(path) == [f"{path}: cannot be read: No such file or directory"]


class TestStoreDirectory:
    def test_beside_the_file_or_in_the_working_directory(self, tmp_path: Path):
        path = tmp_path / "f.yaml"
        path.write_text("log: {}\n")
        assert store_directory(load(path)) == tmp_path / "rookery-data" / "rookery-1883"
        assert store_directory(load()) == Path("rookery-data/rookery-1883")

    def test_as_it_is_named(self, tmp_path: Path):
        path = tmp_path / "f.yaml"
        path.write_text("store: {directory: d}\n")
        assert store_directory(load(path)) == tmp_path / "d"
        assert store_directory(load(None, {}, ["store.directory=/x/y"])) == Path("/x/y")

    def test_where_it_was_before_the_node_had_a_name(self, tmp_path: Path):
        named = ["broker.node_id=a", "broker.mqtt_port=7"]
        assert unnamed_directory(load(None, {}, named)) == Path("rookery-data/rookery-7")
        path = tmp_path / "f.yaml"
        path.write_text("broker: {node_id: a}\n")
        assert unnamed_directory(load(path)) == tmp_path / "rookery-data" / "rookery-1883"
        assert unnamed_directory(load()) is None
        assert unnamed_directory(load(None, {}, ["broker.node_id=rookery-1883"])) is None
        assert unnamed_directory(load(None, {}, [*named, "store.directory=d"])) is None

    def test_the_access_database_is_beside_the_store_unless_it_is_shared(self):
        assert access_directory(load(None, {}, ["store.directory=/x/y"])) == Path("/x/y")
        shared = load(None, {}, ["store.directory=/x/y", "store.access_directory=/x"])
        assert access_directory(shared) == Path("/x")
