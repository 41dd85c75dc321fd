"""The settings of a web service that decides what clients may do."""

import importlib.util
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, Strict

from rookery.auth.questions import unknown_names
from rookery.config.authentication_sources import Seconds, WebUrl
from rookery.config.sections import Expected, FilePath, MqttText, Problem, Section


def _unknown(path: tuple[str | int, ...], text: str) -> Iterator[Problem]:
    for name in unknown_names(text):
        yield path, f"has ${{{name}}}, which stands for nothing known of a request"


class AskedText(Section):
    """A name and a text with places for what a client wants to do."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=255),
        Expected("a name of letters, digits and _ . -"),
    ]
    """The name."""
    value: MqttText
    """The text; `${username}`, `${clientid}`, `${peerhost}`, `${listener}`, `${topic}`, `${action}` (`publish`
    or `subscribe`), `${qos}`, `${retain}`, `${cert_common_name}` and claims as `${jwt.sub}` are filled in, with
    an empty text where nothing is known."""

    def _problems(self) -> Iterable[Problem]:
        return _unknown(("value",), self.value)


class AskedHeader(Section):
    """A header of a request."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=255),
        Expected("the name of an HTTP header"),
    ]
    """The name."""
    value: Annotated[
        SecretStr,
        Field(min_length=1, max_length=8192),
        Expected("a text of 1 to 8192 characters"),
    ]
    """The value; placeholders are filled in."""

    def _problems(self) -> Iterable[Problem]:
        text = self.value.get_secret_value()
        if not text.isascii() or not text.isprintable():
            yield ("value",), "must be of printable ASCII characters"
        yield from _unknown(("value",), text)


class HttpAuthorizer(Section):
    """A web service that is asked where no rule decides."""

    url: WebUrl
    """Where it is asked; placeholders are filled in, as parts of a path or query."""
    method: Literal["post", "get"] = "post"
    """How it is asked; `get` puts the fields into the query."""
    body_format: Literal["json", "form"] = "json"
    """How `post` writes the fields."""
    fields: Annotated[tuple[AskedText, ...], Strict(False)] = tuple(
        AskedText(name=name, value=f"${{{name}}}")
        for name in ("username", "clientid", "peerhost", "action", "topic", "qos", "retain")
    )
    """What it is told; an empty list tells nothing beside the URL."""
    headers: Annotated[tuple[AskedHeader, ...], Strict(False)] = ()
    """Further headers: a key of the service, say."""
    on_error: Literal["deny", "ignore"] = "deny"
    """What is decided when no usable answer comes: to deny the request, or what `authorization.default` says."""
    cache_seconds: Annotated[float, Field(ge=0, le=86400)] = 10.0
    """How long an answer is remembered for the very same question; 0 asks each time, for every message."""
    cache_entries_max: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """How many answers are remembered; the oldest go first."""
    connect_timeout_seconds: Seconds = 5.0
    """How long a connection may take to open."""
    timeout_seconds: Seconds = 5.0
    """How long an answer may take. Meanwhile the client's packets wait, in order; nobody else's do."""
    connections_max: Annotated[int, Field(ge=1, le=1000)] = 32
    """How many connections are open to it at a time; they are kept and used again."""
    waiting_max: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many questions may wait for an answer; further ones are decided by `on_error`."""
    failures_max: Annotated[int, Field(ge=1, le=1000)] = 5
    """After how many failures in a row the service is left alone for a while."""
    pause_seconds: Annotated[float, Field(ge=0.05, le=3600)] = 10.0
    """For how long; questions are then decided by `on_error`, and one of them is asked again after it."""
    ca: FilePath | None = None
    """The PEM file with the authorities that certify an https service; at null those of the system."""
    certificate: FilePath | None = None
    """The PEM file with the certificate that the node shows it."""
    private_key: FilePath | None = None
    """The PEM file with the private key of that certificate."""

    def _problems(self) -> Iterable[Problem]:
        if importlib.util.find_spec("httpx") is None:
            yield (), "needs the extra http: pip install 'rookery[http]'"
        yield from _unknown(("url",), self.url)
        if "$" in urlsplit(self.url).netloc:
            yield ("url",), "may have placeholders behind the host only"
        if (self.certificate is None) != (self.private_key is None):
            absent = "private_key" if self.private_key is None else "certificate"
            yield (absent,), "is missing: certificate and private_key belong together"
        if not self.url.startswith("https://"):
            for name in ("ca", "certificate"):
                if getattr(self, name) is not None:
                    yield (name,), "is for an https:// URL; leave it out"
