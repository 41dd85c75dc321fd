"""The table of settings agrees with the models."""

import dataclasses

import pytest

from rookery.config.limits import Limits
from rookery.config.models import Mqtt
from rookery.config.schema import ENTRY, ROOT, setting_at, walk
from rookery.engine import settings


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        (("metrics", "enabled"), "bool", "true or false"),
        (("broker", "auth", "enabled"), "bool", "true or false, or null"),
        (("limits", "inflight_max"), "int", "a whole number from 1 to 65535"),
        (("limits", "connect_deadline_seconds"), "float", "a number from 0.1 to 3600"),
        (("log", "level"), "choice", "one of debug, info, warning, error"),
        (("broker", "pod_namespace"), "text", None),
        (("broker", "peer_nodes"), "list", "a list"),
        (("broker", "peer_nodes", 3), "text", "host or host:port"),
        (("listeners", 0, "tls"), "section", None),
        (("listeners", 0, "tls", "password"), "text", "a text of 1 to 1024 characters, or null"),
    ],
)
def test_a_setting_has_a_kind_and_words_for_it(path, kind, expected):
    setting = setting_at(path)
    assert setting is not None
    assert setting.kind == kind
    assert expected is None or setting.expected == expected


def test_there_is_no_setting_at_a_wrong_path():
    assert setting_at(()) is ROOT
    for path in (("x",), ("listeners", "a"), ("limits", "inflight_max", "x"), ("limits", 0)):
        assert setting_at(path) is None


def test_passwords_are_secret_and_so_is_what_holds_them():
    secret = [".".join(path) for path, setting in walk(ROOT) if setting.secret]
    assert secret == [
        f"broker.auth.users.{ENTRY}.password",
        f"listeners.{ENTRY}.tls.password",
        f"listeners.{ENTRY}.tls.certificates.{ENTRY}.password",
        "authentication.jwt.secret",
        f"authentication.http.headers.{ENTRY}.value",
        f"authentication.scram.users.{ENTRY}.verifier",
        "authentication.ldap.bind_password",
        f"authorization.http.headers.{ENTRY}.value",
        "cluster.secret",
    ]
    assert setting_at(("broker", "auth")).holds_secret()
    assert not setting_at(("limits",)).holds_secret()


def test_every_setting_is_described_and_every_number_bounded():
    for path, setting in walk(ROOT):
        if path[-1] != ENTRY or setting.kind == "section":
            assert setting.description.endswith((".", ".)")), path
        assert "None" not in setting.expected, path


def test_the_limits_are_those_of_the_engine():
    names = [field.name for field in dataclasses.fields(settings.Limits)]
    assert [name for name in Limits.model_fields if name in names] == names


def test_the_choices_are_those_of_the_engine():
    names = {field.name for field in dataclasses.fields(settings.Behaviour)}
    assert set(Mqtt.model_fields) == names - {"node_id"}
