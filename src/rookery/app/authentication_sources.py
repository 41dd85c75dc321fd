"""The sources of clients beside the users, as the configuration asks for them.

A source is loaded only where it is asked, with the library it needs; the models have checked that it is there.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from rookery.auth.breaker import Breaker
from rookery.auth.certificate import CertificateSource
from rookery.auth.source import Source
from rookery.auth.watch import FileFault
from rookery.config.authentication import Authentication
from rookery.config.authentication_sources import Certificate, Http, Jwt, Ldap, Scram
from rookery.ports import Clock

if TYPE_CHECKING:
    from rookery.auth.jwt_keys import Load, VerifyKey

LDAP_PORT: Final = 389
LDAPS_PORT: Final = 636


def make_sources(
    settings: Authentication, asked: Iterable[str], clock: Clock, base: Path
) -> dict[str, Source]:
    """The sources that are set and asked on some listener. Raises ``FileFault``."""
    wanted = frozenset(asked)
    made: dict[str, Source] = {}
    if settings.jwt is not None and "jwt" in wanted:
        made["jwt"] = _jwt(settings.jwt, clock, base)
    if settings.http is not None and "http" in wanted:
        made["http"] = _http(settings.http, clock, base)
    if settings.certificate is not None and "certificate" in wanted:
        made["certificate"] = _certificate(settings.certificate)
    if settings.scram is not None and "scram" in wanted:
        made["scram"] = _scram(settings.scram)
    if settings.ldap is not None and "ldap" in wanted:
        made["ldap"] = _ldap(settings.ldap, clock, base)
    return made


def _jwt(settings: Jwt, clock: Clock, base: Path) -> Source:
    from rookery.auth.jwt import JwtSource, TokenRules
    from rookery.auth.jwt_keys import ALGORITHMS, Keys

    rules = TokenRules(
        taken_from=settings.taken_from,
        algorithms=frozenset(settings.algorithms) or ALGORITHMS,
        issuer=settings.issuer,
        audience=settings.audience,
        leeway_seconds=settings.leeway_seconds,
        expiry_required=settings.expiry_required,
        claims=tuple((claim.name, claim.value) for claim in settings.claims),
        username_claim=settings.username_claim,
        superuser_claim=settings.superuser_claim,
        groups_claim=settings.groups_claim,
        acl_claim=settings.acl_claim,
    )
    remote = settings.jwks_url is not None
    keys = Keys(_load_of(settings, base), clock, settings.refresh_seconds, remote=remote)
    return JwtSource(keys, clock, rules)


def _load_of(settings: Jwt, base: Path) -> "Load":
    """Where the keys come from: the model lets exactly one of these be set."""
    from rookery.auth.jwt_keys import (
        decode_secret,
        from_file,
        from_url,
        key_set,
        public_key,
        secret_key,
    )

    def secret(data: str | bytes) -> "tuple[VerifyKey, ...]":
        return (secret_key(decode_secret(data, base64=settings.secret_base64)),)

    if settings.secret is not None:
        text = settings.secret.get_secret_value()

        async def load() -> "tuple[VerifyKey, ...]":
            return secret(text)

        return load
    if settings.secret_file is not None:
        return from_file(base / settings.secret_file, secret)
    if settings.public_key is not None:
        return from_file(base / settings.public_key, lambda data: [public_key(data)])
    if settings.jwks_file is not None:
        return from_file(base / settings.jwks_file, lambda data: key_set(data, secrets=True))
    assert settings.jwks_url is not None
    context = _context("authentication.jwt.jwks_ca", base, settings.jwks_ca)
    return from_url(settings.jwks_url, context, lambda data: key_set(data, secrets=False))


def _http(settings: Http, clock: Clock, base: Path) -> Source:
    from rookery.auth.http import HttpSource, Service
    from rookery.auth.web import make_client

    service = Service(
        url=settings.url,
        method=settings.method,
        body_format=settings.body_format,
        fields=tuple((field.name, field.value) for field in settings.fields),
        headers=tuple((each.name, each.value.get_secret_value()) for each in settings.headers),
        on_error=settings.on_error,
        waiting_max=settings.waiting_max,
    )
    client = make_client(
        _context(
            "authentication.http", base, settings.ca, settings.certificate, settings.private_key
        ),
        settings.connections_max,
        settings.connect_timeout_seconds,
        settings.timeout_seconds,
    )
    breaker = Breaker("http", clock, settings.failures_max, settings.pause_seconds)
    return HttpSource(service, client, clock, breaker, settings.cache_seconds)


def _certificate(settings: Certificate) -> Source:
    return CertificateSource(
        settings.username_from,
        settings.client_id_from,
        client_id_replaced=settings.client_id == "replace",
    )


def _scram(settings: Scram) -> Source:
    from rookery.auth.scram import ScramSource, ScramUser
    from rookery.auth.scram_verifier import parse_verifier

    return ScramSource(
        ScramUser(
            user.username,
            parse_verifier(user.verifier.get_secret_value()),
            user.superuser,
            frozenset(user.groups),
        )
        for user in settings.users
    )


def _ldap(settings: Ldap, clock: Clock, base: Path) -> Source:
    from rookery.auth.ldap import LdapRules, LdapSource
    from rookery.auth.ldap_directory import Directory, DirectorySettings

    parts = urlsplit(settings.url)
    secure = parts.scheme == "ldaps"
    assert parts.hostname is not None
    context = None
    if secure or settings.starttls:
        context = _context("authentication.ldap.ca", base, settings.ca)
    password = settings.bind_password
    directory = Directory(
        DirectorySettings(
            host=parts.hostname,
            port=parts.port or (LDAPS_PORT if secure else LDAP_PORT),
            security="ldaps" if secure else "starttls" if settings.starttls else "none",
            timeout_seconds=settings.timeout_seconds,
            user_dn=settings.user_dn,
            bind_dn=settings.bind_dn,
            bind_password=None if password is None else password.get_secret_value(),
            base=settings.base or "",
            filter=settings.filter,
            username_attribute=settings.username_attribute,
            groups_attribute=settings.groups_attribute,
        ),
        context,
    )
    rules = LdapRules(
        superuser_group=settings.superuser_group,
        group_names=settings.group_names,
        on_error=settings.on_error,
        connections_max=settings.connections_max,
        waiting_max=settings.waiting_max,
    )
    breaker = Breaker("ldap", clock, settings.failures_max, settings.pause_seconds)
    return LdapSource(directory, clock, breaker, rules, settings.cache_seconds)


def _context(
    setting: str,
    base: Path,
    ca: str | None,
    certificate: str | None = None,
    private_key: str | None = None,
) -> ssl.SSLContext:
    from rookery.auth.tls_client import client_context

    files = [None if name is None else base / name for name in (ca, certificate, private_key)]
    try:
        return client_context(*files)
    except OSError as error:  # That of ssl is one too.
        named = ", ".join(str(file) for file in files if file is not None)
        raise FileFault(f"{setting}: {named}: {error.strerror or error}") from error
