"""Clients that bring a signed token (JWT) in place of a password.

Who signs the tokens says who their bearers are, until when, and what they may do. A password that is no
token at all is left to the next source; one that is a token and not a good one is refused, with the
reason for the operator. "exp" ends the link too, not only the CONNECT.
"""

import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

import jwt

from rookery.auth.grants import GrantFault, read_grants
from rookery.auth.jwt_keys import ALGORITHMS, Keys, VerifyKey
from rookery.auth.placeholders import NoValue, filled
from rookery.auth.principals import principal_of
from rookery.auth.slices import LineFull, Slices
from rookery.auth.source import NotKnown, Verdict
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Clock, Exchange, Principal, Refused

CANDIDATES_MAX: Final = 8
"""How many keys are tried on a token that does not say which one made it."""
WAITING_MAX: Final = 10_000
"""Tokens in line for their check; at 100 us each the last one waits for a second."""

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NoKey:
    """There is no key for a token, though there may be one when keys are read again."""

    reason: str


class BadToken(Exception):
    """A token is not taken; the text is for the operator."""


@dataclass(frozen=True)
class TokenRules:
    """What is asked of a token, and what is read from it."""

    taken_from: Literal["password", "username"] = "password"
    algorithms: frozenset[str] = ALGORITHMS
    """Those that are taken, of those that the keys have."""
    issuer: str | None = None
    audience: str | None = None
    leeway_seconds: float = 0.0
    expiry_required: bool = False
    claims: tuple[tuple[str, str], ...] = ()
    """Names of claims and what they must be, with placeholders."""
    username_claim: str | None = "sub"
    superuser_claim: str | None = None
    groups_claim: str | None = None
    acl_claim: str | None = "acl"


