"""One node that asks tokens, certificates, SCRAM, a directory and a web service, each the real thing."""

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from scramp import ScramClient

from rookery.auth.scram_verifier import make_verifier
from tests.support import wire
from tests.support.broker import RunningBroker
from tests.support.certificates import Certificates
from tests.support.slapd import PEOPLE, Slapd, slapd
from tests.support.tokens import jwk, jwks, token
from tests.support.web_server import HANG, Asked, Reply, WebServer, as_json, web_server
from tests.support.wire import AUTH, CONNACK, V3_1_1, V5
from tests.support.wire_client import Client, tcp

CONTINUE, RE_AUTHENTICATE = 0x18, 0x19
BAD_USER, NOT_AUTHORIZED, UNAVAILABLE = 0x86, 0x87, 0x88


@dataclass
class House:
    """The node and the servers that it asks."""

    broker: RunningBroker
    web: WebServer
    keys: WebServer
    directory: Slapd
    certificates: Certificates

    def client(self, version: int = V5) -> Client:
        return Client(tcp((self.broker.host, self.broker.port)), version)

    def secure_client(self, name: str) -> Client:
        pair = getattr(self.certificates, name)
        context = ssl.create_default_context(cafile=self.certificates.ca)
        context.load_cert_chain(pair.certificate, pair.private_key)
        plain = socket.create_connection(self.broker.listener("tls"), 5)
        return Client(context.wrap_socket(plain, server_hostname="localhost"), V5)

    def answer(self, version: int = V5, **options: Any) -> int:
        """The reason code of a CONNECT."""
        with self.client(version) as client:
            client.send(wire.connect(version, options.pop("client_id", "c1"), **options))
            reason = client.expect(CONNACK).reason
            assert reason is not None
            return reason


def web_says(asked: Asked) -> Any:
    allowed = b'"web-secret"' in asked.body
    return as_json({"result": "allow" if allowed else "ignore"})


