"""Which keys verify what, where they are read, and what happens when they cannot be."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from structlog.testing import capture_logs

from rookery.auth.jwt_keys import (
    REFETCH_SECONDS_MIN,
    KeyFault,
    Keys,
    VerifyKey,
    decode_secret,
    from_file,
    from_url,
    key_set,
    public_key,
    secret_key,
)
from rookery.auth.tls_client import client_context
from rookery.auth.watch import FileFault
from rookery.auth.web import WebFault
from tests.support.certificates import Authority, make_certificates
from tests.support.sources import TurnedClock
from tests.support.tokens import jwk, jwks, private_pem, public_pem
from tests.support.web_server import GARBAGE, HANG, RESET, Reply, web_server

RSA_ALL = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


class TestWhatAKeyVerifies:
    @pytest.mark.parametrize(
        ("size", "algorithms"),
        [(32, {"HS256"}), (48, {"HS256", "HS384"}), (64, {"HS256", "HS384", "HS512"})],
    )
    def test_a_secret_what_it_is_long_enough_for(self, size, algorithms):
        assert secret_key(b"x" * size).algorithms == algorithms

    def test_a_short_secret_nothing(self):
        with pytest.raises(KeyFault, match="31 bytes"):
            secret_key(b"x" * 31)

    @pytest.mark.parametrize(
        ("algorithm", "verifies"),
        [
            ("RS256", RSA_ALL),
            ("ES256", {"ES256"}),
            ("ES384", {"ES384"}),
            ("ES512", {"ES512"}),
            ("EdDSA", {"EdDSA"}),
            ("Ed448", {"EdDSA"}),
        ],
    )
    def test_a_public_key_what_its_kind_can(self, algorithm, verifies):
        assert public_key(public_pem(algorithm)).algorithms == verifies

    def test_a_certificate_what_its_key_can(self, tmp_path: Path):
        data = Authority(tmp_path).certificate.read_bytes()
        assert public_key(data).algorithms == {"ES256"}

    def test_what_is_of_no_use(self):
        def pem(key) -> bytes:
            return key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )

        for data, fault in (
            (b"no key", "no public key"),
            (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "no public key"),
            (private_pem("RS256"), "private key"),
            (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
            (pem(ec.generate_private_key(ec.SECP256K1())), "verifies no token"),
            (pem(dsa.generate_private_key(1024)), "verifies no token"),
        ):
            with pytest.raises(KeyFault, match=fault):
                public_key(data)

    def test_a_secret_in_base64(self):
        assert decode_secret("_-8=", base64=True) == b"\xff\xef"
        assert decode_secret(b"AAAA\n", base64=True) == b"\0\0\0"
        assert decode_secret("AAAA", base64=False) == b"AAAA"
        with pytest.raises(KeyFault, match="base64"):
            decode_secret("A!", base64=True)


class TestSets:
    def test_keys_of_many_kinds(self):
        found = key_set(
            jwks(
                jwk("RS256", "a", use="sig", key_ops=["verify"]),
                jwk("ES512", "b"),
                jwk("EdDSA"),
                jwk("RS256", "c", alg="PS512"),
                jwk("HS256", "d"),
            ),
            secrets=True,
        )
        assert [key.kid for key in found] == ["a", "b", None, "c", "d"]
        assert found[0].algorithms == RSA_ALL
        assert found[3].algorithms == {"PS512"}
        assert found[4].algorithms == {"HS256", "HS384", "HS512"}

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (5, "no object"),
            (jwk("RS256", use="enc"), "'enc'"),
            (jwk("RS256", key_ops=["sign"]), "key_ops"),
            (jwk("RS256", kid=5), "kid"),
            (jwk("RS256", d="AQAB"), "private key"),
            (jwk("RS256", n="!"), "cannot be read"),
            ({"kty": "RSA"}, "cannot be read"),
            ({"kty": "new"}, "cannot be read"),
            (jwk("RS256", alg="HS256"), "does not fit"),
            (jwk("HS256"), "shared secret"),
        ],
    )
    def test_a_key_of_no_use_is_left_out_and_told(self, entry, reason):
        with capture_logs() as logs:
            found = key_set(jwks(entry, jwk("ES256", "good")), secrets=False)
        assert [key.kid for key in found] == ["good"]
        ((event, told),) = [(line["event"], line["reason"]) for line in logs]
        assert event == "jwks_key_left_out"
        assert reason in told

    @pytest.mark.parametrize(
        ("data", "fault"),
        [
            (b"", "no JWKS"),
            (b"[]", "no JWKS"),
            (b'{"keys": 5}', "no list"),
            (b'{"keys": []}', "no key"),
            (b"[" * 100_000, "no JWKS"),
        ],
    )
    def test_what_is_no_set(self, data, fault):
        with pytest.raises(KeyFault, match=fault):
            key_set(data, secrets=True)


class Place:
    """Where keys are read: what it holds, and how often it was asked."""

    def __init__(self, *keys: VerifyKey) -> None:
        self.holds: tuple[VerifyKey, ...] | Exception = keys
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()

    async def load(self) -> tuple[VerifyKey, ...]:
        self.reads += 1
        await self.open.wait()
        if isinstance(self.holds, Exception):
            raise self.holds
        return self.holds


OLD = VerifyKey("old", b"", frozenset({"HS256"}))
NEW = VerifyKey("new", b"", frozenset({"HS256"}))
PLAIN = VerifyKey(None, b"", frozenset({"HS256"}))


class TestKeys:
    def test_by_kid_else_those_without_one(self):
        async def main() -> None:
            keys = Keys(Place(OLD, PLAIN, NEW).load, TurnedClock(), 0)
            await keys.start()
            assert keys.candidates("HS256", "old") == [OLD]
            assert keys.candidates("HS256", "unknown") == [PLAIN]
            assert keys.candidates("HS256", None) == [OLD, PLAIN, NEW]
            assert keys.candidates("RS256", "old") == []
            await keys.stop()

        asyncio.run(main())

    def test_a_file_must_be_there_at_the_start(self, tmp_path: Path):
        async def main() -> None:
            keys = Keys(from_file(tmp_path / "no", key_set_of), TurnedClock(), 0)
            with pytest.raises(FileFault, match="cannot be read"):
                await keys.start()

        asyncio.run(main())

    def test_what_a_file_holds(self, tmp_path: Path):
        async def main() -> None:
            path = tmp_path / "keys"
            path.write_bytes(jwks(jwk("ES256", "a")))
            (key,) = await from_file(path, key_set_of)()
            assert key.kid == "a"
            path.write_bytes(b"x" * 2_000_000)
            with pytest.raises(KeyFault, match="longer"):
                await from_file(path, key_set_of)()
            path.write_bytes(b"x")
            with pytest.raises(KeyFault, match="keys: it is no JWKS"):
                await from_file(path, key_set_of)()

        asyncio.run(main())

    def test_a_place_that_is_not_reached_may_come_later(self):
        async def main() -> None:
            clock, place = TurnedClock(), Place(NEW)
            place.holds = WebFault("no connection in time")
            keys = Keys(place.load, clock, 0, remote=True)
            with capture_logs() as logs:
                await keys.start()
                assert not keys.may_change()  # It was asked just now.
                clock.now += REFETCH_SECONDS_MIN
                assert keys.may_change()
                place.holds = (NEW,)
                await keys.read_again()
            assert [line["event"] for line in logs] == ["jwt_keys_not_read", "jwt_keys_read_again"]
            assert keys.known == (NEW,)
            await keys.stop()

        asyncio.run(main())

    def test_old_keys_stay_when_new_ones_cannot_be_read_and_the_log_says_so_once(self):
        async def main() -> None:
            clock, place = TurnedClock(), Place(OLD)
            keys = Keys(place.load, clock, 0.001, remote=True)
            await keys.start()
            place.holds = KeyFault("damaged")
            with capture_logs() as logs:
                while place.reads < 4:
                    await asyncio.sleep(0.001)
            assert [(line["event"], line["keys_kept"]) for line in logs] == [
                ("jwt_keys_not_read", 1)
            ]
            assert keys.known == (OLD,)
            place.holds = (NEW,)
            while keys.known != (NEW,):
                await asyncio.sleep(0.001)
            await keys.stop()

        asyncio.run(main())

    def test_many_who_miss_a_key_share_one_reading(self):
        async def main() -> None:
            clock, place = TurnedClock(), Place(OLD)
            keys = Keys(place.load, clock, 0, remote=True, waiting_max=3)
            await keys.start()
            clock.now += REFETCH_SECONDS_MIN
            place.open.clear()
            place.holds = (NEW,)
            waiting = asyncio.gather(*(keys.read_again() for _ in range(3)))
            await asyncio.sleep(0)
            assert not keys.may_change()  # As many wait as may.
            place.open.set()
            await waiting
            assert (keys.known, place.reads) == ((NEW,), 2)
            assert not keys.may_change()  # Nor does anybody ask again so soon.
            await keys.stop()

        asyncio.run(main())


class TestAUrl:
    def test_keys_are_rotated_and_read_again(self):
        held = {"keys": jwks(jwk("ES256", "one"))}

        async def main() -> None:
            load = from_url(server.url("/keys?secret=x"), client_context(), key_set_of)
            keys = Keys(load, TurnedClock(), 0.001, remote=True)
            await keys.start()
            assert [key.kid for key in keys.known] == ["one"]
            held["keys"] = jwks(jwk("ES256", "one"), jwk("ES256", "two", 1))
            while len(keys.known) < 2:
                await asyncio.sleep(0.001)
            await keys.stop()

        with web_server(lambda asked: Reply(200, held["keys"])) as server:
            asyncio.run(main())

    def test_over_tls_by_an_authority_of_ones_own(self, tmp_path: Path):
        made = make_certificates(tmp_path)

        async def main(ca: Path) -> tuple[VerifyKey, ...]:
            return await from_url(server.url(), client_context(ca), key_set_of)()

        answer = Reply(200, jwks(jwk("RS256", "one")))
        with web_server(lambda asked: answer, tls=made.server) as server:
            assert [key.kid for key in asyncio.run(main(made.ca))] == ["one"]
            with pytest.raises(WebFault, match="CERTIFICATE_VERIFY_FAILED"):
                asyncio.run(main(made.other_ca))

    @pytest.mark.parametrize(
        ("reply", "fault"),
        [
            (Reply(500), "status 500"),
            (Reply(302), "status 302"),
            (Reply(200, b"<html>"), "no JWKS"),
            (RESET, "127.0.0.1"),
            (GARBAGE, "127.0.0.1"),
            (HANG, "no answer in time"),
        ],
    )
    def test_a_server_that_gives_none(self, reply, fault, monkeypatch):
        monkeypatch.setattr("rookery.auth.jwt_keys.FETCH_SECONDS_MAX", 0.2)

        async def main() -> None:
            load = from_url(server.url("/keys?secret=x"), client_context(), key_set_of)
            with pytest.raises((WebFault, KeyFault), match=fault) as caught:
                await load()
            assert "secret" not in str(caught.value)

        with web_server(lambda asked: reply) as server:
            asyncio.run(main())


def key_set_of(data: bytes) -> tuple[VerifyKey, ...]:
    return key_set(data, secrets=True)
