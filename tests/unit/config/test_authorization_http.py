import importlib.util

import pytest
from pydantic import ValidationError

from rookery.config.authorization_http import AskedHeader, AskedText, HttpAuthorizer
from tests.support.config import problems


def http_problems(**settings):
    data = {"authorization": {"http": {"url": "https://127.0.0.1/"} | settings}}
    return [(path[2:], text) for path, text in problems(data)]


@pytest.mark.parametrize(
    ("settings", "where", "text"),
    [
        ({"url": "https://127.0.0.1/${tpoic}"}, ("url",), "has ${tpoic}, which stands for nothing"),
        ({"url": "https://${topic}/"}, ("url",), "placeholders behind the host only"),
        ({"certificate": "c"}, ("private_key",), "is missing"),
        ({"private_key": "c"}, ("certificate",), "is missing"),
        ({"url": "http://127.0.0.1/", "ca": "c"}, ("ca",), "is for an https:// URL"),
        ({"fields": [{"name": "a", "value": "${b}"}]}, ("fields", 0, "value"), "has ${b}"),
        ({"headers": [{"name": "a", "value": "${b}"}]}, ("headers", 0, "value"), "has ${b}"),
        ({"headers": [{"name": "a", "value": "\n"}]}, ("headers", 0, "value"), "printable"),
    ],
)
def test_what_does_not_go_together(settings, where, text):
    found = http_problems(**settings)
    assert [path for path, _ in found] == [where]
    assert text in found[0][1]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "https://ann:secret@127.0.0.1/"])
def test_what_is_no_url(url):
    with pytest.raises(ValidationError):
        HttpAuthorizer(url=url)


def test_by_default_it_is_told_everything_and_denies_when_it_fails():
    settings = HttpAuthorizer(url="http://127.0.0.1/")
    assert [each.name for each in settings.fields] == [
        "username", "clientid", "peerhost", "action", "topic", "qos", "retain"
    ]  # fmt: skip
    assert settings.on_error == "deny"
    for name in ("jwt.sub", "cert_common_name", "listener"):
        assert AskedText(name="x", value=f"${{{name}}}").value
    assert "secret" not in repr(AskedHeader(name="x", value="secret"))


def test_without_its_library(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    found = http_problems()
    assert found[0][1] == "needs the extra http: pip install 'rookery[http]'"
