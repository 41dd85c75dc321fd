"""SCRAM by the vectors of its RFCs, by a client of another maker, and by clients that cheat."""

import asyncio
import re
from base64 import b64decode

import pytest
from scramp import ScramClient, ScramMechanism

from rookery.auth.scram import DATA_BYTES_MAX, ScramSource, ScramUser
from rookery.auth.scram_verifier import make_verifier
from rookery.auth.source import NotKnown
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Challenge, Refused
from tests.support.scram import begin, by_client, step
from tests.support.sources import attempt

MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
# RFC 7677, section 3: the user "user" with the password "pencil".
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
CLIENT_FIRST = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = f"r=rOprNGfwEbeRWgbNEkqO{SERVER_NONCE},s={SALT},i=4096"
CLIENT_FINAL = (
    f"c=biws,r=rOprNGfwEbeRWgbNEkqO{SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def users() -> list[ScramUser]:
    return [
        ScramUser("ann", make_verifier("secret", mechanism), superuser=True, groups=frozenset("g"))
        for mechanism in MECHANISMS
    ]


def test_the_exchange_of_the_rfc(monkeypatch):
    verifier = make_verifier("pencil", "SCRAM-SHA-256", 4096, b64decode(SALT))
    source = ScramSource([ScramUser("user", verifier)])
    made = ScramMechanism.make_server
    monkeypatch.setattr(
        ScramMechanism, "make_server", lambda self, keys: made(self, keys, s_nonce=SERVER_NONCE)
    )
    exchange = begin(source)
    assert step(exchange, CLIENT_FIRST) == Challenge(SERVER_FIRST.encode())
    verdict = step(exchange, CLIENT_FINAL)
    assert isinstance(verdict, Accepted)
    assert verdict.data == SERVER_FINAL.encode()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_client_of_another_maker(mechanism):
    _, verdict = by_client(ScramSource(users()), "ann", "secret", mechanism)
    assert isinstance(verdict, Accepted)
    principal = verdict.principal
    assert (principal.name, principal.client_id, principal.source) == ("ann", "c1", "scram")
    assert (principal.superuser, principal.groups) == (True, {"g"})


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("name", "password"), [("ann", "Secret"), ("bob", "secret")])
def test_a_wrong_password_and_nobody_are_the_same_to_the_client(mechanism, name, password):
    challenge, verdict = by_client(ScramSource(users()), name, password, mechanism)
    assert isinstance(verdict, Refused)
    assert verdict.reason_code == ReasonCode.NOT_AUTHORIZED
    assert (f"no user '{name}'" in verdict.reason) == (name == "bob")
    fields = dict(part.split("=", 1) for part in challenge.split(","))
    assert (len(fields["s"]), fields["i"]) == (24, "4096") or name == "ann"


def test_nobody_has_the_same_salt_each_time_and_after_a_restart():
    def salts(source: ScramSource, name: str) -> set[str]:
        found = [by_client(source, name, "x")[0].split(",") for _ in range(2)]
        return {part for parts in found for part in parts if part.startswith(("s=", "i="))}

    known = users()
    first, again, others = ScramSource(known), ScramSource(known), ScramSource(users())
    assert len(salts(first, "bob")) == 2
    assert salts(first, "bob") == salts(again, "bob")
    assert salts(first, "bob") != salts(others, "bob")
    assert salts(first, "bob") != salts(first, "eve")


def test_nobodys_iterations_are_somebodys():
    known = [ScramUser("ann", make_verifier("secret", "SCRAM-SHA-256", 5000))]
    assert by_client(ScramSource(known), "bob", "x")[0].endswith("i=5000")


def test_names_are_prepared():
    source = ScramSource([ScramUser("ａnn,=", make_verifier("secret"))])  # noqa: RUF001
    _, verdict = by_client(source, "ann,=", "secret")
    assert isinstance(verdict, Accepted)


class TestCheats:
    @pytest.mark.parametrize(
        ("first", "reason"),
        [
            (None, "no authentication data"),
            (b"", "."),
            (b"\xff", "UTF-8"),
            ("n,,n=ann", "."),
            ("p=tls-unique,,n=ann,r=x", "channel"),
            ("p=tls-exporter,,n=ann,r=x", "."),
            ("n,a=bob,n=ann,r=x", "authzid"),
            ("n,,m=x,n=ann,r=x", "extensions"),
            ("n,,n=,r=x", "."),
            ("n,,n=ann,r=", "."),
            ("n,,n=a=3Cb,r=x", "."),
            ("x" * (DATA_BYTES_MAX + 1), "longer"),
        ],
    )
    def test_a_first_message(self, first, reason):
        verdict = step(begin(ScramSource(users())), first)
        assert isinstance(verdict, Refused)
        assert re.search(reason, verdict.reason)

    @pytest.mark.parametrize("change", ["nonce", "binding", "proof", "cut", "empty"])
    def test_a_final_message(self, change):
        client = ScramClient(["SCRAM-SHA-256"], "ann", "secret")
        exchange = begin(ScramSource(users()))
        client.set_server_first(step(exchange, client.get_client_first()).data.decode())
        final = client.get_client_final()
        binding, nonce, proof = final.split(",")
        sent = {
            "nonce": f"{binding},{nonce}x,{proof}",
            "binding": f"c=eSws,{nonce},{proof}",
            "proof": f"{binding},{nonce},p=AAAA",
            "cut": f"{binding},{nonce}",
            "empty": "",
        }[change]
        verdict = step(exchange, sent)
        assert isinstance(verdict, Refused)
        # One exchange is one try.
        assert isinstance(step(exchange, final), Refused)

    def test_a_final_message_of_another_exchange(self):
        source = ScramSource(users())
        client = ScramClient(["SCRAM-SHA-256"], "ann", "secret")
        first = client.get_client_first()
        overheard, exchange = begin(source), begin(source)
        client.set_server_first(step(overheard, first).data.decode())
        step(exchange, first)
        assert isinstance(step(exchange, client.get_client_final()), Refused)

    def test_a_client_that_knows_of_channel_binding(self):
        verdict = step(begin(ScramSource(users())), "y,,n=ann,r=abc")
        assert isinstance(verdict, Challenge)


def test_the_rest_of_a_source():
    source = ScramSource(users())
    assert isinstance(source.authenticate(attempt()), NotKnown)
    assert source.methods == set(MECHANISMS)
    with pytest.raises(ValueError, match="SCRAM-SHA-1'"):
        source.begin("SCRAM-SHA-1", attempt())
    _, verdict = by_client(source, "ann", "secret")
    assert (source.generation, source.still_admits(verdict.principal)) == (0, None)
    asyncio.run(source.start())
    asyncio.run(source.stop())
