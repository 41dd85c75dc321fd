"""What an operator is told before the node starts."""

from typing import Any

import bcrypt
import pytest

from rookery.config.models import Config
from rookery.config.warnings import warnings

HASH = bcrypt.hashpw(b"p", bcrypt.gensalt(4)).decode()
USER = {"username": "a", "password": HASH}
LOOPBACK = [{"type": "tcp", "host": "127.0.0.1"}]


def told(*, auth: Any = None, listeners: Any = LOOPBACK, **broker: Any) -> list[str]:
    data = {"broker": {**broker, "auth": auth or {}}, "listeners": listeners}
    return warnings(Config.model_validate(data))


def test_the_defaults_are_open_to_everyone():
    (warning,) = warnings(Config())
    assert warning.startswith("anonymous access is open on tcp (0.0.0.0:1883): set broker.auth")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_machine_itself_may_come_in(host: str):
    assert told(listeners=[{"type": "tcp", "host": host}]) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "broker.example"])
def test_others_may_come_in_when_they_are_known(host: str):
    listeners = [{"type": "tcp", "host": host}]
    assert len(told(listeners=listeners)) == 1
    assert told(listeners=listeners, auth={"users": [USER]}) == []


def test_a_unix_socket_and_client_certificates_keep_others_out():
    tls = {"certificate": "c", "private_key": "k", "ca": "a", "client_certificate": "required"}
    secure = {"type": "tls", "port": 5, "tls": tls}
    assert told(listeners=[{"type": "unix", "path": "/s"}, secure]) == []
    secure["tls"] = {**tls, "client_certificate": "optional"}
    assert len(told(listeners=[secure])) == 1


def test_passwords_in_plain_text():
    clear = {"username": "b", "password": "p"}
    plain = {"username": "c", "password": "p", "algorithm": "plain"}
    (warning,) = told(auth={"users": [USER, clear, plain]})
    assert "the passwords of b, c in plain text" in warning


def test_users_that_are_not_used():
    (warning,) = told(auth={"enabled": False, "users": [USER]})
    assert warning.startswith("broker.auth.users is not used")


def test_nobody_can_connect():
    for users in ([], [{**USER, "enabled": False}]):
        (warning,) = told(auth={"enabled": True, "users": users})
        assert warning.startswith("nobody can connect")


def test_a_port_that_no_listener_has():
    own_port = [{"type": "tcp", "host": "127.0.0.1", "port": 5}]
    (warning,) = told(listeners=own_port, mqtt_port=6)
    assert warning.startswith("broker.mqtt_port is not used")
    assert told(listeners=own_port) == []
    assert told(mqtt_port=6) == []


def test_a_proxy_header_that_anyone_could_write():
    listeners = [{"type": "tcp", "proxy_protocol": True}]
    (warning,) = told(listeners=listeners, auth={"users": [USER]})
    assert warning.startswith("listeners.0 believes")
    assert told(listeners=[{**LOOPBACK[0], "proxy_protocol": True}]) == []


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_a_durable_store_is_what_most_want(durability: str):
    store = {"durability": durability, "directory": "d"}
    assert warnings(Config.model_validate({"listeners": LOOPBACK, "store": store})) == []


def test_a_store_that_ends_with_the_node():
    store = {"durability": "memory"}
    (warning,) = warnings(Config.model_validate({"listeners": LOOPBACK, "store": store}))
    assert warning.startswith("store.durability is memory: sessions")
    store["directory"] = "d"
    _, warning = warnings(Config.model_validate({"listeners": LOOPBACK, "store": store}))
    assert warning == "store.directory is not used: store.durability is memory"
