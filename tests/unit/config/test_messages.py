"""The sentences of errors."""

import pytest
from pydantic import ValidationError

from rookery.config.messages import refusal, sentences, shown, unknown_key
from rookery.config.models import Config


def told(data: object) -> dict[str, str]:
    with pytest.raises(ValidationError) as refused:
        Config.model_validate(data)
    found = [item for error in refused.value.errors() for item in sentences(error)]
    return {".".join(map(str, path)): text for path, text in found}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mqtt_port", "unknown key, did you mean broker.mqtt_port?"),
        ("limts", "unknown key, did you mean limits?"),
        ("limits.inflight-max", "unknown key, did you mean inflight_max?"),
        ("broker.receive_maximum", "unknown key, did you mean limits.receive_maximum?"),
        ("metrics.zzz", "unknown key; the keys here are enabled, host"),
        ("log.level.x", "unknown key; log.level is a single value"),
        ("listeners.tcp", "entries of a list go by number, as listeners.0"),
    ],
)
def test_an_unknown_key_has_a_suggestion(path: str, text: str):
    assert unknown_key(tuple(path.split("."))) == text


def test_each_kind_of_value_is_shown_as_it_is_written():
    values = [None, [1], (1,), {"a": 1}, "a", 5, True, 'a"\n']
    words = ["empty", "a list", "a list", "a mapping", '"a"', "5", "true", '"a\\"\\n"']
    assert [shown(value) for value in values] == words
    assert shown("a" * 500) == '"' + "a" * 59 + "..."


def test_a_refusal_says_what_is_right():
    path = ("limits", "inflight_max")
    assert refusal(path, "abc") == 'must be a whole number from 1 to 65535, not "abc"'
    level = refusal(("log", "level"), "warn")
    assert level == (
        'must be one of debug, info, warning, error, not "warn"; did you mean warning?'
    )
    assert refusal(("log", "level"), "loud").endswith('not "loud"')


def test_a_refused_secret_is_not_shown():
    assert refusal(("broker", "auth", "users", 0, "password"), "hunter2") == (
        "must be a text of 1 to 65535 characters"
    )


def test_every_error_of_the_models_has_a_sentence():
    data = {
        "x": 1,
        "broker": {"mqtt_port": "x", "peer_nodes": "a b"},
        "listeners": [{"port": 1}],
        "limits": [],
        "metrics": {"host": "a b"},
    }
    assert told(data) == {
        "x": "unknown key; the keys here are broker, listeners, limits, bans, overload, mqtt, store, "
        "authentication, authorization, log, metrics, cluster",
        "broker.mqtt_port": 'must be a port from 0 to 65535, as 1883 or ":1883" '
        '(0 lets the system choose one), not "x"',
        "broker.peer_nodes.0": 'must be host or host:port, not "a b"',
        "listeners.0.type": "is missing: must be one of tcp, tls, ws, wss, unix",
        "limits": f"must be a mapping with the keys {', '.join(Config().limits.model_dump())}, "
        "not a list",
        "metrics.host": 'must be an IP address or a host name, without a port, not "a b"',
    }


def test_settings_that_do_not_go_together_are_told_one_by_one():
    found = told({"listeners": [{"type": "tls"}]})
    assert set(found) == {"listeners.0.tls", "listeners.0.port"}
