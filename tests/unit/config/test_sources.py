"""Reading file, environment and command line, each by itself."""

from pathlib import Path

import pytest

from rookery.config.errors import ConfigError
from rookery.config.sources import (
    PLAIN_NAMES,
    Assignment,
    read_environment,
    read_file,
    read_overrides,
)
from rookery.config.tree import Node


def plain(node: Node) -> object:
    if isinstance(node.content, dict):
        return {key: plain(child) for key, child in node.content.items()}
    if isinstance(node.content, list):
        return [plain(child) for child in node.content]
    return node.content


def told(assignments: list[Assignment]) -> dict[str, object]:
    return {".".join(map(str, item.path)): plain(item.value) for item in assignments}


def environment(**environ: str) -> tuple[dict[str, object], dict[str, object], list[str]]:
    errors: list[ConfigError] = []
    plain, own = read_environment(environ, errors)
    return told(plain), told(own), [str(error) for error in errors]


def overrides(*texts: str) -> tuple[dict[str, object], list[str]]:
    errors: list[ConfigError] = []
    return told(read_overrides(texts, errors)), [str(error) for error in errors]


class TestFile:
    def read(self, path: Path) -> list[str]:
        errors: list[ConfigError] = []
        node = read_file(path, errors)
        assert node.content == {}
        return [str(error) for error in errors]

    def test_a_file_that_is_not_there(self, tmp_path: Path):
        path = tmp_path / "no.yaml"
        assert self.read(path) == [f"{path}: cannot be read: No such file or directory"]

    def test_a_directory(self, tmp_path: Path):
        assert self.read(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]

    def test_bytes_that_are_no_utf_8(self, tmp_path: Path):
        path = tmp_path / "f.yaml"
        path.write_bytes(b"a: 1\nb: \xff\n")
        assert self.read(path) == [f"{path}:2:4: is not UTF-8; save the file in that encoding"]

    @pytest.mark.parametrize("text", [b"", b"# nothing\n", b"~\n", b"\xef\xbb\xbf# a mark\n"])
    def test_a_file_that_says_nothing(self, tmp_path: Path, text: bytes):
        path = tmp_path / "f.yaml"
        path.write_bytes(text)
        assert self.read(path) == []

    def test_a_file_that_is_a_list(self, tmp_path: Path):
        path = tmp_path / "f.yaml"
        path.write_text("\n- a\n")
        (error,) = self.read(path)
        assert error.startswith(f"{path}:2:1: must be a mapping with the keys broker, listeners")


class TestEnvironment:
    def test_the_predecessors_names(self):
        environ = {name: f"v-{name}" for name in PLAIN_NAMES}
        plain, own, errors = environment(**environ)
        assert plain == {".".join(map(str, PLAIN_NAMES[name])): f"v-{name}" for name in PLAIN_NAMES}
        assert (own, errors) == ({}, [])

    def test_ports_are_numbers_or_texts(self):
        plain, _, _ = environment(MQTT_PORT=":1884", GRPC_PORT="8085")
        assert plain == {"broker.mqtt_port": ":1884", "broker.grpc_port": 8085}

    def test_our_names(self):
        _, own, errors = environment(
            ROOKERY_LIMITS__INFLIGHT_MAX="7",
            ROOKERY_LISTENERS__0__PROXY_PROTOCOL="true",
            ROOKERY_LISTENERS='[{"type": "tcp"}]',
        )
        assert errors == []
        assert own == {
            "listeners": [{"type": "tcp"}],
            "limits.inflight_max": 7,
            "listeners.0.proxy_protocol": True,
        }

    def test_a_whole_list_comes_before_its_entries_and_those_in_their_order(self):
        names = [f"ROOKERY_LISTENERS__{number}__TYPE" for number in (10, 9, 0)]
        _, own, _ = environment(**dict.fromkeys(names, "tcp"), ROOKERY_LISTENERS="[]")
        assert list(own) == ["listeners", *(f"listeners.{n}.type" for n in (0, 9, 10))]

    @pytest.mark.parametrize("text", ["p #1", "@", "'quoted'", "a: b", "0123", "null"])
    def test_a_text_is_taken_to_the_letter(self, text: str):
        _, own, errors = environment(ROOKERY_BROKER__AUTH__USERS__0__PASSWORD=text)
        assert own == {"broker.auth.users.0.password": text}
        assert errors == []

    def test_null_where_a_text_may_be_null(self):
        _, own, _ = environment(ROOKERY_MQTT__SERVER_REFERENCE="null")
        assert own == {"mqtt.server_reference": None}

    def test_what_is_not_meant_for_the_configuration(self):
        environ = {
            "ROOKERY_CONFIG": "f.yaml",
            "ROOKERY_PURE": "1",
            "ROOKERY_PORT": "tcp://10.0.0.1:1883",
            "ROOKERY_SERVICE_PORT_MQTT": "1883",
            "ROOKERY_LOG": "",
            "MQTT_PORT": "tcp://10.0.0.1:1883",
            "GRPC_PORT": "",
            "PATH": "/bin",
        }
        assert environment(**environ) == ({}, {}, [])

    def test_a_name_that_nearly_is_a_section(self):
        _, _, errors = environment(ROOKERY_LISTENER="[]")
        assert errors == [
            "environment ROOKERY_LISTENER: names no section, did you mean ROOKERY_LISTENERS?"
        ]

    def test_a_value_that_is_no_yaml(self):
        _, own, errors = environment(ROOKERY_LISTENERS="[{")
        assert own == {}
        (error,) = errors
        assert error.startswith("environment ROOKERY_LISTENERS: listeners: is not valid YAML:")


class TestOverrides:
    def test_values_are_yaml(self):
        told, errors = overrides(
            "limits.inflight_max=7", "mqtt={sys_interval_seconds: 0}", "log.level = debug"
        )
        assert errors == []
        assert told == {
            "limits.inflight_max": 7,
            "mqtt": {"sys_interval_seconds": 0},
            "log.level": "debug",
        }

    def test_a_value_may_hold_an_equals_sign_or_nothing(self):
        told, _ = overrides("broker.node_id=a=b", "mqtt.server_reference=")
        assert told == {"broker.node_id": "a=b", "mqtt.server_reference": None}

    @pytest.mark.parametrize("text", ["limits.inflight_max", "=5", "limits..x=5"])
    def test_what_is_no_key_and_value(self, text: str):
        told, errors = overrides(text)
        assert told == {}
        assert errors == [f"--set {text}: write key=value, as --set limits.inflight_max=100"]

    @pytest.mark.parametrize("key", ["broker.auth.users.0.password", "broker.auth.users", "broker"])
    def test_an_error_tells_no_secret(self, key: str):
        _, errors = overrides(f"{key}=[hunter2")
        assert errors[0].startswith(f"--set {key}=***: {key}: is not valid YAML")
        assert "hunter2" not in errors[0]
