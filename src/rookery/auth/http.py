"""Clients that a web service lets in, asked at every CONNECT in the way that EMQX asks.

The answer is 204 to let the client in, or 200 with a JSON object: ``result`` is ``allow``, ``deny`` or
``ignore`` (ask the next source), and beside ``allow`` may stand ``is_superuser``, ``groups``,
``client_attrs``, ``expire_at`` (seconds since 1970) and ``acl``. Any other answer, and none at all, is
decided by ``on_error``. Errors of the server count against it, and after some in a row it is left alone
for a while; a status below 500 does not count, or a client could bring that about with a wrong password.
"""

import json
import math
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx

from rookery.auth.breaker import Breaker, without_server
from rookery.auth.grants import GrantFault, read_grants
from rookery.auth.placeholders import NoValue, filled
from rookery.auth.principals import principal_of
from rookery.auth.source import NotKnown, Verdict
from rookery.auth.verified import Verified
from rookery.auth.web import WebFault, ask, place_of
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Clock, Exchange, Principal, Refused

CLIENT_ERRORS: Final = range(400, 500)


@dataclass(frozen=True)
class Service:
    """How the service is asked. The texts have placeholders."""

    url: str
    method: Literal["post", "get"] = "post"
    body_format: Literal["json", "form"] = "json"
    fields: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    on_error: Literal["deny", "ignore"] = "deny"
    waiting_max: int = 1000


@dataclass(frozen=True)
class Answer:
    """What the service says of a client that it lets in."""

    superuser: bool = False
    groups: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, str], ...] = ()
    expires_at_wall: float | None = None
    acl: object = None


