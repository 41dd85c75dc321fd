"""Tokens of every algorithm, what is wrong with bad ones, and what good ones say."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest

from rookery.auth.jwt import JwtSource, TokenRules
from rookery.auth.jwt_keys import KeyFault, Keys, VerifyKey, key_set, public_key, secret_key
from rookery.auth.source import NotKnown
from rookery.auth.web import WebFault
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Grant, Refused
from tests.support.sources import TurnedClock, accepted, attempt, refusal, verdict_of
from tests.support.tokens import SECRET, jwk, jwks, private_key, public_pem, token

NOW = 1_800_000_000
ALGORITHMS = "HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA".split()


def with_source(
    work: Callable[[JwtSource, TurnedClock], Awaitable[None]],
    *keys: VerifyKey,
    load: Any = None,
    remote: bool = False,
    **rules: Any,
) -> None:
    async def loaded() -> tuple[VerifyKey, ...]:
        return keys or (secret_key(SECRET + b"\0"),)

    async def main() -> None:
        clock = TurnedClock(NOW)
        source = JwtSource(
            Keys(load or loaded, clock, 0, remote=remote), clock, TokenRules(**rules)
        )
        await source.start()
        try:
            await work(source, clock)
        finally:
            await source.stop()

    asyncio.run(main())


def claims(**changed: Any) -> dict[str, Any]:
    return {"sub": "ann", "exp": NOW + 60, **changed}


def check(made: str, **rules: Any) -> Accepted | str:
    """The acceptance of one token by the usual secret, or the reason of its refusal."""
    found: list[Accepted | str] = []

    async def work(source: JwtSource, clock: TurnedClock) -> None:
        verdict = await verdict_of(source, attempt(password=made))
        assert not isinstance(verdict, NotKnown)
        found.append(verdict.reason if isinstance(verdict, Refused) else verdict)

    with_source(work, **rules)
    return found[0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm(algorithm):
    kind = "RS256" if algorithm[:2] in ("RS", "PS") else algorithm
    key = secret_key(SECRET) if kind[:2] == "HS" else public_key(public_pem(kind))
    signer = SECRET if kind[:2] == "HS" else private_key(kind)
    other = SECRET[::-1] if kind[:2] == "HS" else private_key(kind, 1)

    async def work(source: JwtSource, clock: TurnedClock) -> None:
        good = await accepted(source, attempt(password=jwt.encode(claims(), signer, algorithm)))
        assert (good.principal.name, good.principal.source) == ("ann", "jwt")
        assert good.principal.expires_at_wall == NOW + 60
        bad = await refusal(source, attempt(password=jwt.encode(claims(), other, algorithm)))
        assert "none of our keys" in bad

    with_source(work, key)


class TestWhatIsNoToken:
    @pytest.mark.parametrize(
        "password",
        [
            b"secret",
            b"",
            b"a.b.c",
            b"..",
            b"\xff\xfe.\x00.",
            base64.urlsafe_b64encode(b"[" * 30_000) + b".e30.x",
            base64.urlsafe_b64encode(b'{"alg":' + b"1" * 5000 + b"}") + b".e30.x",
            None,
        ],
    )
    def test_is_left_to_the_next_source(self, password):
        async def work(source: JwtSource, clock: TurnedClock) -> None:
            assert isinstance(await verdict_of(source, attempt(password=password)), NotKnown)

        with_source(work)

    def test_a_client_without_a_name_where_tokens_are_names(self):
        async def work(source: JwtSource, clock: TurnedClock) -> None:
            made = token("HS256", claims())
            assert (await accepted(source, attempt(made, None))).principal.name == "ann"
            assert isinstance(await verdict_of(source, attempt(None, made)), NotKnown)

        with_source(work, taken_from="username")


class TestForgeries:
    def forged(self, header: dict[str, Any], secret: bytes = b"") -> str:
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
            for part in (header, claims())
        ]
        text = b".".join(parts)
        signature = b""
        if secret:
            hashed = jwt.get_algorithm_by_name("HS256").sign(text, secret)
            signature = base64.urlsafe_b64encode(hashed).rstrip(b"=")
        return (text + b"." + signature).decode()

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5, ["HS256"]])
    def test_no_algorithm_at_all(self, algorithm):
        reason = check(self.forged({"alg": algorithm, "typ": "JWT"}))
        assert isinstance(reason, str)
        assert "is not taken" in reason

    def test_a_public_key_is_no_secret(self):
        async def work(source: JwtSource, clock: TurnedClock) -> None:
            made = self.forged({"alg": "HS256"}, public_pem("RS256"))
            assert "no HS256 key" in await refusal(source, attempt(password=made))

        with_source(work, public_key(public_pem("RS256")))

    def test_an_algorithm_that_is_not_wanted(self):
        reason = check(token("HS512", claims()), algorithms=frozenset({"HS256"}))
        assert reason == "the token is refused: the algorithm 'HS512' is not taken"

    def test_a_header_that_must_be_understood(self):
        reason = check(self.forged({"alg": "HS256", "crit": ["new"], "new": 1}, SECRET + b"\0"))
        assert isinstance(reason, str)
        assert "critical" in reason

    def test_a_changed_claim(self):
        head, _, signature = token("HS256", claims()).split(".")
        body = base64.urlsafe_b64encode(json.dumps(claims(sub="bob")).encode()).decode()
        reason = check(f"{head}.{body.rstrip('=')}.{signature}")
        assert reason == "the token is refused: its signature is by none of our keys"


class TestTime:
    @pytest.mark.parametrize(
        ("changed", "rules", "reason"),
        [
            ({"exp": NOW}, {}, "ended 0 s ago"),
            ({"exp": NOW - 10}, {"leeway_seconds": 9}, "ended 10 s ago"),
            ({"nbf": NOW + 10}, {}, "begins in 10 s"),
            ({"exp": None}, {"expiry_required": True}, "has no exp"),
            ({"exp": "soon"}, {}, "exp is no number"),
            ({"exp": True}, {}, "exp is no number"),
            ({"nbf": [1]}, {}, "nbf is no number"),
            ({"exp": float("inf")}, {}, "out of range"),
            ({"exp": 10**400}, {}, "out of range"),
        ],
    )
    def test_out_of_it(self, changed, rules, reason):
        found = check(token("HS256", claims(**changed)), **rules)
        assert isinstance(found, str)
        assert reason in found

    @pytest.mark.parametrize(
        ("changed", "rules", "ends_at"),
        [
            ({"exp": NOW - 10}, {"leeway_seconds": 11}, NOW + 1),
            ({"nbf": NOW + 10}, {"leeway_seconds": 10}, NOW + 70),
            ({"exp": NOW + 0.5}, {}, NOW + 0.5),
            ({"exp": None}, {}, None),
            ({"iat": NOW + 1000}, {}, NOW + 60),
        ],
    )
    def test_within_it(self, changed, rules, ends_at):
        found = check(token("HS256", claims(**changed)), **rules)
        assert isinstance(found, Accepted), found
        assert found.principal.expires_at_wall == ends_at


class TestClaims:
    @pytest.mark.parametrize(
        ("rules", "changed", "reason"),
        [
            ({"issuer": "us"}, {}, "iss"),
            ({"issuer": "us"}, {"iss": "them"}, "issuer"),
            ({"audience": "mqtt"}, {}, "aud"),
            ({"audience": "mqtt"}, {"aud": ["web"]}, "udience"),
            ({"claims": (("user", "%u"),)}, {"user": "bob"}, "is 'bob' and must be 'ann'"),
            ({"claims": (("user", "%u"),)}, {}, "is None and must be 'ann'"),
            ({"claims": (("device", "${clientid}"),)}, {"device": "c2"}, "must be 'c1'"),
            ({"claims": (("dn", "${cert_subject}"),)}, {"dn": ""}, "no cert_subject"),
            ({"claims": (("tenant", "7"),)}, {"tenant": True}, "must be '7'"),
            ({"username_claim": "name"}, {}, "no claim 'name'"),
            ({}, {"sub": ""}, "no claim 'sub'"),
            ({}, {"sub": None}, "Subject must be a string"),
            ({}, {"acl": {"pub": ["a/#/b"]}}, "no topic filter"),
            ({}, {"acl": 5}, "acl"),
        ],
    )
    def test_that_do_not_fit(self, rules, changed, reason):
        found = check(token("HS256", claims(**changed)), **rules)
        assert isinstance(found, str)
        assert reason in found

    @pytest.mark.parametrize(
        ("rules", "changed"),
        [
            ({"issuer": "us", "audience": "mqtt"}, {"iss": "us", "aud": ["web", "mqtt"]}),
            ({"claims": (("user", "%u"), ("device", "%c"))}, {"user": "ann", "device": ["c1"]}),
            ({"claims": (("tenant", "7"),)}, {"tenant": 7}),
            ({}, {"aud": "anything"}),
        ],
    )
    def test_that_fit(self, rules, changed):
        assert isinstance(check(token("HS256", claims(**changed)), **rules), Accepted)

    def test_what_is_read_from_them(self):
        made = token(
            "HS256",
            claims(
                name="Ann",
                admin=True,
                roles=["a", "b", 5],
                tenant=7,
                nested={"x": 1},
                acl={"pub": ["u/%u"], "sub": ["#"]},
            ),
        )
        found = check(made, username_claim="name", superuser_claim="admin", groups_claim="roles")
        assert isinstance(found, Accepted), found
        principal = found.principal
        assert (principal.name, principal.client_id) == ("Ann", "c1")
        assert principal.superuser
        assert principal.groups == {"a", "b"}
        assert principal.grants == (
            Grant(True, "publish", "u/Ann"),
            Grant(True, "subscribe", "#"),
        )
        assert principal.attributes == {
            "jwt.sub": "ann",
            "jwt.name": "Ann",
            "jwt.exp": str(NOW + 60),
            "jwt.tenant": "7",
        }

    def test_a_name_in_the_acl_is_the_proven_one(self):
        """Not what the client calls itself, which could be anybody."""
        acl = {"pub": ["p/${username}", "q/%u", "c/%c"]}
        found = check(token("HS256", claims(sub="joe", acl=acl)))
        assert isinstance(found, Accepted)
        topics = [grant.topic_filter for grant in found.principal.grants]
        assert topics == ["p/joe", "q/joe", "c/c1"]

    @pytest.mark.parametrize("value", ["true", 1, None, [True]])
    def test_only_true_makes_a_superuser(self, value):
        found = check(token("HS256", claims(admin=value)), superuser_claim="admin")
        assert isinstance(found, Accepted)
        assert not found.principal.superuser

    def test_the_name_of_the_connect_where_a_claim_vouches_for_it(self):
        found = check(
            token("HS256", claims(user="ann", sub="other")),
            username_claim=None,
            claims=(("user", "%u"),),
        )
        assert isinstance(found, Accepted)
        assert found.principal.name == "ann"

    def test_a_group_alone(self):
        found = check(token("HS256", claims(role="a")), groups_claim="role")
        assert isinstance(found, Accepted)
        assert found.principal.groups == {"a"}

    def test_an_acl_that_is_not_to_be_read(self):
        found = check(token("HS256", claims(acl={"pub": ["#"]})), acl_claim=None)
        assert isinstance(found, Accepted)
        assert found.principal.grants == ()


class Rotating:
    """Keys that somebody else changes."""

    def __init__(self, *entries: Any) -> None:
        self.holds: bytes | Exception = jwks(*entries)
        self.reads = 0

    async def __call__(self) -> tuple[VerifyKey, ...]:
        self.reads += 1
        if isinstance(self.holds, Exception):
            raise self.holds
        return key_set(self.holds, secrets=False)


class TestKeysThatChange:
    def test_a_new_kid_is_looked_up_at_once_and_others_not_again(self):
        place = Rotating(jwk("ES256", "one"))

        async def work(source: JwtSource, clock: TurnedClock) -> None:
            one = token("ES256", claims(), kid="one")
            two = token("ES256", claims(), 1, kid="two")
            await accepted(source, attempt(password=one))
            assert "kid 'two'" in await refusal(source, attempt(password=two))
            assert place.reads == 1  # Read just now.
            clock.now += 10
            place.holds = jwks(jwk("ES256", "two", 1))
            await accepted(source, attempt(password=two))
            assert "kid 'one'" in await refusal(source, attempt(password=one))
            assert place.reads == 2

        with_source(work, load=place, remote=True)

    @pytest.mark.parametrize("fault", [WebFault("no answer in time"), KeyFault("damaged")])
    def test_known_keys_hold_when_their_place_fails(self, fault):
        place = Rotating(jwk("ES256", "one"))

        async def work(source: JwtSource, clock: TurnedClock) -> None:
            place.holds = fault
            clock.now += 10
            unknown = token("ES256", claims(), 1, kid="two")
            assert "kid 'two'" in await refusal(source, attempt(password=unknown))
            await accepted(source, attempt(password=token("ES256", claims(), kid="one")))

        with_source(work, load=place, remote=True)


def test_too_many_at_once_hear_that_the_node_is_busy(monkeypatch):
    monkeypatch.setattr("rookery.auth.jwt.WAITING_MAX", 2)
    monkeypatch.setattr("rookery.auth.slices.SLICE_SECONDS", -1.0)

    async def work(source: JwtSource, clock: TurnedClock) -> None:
        asked = attempt(password=token("HS256", claims()))
        crowd = [source.authenticate(asked) for _ in range(3)]
        assert isinstance(crowd[2], Refused)
        assert crowd[2].reason_code == ReasonCode.SERVER_BUSY
        for each in crowd[:2]:
            assert isinstance(each, Awaitable)
            assert isinstance(await each, Accepted)

    with_source(work)


def test_the_rest_of_a_source():
    async def work(source: JwtSource, clock: TurnedClock) -> None:
        good = await accepted(source, attempt(password=token("HS256", claims())))
        assert (source.generation, source.still_admits(good.principal)) == (0, None)
        with pytest.raises(ValueError, match="X"):
            source.begin("X", attempt())

    with_source(work)
