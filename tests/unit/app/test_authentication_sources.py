"""Sources as the configuration asks for them: which are made, with what, and what their files do wrong."""

import asyncio
import base64
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rookery.app.authentication_sources import make_sources
from rookery.auth.scram_verifier import make_verifier
from rookery.auth.source import Source
from rookery.auth.watch import FileFault
from rookery.config.authentication import Authentication
from rookery.ports import Accepted, PeerCertificate
from tests.support.certificates import Certificates, make_certificates
from tests.support.scram import by_client
from tests.support.slapd import PEOPLE, Slapd, slapd
from tests.support.sources import TurnedClock, accepted, attempt, refusal
from tests.support.tokens import SECRET, jwk, jwks, public_pem, token
from tests.support.web_server import Reply, as_json, web_server

NAMES = ["jwt", "http", "certificate", "scram", "ldap"]
CLAIMS = {"sub": "ann", "exp": 1_900_000_000}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def directory(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd"), certificates.ca, certificates.server) as running:
        yield running


def made(base: Path, asked: list[str] | None = None, **settings: Any) -> dict[str, Source]:
    given = Authentication.model_validate({"order": list(settings), **settings})
    return make_sources(given, asked or list(settings), TurnedClock(), base)


def check(work: Any, base: Path, **settings: Any) -> None:
    """Run the work with the only source, started."""

    async def main() -> None:
        (source,) = made(base, **settings).values()
        await source.start()
        try:
            found = work(source)
            if isinstance(found, Awaitable):
                await found
        finally:
            await source.stop()

    asyncio.run(main())


def test_only_those_that_are_set_and_asked_are_made(tmp_path: Path):
    assert made(tmp_path) == {}
    assert made(tmp_path, ["users", "jwt"], certificate={}) == {}
    (name,) = made(tmp_path, ["users", "certificate"], certificate={})
    assert name == "certificate"


class TestJwt:
    @pytest.mark.parametrize(
        ("settings", "signed_by"),
        [
            ({"secret": SECRET.decode() + "\0"}, "HS256"),
            ({"secret_file": "secret"}, "HS512"),
            ({"secret_file": "base64", "secret_base64": True}, "HS384"),
            ({"public_key": "key.pem"}, "ES256"),
            ({"jwks_file": "keys.json"}, "RS256"),
        ],
    )
    def test_keys_from_every_place(self, tmp_path: Path, settings, signed_by):
        (tmp_path / "secret").write_bytes(SECRET + b"\0")
        (tmp_path / "base64").write_bytes(base64.urlsafe_b64encode(SECRET + b"\0") + b"\n")
        (tmp_path / "key.pem").write_bytes(public_pem("ES256"))
        (tmp_path / "keys.json").write_bytes(jwks(jwk("RS256", "a")))

        async def work(source: Source) -> None:
            good = await accepted(source, attempt(password=token(signed_by, CLAIMS)))
            assert good.principal.name == "ann"
            bad = attempt(password=token(signed_by, CLAIMS, 1))
            assert "none of our keys" in await refusal(source, bad)

        check(work, tmp_path, jwt=settings)

    def test_keys_from_a_url(self, tmp_path: Path, certificates: Certificates):
        (tmp_path / "ca.pem").write_bytes(certificates.ca.read_bytes())

        async def work(source: Source) -> None:
            await accepted(source, attempt(password=token("RS256", CLAIMS, kid="a")))
            assert "HS256 key" in await refusal(
                source, attempt(password=token("HS256", CLAIMS, kid="b"))
            )

        answer = Reply(200, jwks(jwk("RS256", "a"), jwk("HS256", "b")))
        with web_server(lambda asked: answer, tls=certificates.server) as server:
            check(work, tmp_path, jwt={"jwks_url": server.url(), "jwks_ca": "ca.pem"})

    def test_all_that_is_asked_of_a_token(self, tmp_path: Path):
        settings = {
            "secret": SECRET.decode() + "\0",
            "taken_from": "username",
            "algorithms": ["HS384"],
            "leeway_seconds": 10,
            "expiry_required": True,
            "issuer": "us",
            "audience": "mqtt",
            "claims": [{"name": "client", "value": "%c"}],
            "username_claim": "name",
            "superuser_claim": "admin",
            "groups_claim": "roles",
            "acl_claim": "may",
        }
        claims = {
            "exp": TurnedClock().wall_now - 5,
            "iss": "us",
            "aud": "mqtt",
            "client": "c1",
            "name": "Ann",
            "admin": True,
            "roles": ["ops"],
            "may": {"pub": ["a"]},
        }

        async def work(source: Source) -> None:
            good = await accepted(source, attempt(token("HS384", claims), None))
            assert (good.principal.name, good.principal.superuser) == ("Ann", True)
            assert (good.principal.groups, len(good.principal.grants)) == ({"ops"}, 1)
            assert "HS256" in await refusal(source, attempt(token("HS256", claims), None))
            for name in ("exp", "iss", "aud", "client", "name"):
                lacking = {key: value for key, value in claims.items() if key != name}
                await refusal(source, attempt(token("HS384", lacking), None))

        check(work, tmp_path, jwt=settings)

    @pytest.mark.parametrize(
        ("settings", "fault"),
        [
            ({"secret": "short"}, "authentication.jwt: the secret has 5 bytes"),
            ({"secret_file": "absent"}, "absent cannot be read"),
            ({"public_key": "key.pem"}, "no public key"),
            ({"jwks_file": "key.pem"}, "no JWKS"),
            ({"jwks_url": "https://localhost", "jwks_ca": "key.pem"}, "jwks_ca: .*key.pem"),
        ],
    )
    def test_files_that_are_none(self, tmp_path: Path, settings, fault):
        (tmp_path / "key.pem").write_text("nothing")
        with pytest.raises(FileFault, match=fault):
            check(lambda source: None, tmp_path, jwt=settings)


def test_http(tmp_path: Path, certificates: Certificates):
    folder = certificates.ca.parent
    settings = {
        "method": "get",
        "fields": [{"name": "who", "value": "${username}"}],
        "headers": [{"name": "X-Key", "value": "k"}],
        "ca": certificates.ca.name,
        "certificate": certificates.client.certificate.name,
        "private_key": certificates.client.private_key.name,
        "cache_seconds": 60,
        "failures_max": 1,
    }

    async def work(source: Source) -> None:
        await accepted(source, attempt())
        await accepted(source, attempt())
        server.answer = lambda asked: Reply(500)
        assert "status 500" in await refusal(source, attempt("bob"))
        assert "left alone" in await refusal(source, attempt("bob"))

    with web_server(
        lambda asked: as_json({"result": "allow"}), certificates.server, certificates.ca
    ) as server:
        check(work, folder, http={"url": server.url("/a"), **settings})
    first, second = server.asked
    assert (first.path, first.headers["X-Key"]) == ("/a?who=ann", "k")
    assert first.client_certificate
    assert second.path == "/a?who=bob"


def test_certificate(tmp_path: Path):
    shown = PeerCertificate("cn", serial="ff")
    settings = {"username_from": "serial", "client_id_from": "cn", "client_id": "replace"}

    async def work(source: Source) -> None:
        good = await accepted(source, attempt(certificate=shown))
        assert (good.principal.name, good.client_id) == ("ff", "cn")

    check(work, tmp_path, certificate=settings)


def test_scram(tmp_path: Path):

    user = {
        "username": "ann",
        "verifier": str(make_verifier("secret")),
        "superuser": True,
        "groups": "a, b",
    }
    (source,) = made(tmp_path, scram={"users": [user]}).values()
    _, verdict = by_client(source, "ann", "secret")  # type: ignore[arg-type]
    assert isinstance(verdict, Accepted)
    assert (verdict.principal.superuser, verdict.principal.groups) == (True, {"a", "b"})


class TestLdap:
    @pytest.mark.parametrize("how", ["search", "template", "ldaps", "starttls"])
    def test_ways_to_ask(self, directory: Slapd, certificates: Certificates, how):
        search = {
            "bind_dn": "cn=service,dc=example,dc=org",
            "bind_password": "service-secret",
            "base": PEOPLE,
        }
        clear = f"ldap://127.0.0.1:{directory.port}"
        settings: dict[str, Any] = {
            "search": {"url": clear, **search},
            "template": {"url": clear, "user_dn": f"uid=${{username}},{PEOPLE}"},
            "ldaps": {"url": f"ldaps://127.0.0.1:{directory.tls_port}", "ca": "ca.pem", **search},
            "starttls": {"url": clear, "starttls": True, "ca": "ca.pem", **search},
        }[how]

        async def work(source: Source) -> None:
            good = await accepted(source, attempt("ann", "ann-secret"))
            assert good.principal.name == "ann"
            assert good.principal.superuser
            await refusal(source, attempt("ann", "wrong"))

        check(work, certificates.ca.parent, ldap={**settings, "superuser_group": "admins"})

    def test_a_ca_that_is_none(self, tmp_path: Path):
        settings = {"url": "ldaps://localhost", "base": "dc=x", "ca": "absent.pem"}
        with pytest.raises(FileFault, match=r"authentication.ldap.ca: .*absent.pem"):
            made(tmp_path, ldap=settings)
