"""The settings of the sources that clients are known from, beside the users of the configuration."""

import importlib.util
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, Strict

from rookery.auth.placeholders import unknown_names
from rookery.auth.scram_verifier import VerifierFault, parse_verifier, prepared
from rookery.config.sections import (
    Expected,
    FilePath,
    MqttText,
    Problem,
    Section,
    comma_list,
)

Seconds = Annotated[float, Field(ge=0.05, le=300)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=65535)]
CertificatePart = Literal[
    "cn", "subject", "san_dns", "san_email", "san_uri", "serial", "fingerprint_sha256"
]


def _web_url(value: str) -> str:
    return _url(value, ("http", "https"))


def _url(value: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(value.replace("${", "").replace("}", ""))
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        raise ValueError("no such URL")
    _ = parts.port  # Raises ValueError where it is none.
    return value


def _ldap_url(value: str) -> str:
    parts = urlsplit(_url(value, ("ldap", "ldaps")))
    if parts.path.strip("/") or parts.query or parts.fragment or "$" in value:
        raise ValueError("no such URL")
    return value


WebUrl = Annotated[
    str,
    Field(max_length=4096),
    AfterValidator(_web_url),
    Expected("an http:// or https:// URL without a user name and password in it"),
]


def _missing_library(module: str, extra: str) -> Iterator[Problem]:
    if importlib.util.find_spec(module) is None:
        yield (), f"needs the extra {extra}: pip install 'rookery[{extra}]'"


def _unknown(path: tuple[str | int, ...], text: str) -> Iterator[Problem]:
    for name in unknown_names(text):
        yield path, f"has ${{{name}}}, which stands for nothing known of a client"


class JwtClaim(Section):
    """A claim that a token must have, and what it must be."""

    name: MqttText
    """The claim's name."""
    value: MqttText
    """What it must be, or hold where it is a list; `%u` and `${username}` stand for the user name of the
    CONNECT, `%c` and `${clientid}` for its client id."""

    def _problems(self) -> Iterable[Problem]:
        return _unknown(("value",), self.value)


class Jwt(Section):
    """Clients that bring a signed token (JWT), checked by one of the keys named here."""

    taken_from: Literal["password", "username"] = "password"
    """Where in the CONNECT the token is."""
    secret: Secret | None = None
    """The secret that HS256 (32 bytes or more), HS384 (48) and HS512 (64) tokens are signed with."""
    secret_file: FilePath | None = None
    """The file that holds the secret, every byte of it."""
    secret_base64: bool = False
    """Whether the secret is written in base64, the usual or the one for URLs."""
    public_key: FilePath | None = None
    """The PEM file with the public key or the certificate of who signs the tokens: RSA, P-256, P-384, P-521,
    Ed25519 or Ed448."""
    jwks_file: FilePath | None = None
    """The file with a JSON Web Key Set."""
    jwks_url: WebUrl | None = None
    """Where a JSON Web Key Set is fetched from. Shared secrets in it are left out."""
    jwks_ca: FilePath | None = None
    """The PEM file with the authorities that certify the server of `jwks_url`; at null those of the system."""
    refresh_seconds: Annotated[float, Field(ge=1, le=86400)] = 300.0
    """How often keys are read again. A token with a `kid` not known has those of a URL fetched sooner. When
    that fails the keys stay as they were, and the log tells of it."""
    algorithms: Annotated[
        tuple[
            Literal[
                "HS256",
                "HS384",
                "HS512",
                "RS256",
                "RS384",
                "RS512",
                "PS256",
                "PS384",
                "PS512",
                "ES256",
                "ES384",
                "ES512",
                "EdDSA",
            ],
            ...,
        ],
        Strict(False),
    ] = ()
    """The algorithms that are taken; an empty list takes all that the kind of a key is made for. A key is
    never used for another kind's algorithm, whatever is listed here."""
    leeway_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How far the clock of who makes the tokens may be off."""
    expiry_required: bool = False
    """Whether tokens without an `exp` are refused. With an `exp`, the connection ends when the token does."""
    issuer: MqttText | None = None
    """What the claim `iss` must be."""
    audience: MqttText | None = None
    """What the claim `aud` must be or hold; at null it is not looked at."""
    claims: Annotated[tuple[JwtClaim, ...], Strict(False)] = ()
    """What other claims must be."""
    username_claim: MqttText | None = "sub"
    """The claim that names the user. At null it is the user name of the CONNECT, which one of `claims` must
    then be: `value: "%u"`."""
    superuser_claim: MqttText | None = None
    """The claim that makes a superuser, to whom no rule applies, where it is `true`."""
    groups_claim: MqttText | None = None
    """The claim that lists the user's groups."""
    acl_claim: MqttText | None = "acl"
    """The claim that says what the client may do, before any rule is asked, in the forms that EMQX has."""

    def _problems(self) -> Iterable[Problem]:
        yield from _missing_library("jwt", "jwt")
        if self.jwks_url is not None:
            yield from _missing_library("httpx", "jwt")
        places = ("secret", "secret_file", "public_key", "jwks_file", "jwks_url")
        given = [name for name in places if getattr(self, name) is not None]
        if len(given) != 1:
            yield (
                (given[1],) if given else (),
                f"needs one of {', '.join(places)}, and has {' and '.join(given) or 'none'}",
            )
        if self.jwks_ca is not None and self.jwks_url is None:
            yield ("jwks_ca",), "is for jwks_url, which is not set; leave it out"
        if self.secret_base64 and self.secret is None and self.secret_file is None:
            yield ("secret_base64",), "is for secret and secret_file; leave it out"
        vouched = {"%u", "${username}"} & {claim.value for claim in self.claims}
        if self.username_claim is None and not vouched:
            yield (
                ("username_claim",),
                'is null, so one of claims must have the value "%u": else anybody could give any name',
            )


class NamedText(Section):
    """A name and a text with places for what is known of a client."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=255),
        Expected("a name of letters, digits and _ . -"),
    ]
    """The name."""
    value: MqttText
    """The text; `${username}`, `${password}`, `${clientid}`, `${peerhost}`, `${listener}`,
    `${cert_common_name}` and `${cert_subject}` are filled in, with an empty text where nothing is known."""

    def _problems(self) -> Iterable[Problem]:
        return _unknown(("value",), self.value)


class HttpHeader(Section):
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


class FailurePolicy(Section):
    """What a source does when the server it asks fails."""

    on_error: Literal["deny", "ignore"] = "deny"
    """What is decided when no answer of use comes: to refuse the client, with the reason that the server is
    not available, or to ask the next source."""
    failures_max: Annotated[int, Field(ge=1, le=1000)] = 5
    """After how many failures in a row the server is left alone for a while."""
    pause_seconds: Annotated[float, Field(ge=0.05, le=3600)] = 10.0
    """For how long; clients are then answered at once by `on_error`, and one of them asks again after it."""
    cache_seconds: Annotated[float, Field(ge=0, le=86400)] = 0.0
    """How long a client that was let in is let in again, for the very same name and password, without asking;
    0 asks each time. What the server forbids meanwhile is noticed that much later."""


class Http(FailurePolicy):
    """Clients that a web service lets in: it is asked at every CONNECT."""

    url: WebUrl
    """Where it is asked; placeholders are filled in, as parts of a path or query."""
    method: Literal["post", "get"] = "post"
    """How it is asked; `get` puts the fields into the query."""
    body_format: Literal["json", "form"] = "json"
    """How `post` writes the fields."""
    fields: Annotated[tuple[NamedText, ...], Strict(False)] = (
        NamedText(name="username", value="${username}"),
        NamedText(name="password", value="${password}"),
        NamedText(name="clientid", value="${clientid}"),
    )
    """What it is told."""
    headers: Annotated[tuple[HttpHeader, ...], Strict(False)] = ()
    """Further headers: a key of the service, say."""
    connect_timeout_seconds: Seconds = 5.0
    """How long a connection may take to open."""
    timeout_seconds: Seconds = 5.0
    """How long an answer may take."""
    connections_max: Annotated[int, Field(ge=1, le=1000)] = 32
    """How many connections are open to it at a time; they are kept and used again."""
    waiting_max: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many clients may wait for an answer; further ones are told that the server is busy."""
    ca: FilePath | None = None
    """The PEM file with the authorities that certify an https service; at null those of the system."""
    certificate: FilePath | None = None
    """The PEM file with the certificate that the node shows it."""
    private_key: FilePath | None = None
    """The PEM file with the private key of that certificate."""

    def _problems(self) -> Iterable[Problem]:
        yield from _missing_library("httpx", "http")
        yield from _unknown(("url",), self.url)
        if "$" in urlsplit(self.url).netloc:
            yield ("url",), "may have placeholders behind the host only"
        if (self.certificate is None) != (self.private_key is None):
            missing = "private_key" if self.private_key is None else "certificate"
            yield (missing,), "is missing: certificate and private_key belong together"
        if not self.url.startswith("https://"):
            for name in ("ca", "certificate"):
                if getattr(self, name) is not None:
                    yield (name,), "is for an https:// URL; leave it out"


class Certificate(Section):
    """Clients that are known by their TLS certificate, on listeners that ask for one."""

    username_from: CertificatePart = "cn"
    """The part of the certificate that is the user name: of the subject the common name (`cn`) or all of it
    (`subject`, as in `CN=meter-7,O=Example`), the first alternative name of a kind, the serial number or the
    SHA-256 fingerprint in small hexadecimal digits. The user name of the CONNECT is not looked at."""
    client_id_from: CertificatePart | None = None
    """The part that is the client id; null leaves the client its own."""
    client_id: Literal["match", "replace"] = "match"
    """Whether the client must give that client id itself, or gets it whatever it gives."""

    def _problems(self) -> Iterable[Problem]:
        if self.client_id == "replace" and self.client_id_from is None:
            yield (
                ("client_id_from",),
                "is missing: the part of the certificate that replaces the client id",
            )


class ScramUser(Section):
    """A user who may connect by SCRAM."""

    username: MqttText
    """The name."""
    verifier: Annotated[
        SecretStr,
        Field(min_length=1, max_length=1024),
        Expected("a text of 1 to 1024 characters"),
    ]
    """What is kept of the password, `SCRAM-SHA-256$4096:salt$stored key:server key` as PostgreSQL has it, or
    the same with SCRAM-SHA-512. A user with both is listed twice."""
    superuser: bool = False
    """Whether no rule of `authorization` applies to this user."""
    groups: Annotated[tuple[MqttText, ...], BeforeValidator(comma_list), Strict(False)] = ()
    """The groups this user is in, for rules that speak of one."""

    def _problems(self) -> Iterable[Problem]:
        try:
            parse_verifier(self.verifier.get_secret_value())
        except VerifierFault as fault:
            yield ("verifier",), f"cannot be read: {fault}"
        try:
            prepared(self.username)
        except VerifierFault as fault:
            yield ("username",), f"is no name for SCRAM: {fault}"


class Scram(Section):
    """Clients of MQTT 5.0 that prove by SCRAM-SHA-256 or SCRAM-SHA-512 that they know their password."""

    users: Annotated[tuple[ScramUser, ...], Strict(False)] = ()
    """The users."""

    def _problems(self) -> Iterable[Problem]:
        if not self.users:
            yield ("users",), "is empty, so nobody could prove anything; list a user"
        listed = [
            (user.username, user.verifier.get_secret_value().partition("$")[0])
            for user in self.users
        ]
        for index, each in enumerate(listed):
            if listed.index(each) != index:
                text = f"has a {each[1]} verifier in users.{listed.index(each)} already"
                yield ("users", index, "username"), text


class Ldap(FailurePolicy):
    """Clients whose name and password an LDAP directory knows, which a bind in their name tells."""

    url: Annotated[
        str,
        Field(max_length=4096),
        AfterValidator(_ldap_url),
        Expected("ldap:// or ldaps:// and a host, with a port where it is another than 389 or 636"),
    ]
    """Where the directory is."""
    starttls: bool = False
    """Whether an `ldap://` connection is encrypted before anything is said; without, passwords are readable on
    the way."""
    ca: FilePath | None = None
    """The PEM file with the authorities that certify the server; at null those of the system."""
    timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 5
    """How long each step may take: the connection, and each answer."""
    connections_max: Annotated[int, Field(ge=1, le=64)] = 4
    """How many connections are open at a time, each with a thread; they are kept and used again."""
    waiting_max: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many clients may wait for an answer; further ones are told that the server is busy."""
    user_dn: MqttText | None = None
    """The distinguished name of a user, `uid=${username},ou=people,dc=example,dc=org`, where it is made of what
    the client says. Null searches for it."""
    bind_dn: MqttText | None = None
    """Who searches; null does so anonymously."""
    bind_password: Secret | None = None
    """The password of `bind_dn`."""
    base: MqttText | None = None
    """Below which entry it is searched."""
    filter: MqttText = "(&(objectClass=inetOrgPerson)(uid=${username}))"
    """What is searched; placeholders are filled in, and what the client says cannot change the filter."""
    username_attribute: MqttText = "uid"
    """The attribute that names the user: a directory takes `Ann` for `ann`, so the entry tells which it is."""
    groups_attribute: MqttText | None = "memberOf"
    """The attribute that lists the groups of a user; null reads none."""
    group_names: Literal["short", "dn"] = "short"
    """Whether groups go by the first part of their distinguished names, `admins`, or by all of it."""
    superuser_group: MqttText | None = None
    """The group, by that name, whose users no rule of `authorization` applies to."""

    def _problems(self) -> Iterable[Problem]:
        yield from _missing_library("ldap3", "ldap")
        if self.url.startswith("ldaps://") and self.starttls:
            yield ("starttls",), "is for an ldap:// URL: with ldaps:// all is encrypted anyway"
        if self.ca is not None and not self.starttls and not self.url.startswith("ldaps://"):
            yield ("ca",), "is for ldaps:// or starttls; leave it out"
        if (self.bind_dn is None) != (self.bind_password is None):
            missing = "bind_password" if self.bind_password is None else "bind_dn"
            yield (missing,), "is missing: bind_dn and bind_password belong together"
        if self.user_dn is None and self.base is None:
            yield ("base",), "is missing: below which entry to search, where user_dn is not set"
        for name in ("base", "bind_dn"):
            if self.user_dn is not None and getattr(self, name) is not None:
                yield (name,), "is for a search, and user_dn makes one needless; leave one out"
        yield from _unknown(("user_dn",), self.user_dn or "")
        yield from _unknown(("filter",), self.filter)
        if not self.filter.startswith("(") or self.filter.count("(") != self.filter.count(")"):
            yield (
                ("filter",),
                "is no LDAP filter: each part stands in brackets, as in (uid=${username})",
            )
        text = self.filter if self.user_dn is None else self.user_dn
        if "${username}" not in text:
            place = "filter" if self.user_dn is None else "user_dn"
            yield (place,), "must have ${username}, or it would find the same entry for everybody"
        if self.superuser_group is not None and self.groups_attribute is None:
            yield ("superuser_group",), "needs groups_attribute, which is null"
