"""The web service that is asked what clients may do, as the configuration wants it. It needs the extra ``http``."""

from pathlib import Path

from rookery.auth.breaker import Breaker
from rookery.auth.http import Service
from rookery.auth.http_authorizer import HttpAuthorizer
from rookery.auth.tls_client import client_context
from rookery.auth.watch import FileFault
from rookery.auth.web import make_client
from rookery.config.authorization_http import HttpAuthorizer as Settings
from rookery.ports import Clock


def make_http_authorizer(settings: Settings, base: Path, clock: Clock) -> HttpAuthorizer:
    """Whoever asks the service; relative paths start at ``base``. Raises ``FileFault``."""
    files = [
        None if name is None else base / name
        for name in (settings.ca, settings.certificate, settings.private_key)
    ]
    try:
        context = client_context(*files)
    except OSError as error:
        named = ", ".join(str(each) for each in files if each is not None)
        raise FileFault(f"authorization.http: {named}: {error}") from error
    service = Service(
        url=settings.url,
        method=settings.method,
        body_format=settings.body_format,
        fields=tuple((each.name, each.value) for each in settings.fields),
        headers=tuple((each.name, each.value.get_secret_value()) for each in settings.headers),
        on_error=settings.on_error,
        waiting_max=settings.waiting_max,
    )
    client = make_client(
        context,
        settings.connections_max,
        settings.connect_timeout_seconds,
        settings.timeout_seconds,
    )
    breaker = Breaker("authorization.http", clock, settings.failures_max, settings.pause_seconds)
    return HttpAuthorizer(
        service, client, clock, breaker, settings.cache_seconds, settings.cache_entries_max
    )
