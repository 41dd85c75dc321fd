"""What the sources take, what does not go together, and the examples of the documentation."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from rookery.auth.scram_verifier import make_verifier
from rookery.config.load import load
from rookery.config.models import Config
from tests.support.config import problems

PAGE = Path(__file__).parents[3] / "docs" / "authentication-sources.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
SECRET = "s" * 32
VERIFIER = str(make_verifier("secret"))
HTTP = {"url": "https://auth.example/"}
LDAP = {"url": "ldaps://directory.example", "base": "dc=example"}
SEARCH = {"url": "ldap://directory.example", "user_dn": "uid=${username},dc=x"}


def with_source(source: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"authentication": {source: settings, "order": [source]}}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split()[3].strip("[]:"))
def test_every_example_loads(example: str, tmp_path: Path):
    path = tmp_path / "rookery.yaml"
    path.write_text(example)
    config = load(path).config
    for name in config.authentication.order:
        assert name == "users" or getattr(config.authentication, name) is not None


def test_there_is_an_example_of_every_source():
    order = "".join(re.findall(r"order: \[(.*)\]", "".join(EXAMPLES)))
    assert all(name in order for name in ("jwt", "http", "certificate", "scram", "ldap"))


@pytest.mark.parametrize(
    ("source", "settings", "place", "fault"),
    [
        ("jwt", {}, (), "needs one of secret, secret_file"),
        ("jwt", {"secret": SECRET, "public_key": "p"}, ("public_key",), "secret and public_key"),
        ("jwt", {"secret": SECRET, "jwks_ca": "p"}, ("jwks_ca",), "jwks_url"),
        ("jwt", {"public_key": "p", "secret_base64": True}, ("secret_base64",), "secret"),
        ("jwt", {"secret": SECRET, "username_claim": None}, ("username_claim",), "any name"),
        (
            "jwt",
            {"secret": SECRET, "claims": [{"name": "a", "value": "${user}"}]},
            ("claims", 0, "value"),
            "${user}",
        ),
        ("http", {"url": "https://a.example/${user}"}, ("url",), "${user}"),
        ("http", {"url": "https://${username}.example/"}, ("url",), "behind the host"),
        ("http", {**HTTP, "certificate": "c"}, ("private_key",), "belong together"),
        ("http", {**HTTP, "private_key": "c"}, ("certificate",), "belong together"),
        ("http", {"url": "http://a.example", "ca": "c"}, ("ca",), "https"),
        (
            "http",
            {**HTTP, "fields": [{"name": "a", "value": "${user}"}]},
            ("fields", 0, "value"),
            "${user}",
        ),
        (
            "http",
            {**HTTP, "headers": [{"name": "a", "value": "ü"}]},
            ("headers", 0, "value"),
            "ASCII",
        ),
        (
            "http",
            {**HTTP, "headers": [{"name": "a", "value": "a\r\nb: c"}]},
            ("headers", 0, "value"),
            "ASCII",
        ),
        ("certificate", {"client_id": "replace"}, ("client_id_from",), "is missing"),
        ("scram", {}, ("users",), "is empty"),
        (
            "scram",
            {"users": [{"username": "a", "verifier": "secret"}]},
            ("users", 0, "verifier"),
            "cannot be read",
        ),
        (
            "scram",
            {"users": [{"username": "\u0007", "verifier": VERIFIER}]},
            ("users", 0, "username"),
            "no name",
        ),
        (
            "scram",
            {"users": [{"username": "a", "verifier": VERIFIER}] * 2},
            ("users", 1, "username"),
            "in users.0 already",
        ),
        ("ldap", {**LDAP, "starttls": True}, ("starttls",), "ldaps"),
        ("ldap", {**SEARCH, "ca": "c"}, ("ca",), "starttls"),
        ("ldap", {**LDAP, "bind_dn": "cn=a"}, ("bind_password",), "belong together"),
        ("ldap", {**LDAP, "bind_password": "a"}, ("bind_dn",), "belong together"),
        ("ldap", {"url": "ldap://a.example"}, ("base",), "is missing"),
        ("ldap", {**SEARCH, "base": "dc=x"}, ("base",), "needless"),
        ("ldap", {**LDAP, "filter": "(uid=${user})"}, ("filter",), "${user}"),
        ("ldap", {**LDAP, "filter": "(uid=ann)"}, ("filter",), "must have ${username}"),
        ("ldap", {**LDAP, "filter": "uid=${username}"}, ("filter",), "brackets"),
        ("ldap", {**SEARCH, "user_dn": "uid=ann"}, ("user_dn",), "must have ${username}"),
        (
            "ldap",
            {**LDAP, "superuser_group": "a", "groups_attribute": None},
            ("superuser_group",),
            "groups_attribute",
        ),
    ],
)
def test_what_does_not_go_together(source, settings, place, fault):
    told = problems(with_source(source, settings))
    assert any(
        path == ("authentication", source, *place) and fault in text for path, text in told
    ), told


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example",
        "https://",
        "a.example",
        "https://user:secret@a.example/",
        "https://a.example:port/",
    ],
)
def test_what_is_no_url(url, tmp_path: Path):
    path = tmp_path / "rookery.yaml"
    path.write_text(f"authentication:\n  http:\n    url: {url}\n")
    with pytest.raises(Exception, match="must be an http:// or https:// URL") as caught:
        load(path)
    assert "secret" not in str(caught.value).replace(url, "")


@pytest.mark.parametrize(
    "url", ["http://a", "ldap://a/dc=x", "ldap://a??sub", "ldap://${username}"]
)
def test_what_is_no_directory(url, tmp_path: Path):
    path = tmp_path / "rookery.yaml"
    path.write_text(f"authentication:\n  ldap:\n    base: dc=x\n    url: {url}\n")
    with pytest.raises(Exception, match="must be ldap:// or ldaps://"):
        load(path)


@pytest.mark.parametrize(
    ("source", "settings", "module", "extra"),
    [
        ("jwt", {"secret": SECRET}, "jwt", "jwt"),
        ("jwt", {"jwks_url": "https://a.example"}, "httpx", "jwt"),
        ("http", HTTP, "httpx", "http"),
        ("ldap", LDAP, "ldap3", "ldap"),
    ],
)
def test_a_library_that_is_not_there(source, settings, module, extra, monkeypatch, tmp_path: Path):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else found(name)
    )
    ((path, text),) = problems(with_source(source, settings))
    assert path == ("authentication", source)
    assert text == f"needs the extra {extra}: pip install 'rookery[{extra}]'"


def test_secrets_are_not_shown():
    config = Config.model_validate(
        {
            "authentication": {
                "jwt": {"secret": SECRET},
                "http": {**HTTP, "headers": [{"name": "Authorization", "value": SECRET}]},
                "scram": {"users": [{"username": "a", "verifier": VERIFIER}]},
                "ldap": {**LDAP, "bind_dn": "cn=a", "bind_password": SECRET},
            }
        }
    )
    assert SECRET not in repr(config)
    assert VERIFIER not in repr(config)