class HttpSource:
    """Lets in whom the service lets in."""

    name: Final = "http"
    methods: frozenset[str] = frozenset()

    def __init__(
        self,
        service: Service,
        client: httpx.AsyncClient,
        clock: Clock,
        breaker: Breaker,
        remember_seconds: float = 0.0,
    ) -> None:
        self._service = service
        self._client = client
        self._clock = clock
        self._breaker = breaker
        self._verified: Verified[Answer] = Verified(clock, remember_seconds)
        self._waiting = 0
        self._place = place_of(service.url)

    def authenticate(self, attempt: Attempt) -> Verdict | Awaitable[Verdict]:
        """Decide at once by what is remembered, else ask."""
        try:
            request = self._request(attempt)
        except NoValue as none:
            return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, str(none))
        except httpx.InvalidURL as error:
            return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, f"no URL can be made: {error}")
        key = self._verified.key(
            str(request.url).encode(), request.content, repr(request.headers.raw).encode()
        )
        remembered = self._verified.get(key)
        if remembered is not None:
            return self._accept(attempt, remembered)
        if not self._breaker.allows():
            return without_server(
                self._service.on_error, f"{self._place} failed and is left alone for a while"
            )
        if self._waiting >= self._service.waiting_max:
            return Refused(
                ReasonCode.SERVER_BUSY, f"{self._waiting} clients wait for {self._place} already"
            )
        return self._ask(attempt, request, key)

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Raise ``ValueError``: there is no enhanced authentication here."""
        raise ValueError(f"no authentication method {method!r} on listener {attempt.listener!r}")

    @property
    def generation(self) -> int:
        """The service is not asked about those who are in."""
        return 0

    def still_admits(self, principal: Principal) -> str | None:
        """Whoever was let in stays, until ``expire_at`` where that was said."""
        return None

    async def start(self) -> None:
        """Connections are opened as clients come."""

    async def stop(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _request(self, attempt: Attempt) -> httpx.Request:
        service = self._service
        fields = {name: filled(text, attempt, absent="") for name, text in service.fields}
        url = filled(service.url, attempt, _quoted, absent="")
        # A header must not end early, nor hold what HTTP does not take.
        headers = {
            name: filled(text, attempt, _quoted, absent="") for name, text in service.headers
        }
        if service.method == "get":
            target = httpx.URL(url)
            merged = target.copy_merge_params(fields) if fields else target
            return self._client.build_request("GET", merged, headers=headers)
        if service.body_format == "form":
            return self._client.build_request("POST", url, data=fields, headers=headers)
        return self._client.build_request("POST", url, json=fields, headers=headers)

    async def _ask(self, attempt: Attempt, request: httpx.Request, key: bytes) -> Verdict:
        self._waiting += 1
        try:
            status, media_type, body = await ask(self._client, request)
            if status in CLIENT_ERRORS:
                self._breaker.succeeded()
                return self._unusual(status)
            result, answer = _read(status, media_type, body)
        except WebFault as fault:
            self._breaker.failed(str(fault))
            return without_server(self._service.on_error, f"{self._place}: {fault}")
        finally:
            self._waiting -= 1
        self._breaker.succeeded()
        if result == "ignore":
            return NotKnown(f"{self._place} does not know the client")
        if result == "deny":
            return Refused(
                ReasonCode.BAD_USER_NAME_OR_PASSWORD, f"{self._place} refuses the client"
            )
        verdict = self._accept(attempt, answer)
        if isinstance(verdict, Accepted):
            self._verified.add(key, answer)
        return verdict

    def _unusual(self, status: int) -> Verdict:
        reason = f"{self._place} answered with status {status}"
        if self._service.on_error == "ignore":
            return NotKnown(reason)
        return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, reason)

    def _accept(self, attempt: Attempt, answer: Answer) -> Accepted | Refused:
        ends_at = answer.expires_at_wall
        if ends_at is not None and self._clock.wall() >= ends_at:
            return Refused(
                ReasonCode.BAD_USER_NAME_OR_PASSWORD, f"expire_at of {self._place} is over"
            )
        try:
            grants = () if answer.acl is None else read_grants(answer.acl, attempt)
        except GrantFault as fault:
            return Refused(ReasonCode.NOT_AUTHORIZED, f"{self._place}: {fault}")
        return Accepted(
            principal_of(
                attempt,
                attempt.username,
                self.name,
                superuser=answer.superuser,
                groups=answer.groups,
                attributes=dict(answer.attributes),
                grants=grants,
                expires_at_wall=ends_at,
            )
        )


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _read(status: int, media_type: str, body: bytes) -> tuple[str, Answer]:
    """The result and what stands beside it. Raises ``WebFault`` where it is nothing of the kind."""
    if status == 204:
        return "allow", Answer()
    if status != 200:
        raise WebFault(f"status {status}")
    if media_type != "application/json":
        raise WebFault(f"the answer is {media_type or 'of no type'}, not application/json")
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebFault("the answer is no JSON") from error
    if not isinstance(found, dict) or found.get("result") not in ("allow", "deny", "ignore"):
        raise WebFault("the result in the answer is none of allow, deny, ignore")
    return found["result"], Answer(
        superuser=_of_kind(found, "is_superuser", bool, False),
        groups=frozenset(_texts(_of_kind(found, "groups", list, []), "groups")),
        attributes=tuple(_attributes(_of_kind(found, "client_attrs", dict, {}))),
        expires_at_wall=_seconds(found.get("expire_at")),
        acl=found.get("acl"),
    )


def _of_kind(found: dict[str, Any], name: str, kind: type, absent: Any) -> Any:
    value = found.get(name)
    if value is None:
        return absent
    if not isinstance(value, kind):
        raise WebFault(f"{name} in the answer is of the wrong kind")
    return value


def _texts(values: list[Any], name: str) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise WebFault(f"{name} in the answer holds what is no text")
    return values


def _attributes(found: dict[str, Any]) -> list[tuple[str, str]]:
    _texts(list(found.values()), "client_attrs")
    return [(f"http.{name}", value) for name, value in found.items()]


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WebFault("expire_at in the answer is no number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise WebFault("expire_at in the answer is out of range")
    return seconds
