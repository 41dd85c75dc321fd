"""What an operator is told before the node starts."""

from typing import Any

import bcrypt
import pytest

from rookery.auth.scram_verifier import make_verifier
from rookery.config.models import Config
from rookery.config.warnings import warnings

HASH = bcrypt.hashpw(b"p", bcrypt.gensalt(4)).decode()
USER = {"username": "a", "password": HASH}
LOOPBACK = [{"type": "tcp", "host": "127.0.0.1"}]


def told(
    *, auth: Any = None, authentication: Any = None, listeners: Any = LOOPBACK, **broker: Any
) -> list[str]:
    data = {
        "broker": {**broker, "auth": auth or {}},
        "listeners": listeners,
        "authentication": authentication or {},
    }
    return warnings(Config.model_validate(data))


def test_the_defaults_let_in_this_machine_only_and_say_so():
    (warning,) = warnings(Config())
    assert warning == (
        "anonymous clients are let in from this machine only (tcp; authentication.anonymous: loopback); "
        "add users with 'rookery user add'"
    )
    assert warnings(Config(), stored_users=1) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
@pytest.mark.parametrize("anonymous", [None, "loopback", "allow"])
def test_the_machine_itself_may_come_in(host: str, anonymous: str | None):
    listeners = [{"type": "tcp", "host": host}]
    assert told(listeners=listeners, authentication={"anonymous": anonymous}) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "broker.example"])
def test_others_may_come_in_when_they_are_known(host: str):
    listeners = [{"type": "tcp", "host": host}]
    (warning,) = told(listeners=listeners, authentication={"anonymous": "allow"})
    assert warning.startswith(
        f"anonymous access is open on tcp-0 ({host}:1883): set authentication"
    )
    assert told(listeners=listeners, auth={"users": [USER]}) == []
    password_file = {"order": ["password_file"], "password_file": "f"}
    assert told(listeners=listeners, authentication=password_file) == []


def test_a_listener_of_its_own_mind():
    listeners = [
        {"type": "tcp", "name": "a", "anonymous": "allow"},
        {"type": "tcp", "name": "b", "port": 5, "anonymous": "loopback"},
        {"type": "tcp", "name": "c", "port": 6},
    ]
    one, other = told(listeners=listeners, auth={"users": [USER]})
    assert one.startswith("anonymous access is open on a (")
    assert "from this machine only (b;" in other


def test_the_advice_is_about_the_setting_that_decides():
    own = {"type": "tcp", "name": "a", "anonymous": "allow", "authentication": ["certificate"]}
    local = {"type": "tcp", "name": "b", "port": 5, "anonymous": "loopback"}
    one, other = told(
        listeners=[own, local], authentication={"certificate": {}, "anonymous": "deny"}
    )
    assert one == (
        "anonymous access is open on a (0.0.0.0:1883): set listeners[].anonymous to deny or loopback, "
        "or give the listeners the host 127.0.0.1"
    )
    assert other == (
        "anonymous clients are let in from this machine only (b; listeners[].anonymous: loopback); "
        "add users with 'rookery user add'"
    )


def test_a_unix_socket_and_client_certificates_keep_others_out():
    tls = {"certificate": "c", "private_key": "k", "ca": "a", "client_certificate": "required"}
    secure = {"type": "tls", "port": 5, "tls": tls}
    everybody = {"anonymous": "allow"}
    unix = {"type": "unix", "path": "/s"}
    assert told(listeners=[unix, secure], authentication=everybody) == []
    secure["tls"] = {**tls, "client_certificate": "optional"}
    assert len(told(listeners=[secure], authentication=everybody)) == 1


def test_everyone_is_let_in():
    one, other = told(auth={"enabled": False}, listeners=[{"type": "tcp"}])
    assert one.startswith("everyone is let in whatever name and password they give")
    assert other.startswith("anonymous access is open")


def test_passwords_in_plain_text():
    clear = {"username": "b", "password": "p"}
    plain = {"username": "c", "password": "p", "algorithm": "plain"}
    (warning,) = told(auth={"users": [USER, clear, plain]})
    assert "the passwords of b, c in plain text" in warning


def test_users_that_are_not_used():
    _, warning = told(auth={"enabled": False, "users": [USER]})
    assert warning == "broker.auth.users is not used: broker.auth.enabled is false"
    file = {"order": ["password_file"], "password_file": "f"}
    (warning,) = told(auth={"users": [USER]}, authentication=file)
    assert warning == "broker.auth.users is not used: no listener asks users"


def test_a_password_file_that_is_not_used():
    (warning,) = told(authentication={"password_file": "f"})
    assert warning.startswith("authentication.password_file is not used")
    asking = [{**LOOPBACK[0], "authentication": ["password_file"]}]
    assert told(authentication={"password_file": "f"}, listeners=asking) == []


LDAP = {"url": "ldap://directory.example", "base": "dc=x"}


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("jwt", {"secret": "s" * 32}),
        ("http", {"url": "https://h.example"}),
        ("certificate", {}),
        ("scram", {"users": [{"username": "a", "verifier": str(make_verifier("x"))}]}),
        ("ldap", {**LDAP, "starttls": True}),
    ],
)
def test_sources_that_are_not_asked(source, settings):
    (warning,) = told(authentication={source: settings})
    assert warning.startswith(f"authentication.{source} is not used")
    assert told(authentication={source: settings, "order": [source]}) == []


@pytest.mark.parametrize(
    ("source", "settings", "setting"),
    [
        ("jwt", {"jwks_url": "http://keys.example/"}, "jwks_url"),
        ("http", {"url": "http://192.0.2.1/auth"}, "http.url"),
        ("ldap", LDAP, "ldap.url"),
    ],
)
def test_what_goes_in_clear_to_another_machine(source, settings, setting):
    (warning,) = told(authentication={source: settings, "order": [source]})
    assert setting in warning and "in clear" in warning
    text = str(settings.get("url") or settings.get("jwks_url"))
    name = "url" if "url" in settings else "jwks_url"
    for safe in (text.replace("://", "s://"), text.partition("://")[0] + "://127.0.0.1"):
        changed = {**settings, name: safe}
        assert told(authentication={source: changed, "order": [source]}) == []


def test_hashes_that_are_soon_guessed():
    weak = {"username": "b", "password": "0" * 64, "algorithm": "sha256"}
    (warning,) = told(auth={"users": [USER, weak]})
    assert warning.startswith("the hashes of b are soon guessed")


def test_nobody_can_connect():
    for users in ([], [{**USER, "enabled": False}]):
        (warning,) = told(auth={"enabled": True, "users": users})
        assert warning.startswith("nobody can connect to tcp-0: ")
    enabled = Config.model_validate({"broker": {"auth": {"enabled": True}}})
    assert warnings(enabled, stored_users=1) == []
    assert told(authentication={"anonymous": "deny"}) == [warning]


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


def test_a_rule_about_a_listener_that_is_not_there():
    rule = {"permission": "deny", "action": "all", "topic_filter": "#"}
    rules = [rule | {"listener": name} for name in ("tcp-0", "tcp-1", None)]
    data = {"listeners": LOOPBACK, "authorization": {"rules": rules}}
    assert warnings(Config.model_validate(data)) == [
        "authorization.rules.1 is about nobody: there is no listener tcp-1"
    ]