class JwtSource:
    """Lets in who brings a good token."""

    name: Final = "jwt"
    methods: frozenset[str] = frozenset()

    def __init__(self, keys: Keys, clock: Clock, rules: TokenRules) -> None:
        self._keys = keys
        self._clock = clock
        self._rules = rules
        self._slices: Slices[Verdict | NoKey] = Slices(clock, WAITING_MAX)

    def authenticate(self, attempt: Attempt) -> Verdict | Awaitable[Verdict]:
        """Decide at once, unless keys are to be fetched first or many tokens came together."""
        token = self._token(attempt)
        if token is None:
            return NotKnown(f"the client gave no {self._rules.taken_from}")
        if token.count(b".") != 2:
            return NotKnown(f"the {self._rules.taken_from} is no JWT")
        try:
            found = self._slices.run(partial(self._judge, attempt, token))
        except LineFull:
            return Refused(
                ReasonCode.SERVER_BUSY, f"{WAITING_MAX} tokens are waiting for their check already"
            )
        if isinstance(found, Accepted | Refused | NotKnown):
            return found
        return self._finish(attempt, token, found)

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Raise ``ValueError``: there is no enhanced authentication here."""
        raise ValueError(f"no authentication method {method!r} on listener {attempt.listener!r}")

    @property
    def generation(self) -> int:
        """Tokens end by their own time."""
        return 0

    def still_admits(self, principal: Principal) -> str | None:
        """Whoever was let in stays until the token ends."""
        return None

    async def start(self) -> None:
        """Read the keys."""
        await self._keys.start()

    async def stop(self) -> None:
        """Read no more keys."""
        await self._keys.stop()

    def _token(self, attempt: Attempt) -> bytes | None:
        if self._rules.taken_from == "password":
            return attempt.password
        return None if attempt.username is None else attempt.username.encode()

    async def _finish(
        self, attempt: Attempt, token: bytes, found: NoKey | Awaitable[Verdict | NoKey]
    ) -> Verdict:
        """Wait for a turn, and for keys to be read again where that may help."""
        judged = found if isinstance(found, NoKey) else await found
        if isinstance(judged, NoKey) and self._keys.may_change():
            await self._keys.read_again()
            judged = self._judge(attempt, token)
        return _refused(judged.reason) if isinstance(judged, NoKey) else judged

    def _judge(self, attempt: Attempt, token: bytes) -> Verdict | NoKey:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.DecodeError, RecursionError):
            return NotKnown(f"the {self._rules.taken_from} is no JWT")
        except jwt.InvalidTokenError as error:
            return _refused(f"its header is not valid: {error}")
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._rules.algorithms:
            return _refused(f"the algorithm {algorithm!r} is not taken")
        keys = self._keys.candidates(algorithm, kid)
        if not keys:
            which = "" if kid is None else f" with the kid {kid!r}"
            return NoKey(f"there is no {algorithm} key{which}")
        try:
            claims = self._verified(token, algorithm, keys)
            ends_at = self._check_times(claims)
            self._check_claims(claims, attempt)
            return Accepted(self._principal(claims, attempt, ends_at))
        except BadToken as bad:
            return _refused(str(bad))

    def _verified(self, token: bytes, algorithm: str, keys: list[VerifyKey]) -> Claims:
        rules = self._rules
        for key in keys[:CANDIDATES_MAX]:
            try:
                claims: Claims = jwt.decode(
                    token,
                    key.key,
                    algorithms=[algorithm],
                    issuer=rules.issuer,
                    audience=rules.audience,
                    # Times are checked by the node's own clock.
                    options={
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                        "verify_aud": rules.audience is not None,
                        "verify_iss": rules.issuer is not None,
                    },
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, RecursionError) as error:
                raise BadToken(f"it is not valid: {error}") from error
            return claims
        raise BadToken("its signature is by none of our keys")

    def _check_times(self, claims: Claims) -> float | None:
        """Whether it is valid now; and until when, if it ends."""
        now, leeway = self._clock.wall(), self._rules.leeway_seconds
        begins_at, ends_at = _time(claims, "nbf"), _time(claims, "exp")
        if begins_at is not None and now < begins_at - leeway:
            raise BadToken(f"it begins in {begins_at - now:.0f} s")
        if ends_at is None:
            if self._rules.expiry_required:
                raise BadToken("it has no exp")
            return None
        if now >= ends_at + leeway:
            raise BadToken(f"it ended {now - ends_at:.0f} s ago")
        return ends_at + leeway

    def _check_claims(self, claims: Claims, attempt: Attempt) -> None:
        for name, template in self._rules.claims:
            try:
                expected = filled(template, attempt, short=True)
            except NoValue as none:
                raise BadToken(f"its claim {name!r} cannot be compared: {none}") from none
            found = claims.get(name)
            listed = found if isinstance(found, list) else [found]
            if expected not in (_text(each) for each in listed):
                raise BadToken(f"its claim {name!r} is {found!r} and must be {expected!r}")

    def _principal(
        self, claims: Claims, attempt: Attempt, expires_at_wall: float | None
    ) -> Principal:
        rules = self._rules
        username = attempt.username
        if rules.username_claim is not None:
            username = _text(claims.get(rules.username_claim))
            if not username:
                raise BadToken(f"it has no claim {rules.username_claim!r} to name the client by")
        try:
            acl = None if rules.acl_claim is None else claims.get(rules.acl_claim)
            # As in rules, a name in it is the one that the token proves, and not what the client calls itself.
            named = replace(attempt, username=username)
            grants = () if acl is None else read_grants(acl, named)
        except GrantFault as fault:
            raise BadToken(str(fault)) from fault
        groups = None if rules.groups_claim is None else claims.get(rules.groups_claim)
        texts = {name: _text(value) for name, value in claims.items()}
        return principal_of(
            attempt,
            username,
            self.name,
            superuser=rules.superuser_claim is not None
            and claims.get(rules.superuser_claim) is True,
            groups=_groups(groups),
            attributes={f"jwt.{name}": text for name, text in texts.items() if text is not None},
            grants=grants,
            expires_at_wall=expires_at_wall,
        )


def _refused(reason: str) -> Refused:
    return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, f"the token is refused: {reason}")


def _text(value: object) -> str | None:
    """A text or a number as a text; what is neither has none."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def _time(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken(f"its {name} is no number")
    try:
        seconds = float(value)
    except OverflowError as error:
        raise BadToken(f"its {name} is out of range") from error
    if not math.isfinite(seconds):
        raise BadToken(f"its {name} is out of range")
    return seconds


def _groups(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    if isinstance(value, list):
        return frozenset(each for each in value if isinstance(each, str))
    return frozenset()