@pytest.fixture(scope="module")
def house(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    local = {"host": "127.0.0.1", "port": 0}
    tls = {
        "certificate": str(certificates.server.certificate),
        "private_key": str(certificates.server.private_key),
        "ca": str(certificates.ca),
        "client_certificate": "optional",
    }
    folder = tmp_path_factory.mktemp("slapd")
    with (
        web_server(web_says) as web,
        web_server(lambda asked: Reply(200, jwks(jwk("ES256", "one")))) as keys,
        slapd(folder, certificates.ca, certificates.server) as directory,
    ):
        settings = {
            "listeners": [
                {"type": "tcp", "name": "tcp", **local},
                {
                    "type": "tls",
                    "name": "tls",
                    "tls": tls,
                    "authentication": ["certificate"],
                    **local,
                },
            ],
            "authentication.order": ["jwt", "scram", "ldap", "http"],
            "authentication.jwt": {
                "jwks_url": keys.url(),
                "claims": [{"name": "client", "value": "%c"}],
            },
            "authentication.certificate": {"client_id_from": "cn", "client_id": "replace"},
            "authentication.scram": {
                "users": [
                    {"username": "ann", "verifier": str(make_verifier("one", mechanism))}
                    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                ]
            },
            "authentication.ldap": {
                "url": f"ldap://127.0.0.1:{directory.port}",
                "bind_dn": "cn=service,dc=example,dc=org",
                "bind_password": "service-secret",
                "base": PEOPLE,
            },
            "authentication.http": {
                "url": web.url("/auth"),
                "timeout_seconds": 0.3,
                "failures_max": 2,
                "pause_seconds": 0.05,
            },
        }
        with RunningBroker(settings) as broker:
            yield House(broker, web, keys, directory, certificates)


def a_token(number: int = 0, kid: str = "one", **changed: Any) -> bytes:
    claims = {"sub": "ann", "client": "c1", "exp": time.time() + 60, **changed}
    return token("ES256", claims, number, kid=kid).encode()


class TestTokens:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_a_good_one_and_bad_ones(self, house: House, version):
        bad = 4 if version == V3_1_1 else BAD_USER
        for password, reason in (
            (a_token(), 0),
            (a_token(1), bad),
            (a_token(kid="two"), bad),
            (a_token(client="c2"), bad),
            (a_token(exp=time.time() - 1), bad),
        ):
            assert house.answer(version, user_name="x", password=password) == reason

    def test_its_end_is_that_of_the_link(self, house: House):
        with house.client() as client:
            client.connect("c1", user_name="x", password=a_token(exp=time.time() + 0.3))
            client.expect_silence()
            client.expect_closed(0xA0)

    def test_keys_that_are_rotated_while_the_node_runs(self, house: House):
        new = a_token(1, kid="new")
        house.keys.answer = lambda asked: Reply(200, jwks(jwk("ES256", "new", 1)))
        # It looks for keys it does not know once in five seconds at most.
        deadline = time.monotonic() + 15
        while house.answer(user_name="x", password=new):
            assert time.monotonic() < deadline
        assert house.answer(user_name="x", password=a_token()) == BAD_USER


class TestCertificates:
    def test_the_client_id_is_that_of_the_certificate(self, house: House):
        with house.secure_client("client") as first, house.secure_client("client") as second:
            first.connect("one")
            second.connect("two")
            first.expect_closed(0x8E)  # Both are the client "client", who has one session.

    def test_without_one_nobody_comes_in(self, house: House):
        context = ssl.create_default_context(cafile=house.certificates.ca)
        plain = socket.create_connection(house.broker.listener("tls"), 5)
        with Client(context.wrap_socket(plain, server_hostname="localhost"), V5) as client:
            client.send(wire.connect(V5, "c1", user_name="ann", password=b"ann-secret"))
            client.expect_refused(BAD_USER)


class TestScram:
    def auth(self, method: str, reason: int, data: str) -> bytes:
        properties = {"auth_method": method, "auth_data": data.encode()}
        return wire.packet(0xF0, bytes([reason]), wire.property_field(V5, properties))

    def prove(
        self, client: Client, method: str, password: str, *, again: bool = False
    ) -> ScramClient:
        """All but the answer to the proof."""
        proof = ScramClient([method], "ann", password)
        first = proof.get_client_first()
        if again:
            client.send(self.auth(method, RE_AUTHENTICATE, first))
        else:
            properties = {"auth_method": method, "auth_data": first.encode()}
            client.send(wire.connect(V5, "s1", properties=properties))
        challenge = client.expect(AUTH, reason=CONTINUE).get("auth_data")
        assert isinstance(challenge, bytes)
        proof.set_server_first(challenge.decode())
        client.send(self.auth(method, CONTINUE, proof.get_client_final()))
        return proof

    @pytest.mark.parametrize("method", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
    def test_both_prove_who_they_are_and_may_do_so_again(self, house: House, method):
        with house.client() as client:
            proof = self.prove(client, method, "one")
            connack = client.expect(CONNACK, reason=0)
            assert connack.get("auth_method") == method
            proof.set_server_final(connack.get("auth_data").decode())
            client.expect_silence()
            proof = self.prove(client, method, "one", again=True)
            done = client.expect(AUTH, reason=0)
            proof.set_server_final(done.get("auth_data").decode())
            client.expect_silence()
            self.prove(client, method, "two", again=True)
            client.expect_closed(NOT_AUTHORIZED)

    def test_a_wrong_password(self, house: House):
        with house.client() as client:
            self.prove(client, "SCRAM-SHA-256", "two")
            client.expect_refused(NOT_AUTHORIZED)

    def test_a_method_that_is_not_offered(self, house: House):
        with house.client() as client:
            properties = {"auth_method": "SCRAM-SHA-1", "auth_data": b"n,,n=ann,r=x"}
            client.send(wire.connect(V5, "s1", properties=properties))
            client.expect_refused(0x8C)


class TestTheDirectoryAndTheWeb:
    def test_a_user_of_the_directory(self, house: House):
        assert house.answer(user_name="ann", password=b"ann-secret") == 0
        # The directory knows her, so the web service is not asked.
        assert house.answer(user_name="ann", password=b"web-secret") == BAD_USER

    def test_a_user_that_only_the_web_service_knows(self, house: House):
        assert house.answer(user_name="eve", password=b"web-secret") == 0
        assert house.answer(user_name="eve", password=b"other") == BAD_USER

    def test_a_service_that_hangs_does_not_hold_up_others(self, house: House):
        house.web.answer = lambda asked: HANG
        try:
            with house.client() as served, house.client() as waits:
                served.connect("c1", user_name="ann", password=b"ann-secret")
                waits.send(wire.connect(V5, "c2", user_name="eve", password=b"web-secret"))
                for _ in range(20):
                    served.expect_silence()
                waits.expect_refused(UNAVAILABLE)
                assert house.answer(user_name="eve", password=b"x") == UNAVAILABLE
                # It is left alone now, which is told at once.
                assert house.answer(user_name="eve", password=b"x") == UNAVAILABLE
        finally:
            house.web.answer = web_says
        deadline = time.monotonic() + 5
        while house.answer(user_name="eve", password=b"web-secret"):
            assert time.monotonic() < deadline

    def test_a_directory_that_is_away_and_comes_back(self, house: House):
        house.directory.stop()
        try:
            assert house.answer(user_name="ann", password=b"ann-secret") == UNAVAILABLE
        finally:
            house.directory.start()
        assert house.answer(user_name="ann", password=b"ann-secret") == 0
