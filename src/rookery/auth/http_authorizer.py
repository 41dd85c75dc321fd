"""A web service that decides what clients may do, asked in the way that EMQX asks.

The answer is 204 to allow it, or 200 with a JSON object whose ``result`` is ``allow``, ``deny`` or ``ignore``
(the default decides). Any other answer, and none at all, is decided by ``on_error``, and is not remembered. Answers
are, for a while, by all that was told in the question; the same question under way is asked once.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from rookery.actors.tasks import Tasks
from rookery.auth.breaker import Breaker
from rookery.auth.http import Service
from rookery.auth.questions import Question, filled, names_in, told
from rookery.auth.web import WebFault, ask, place_of
from rookery.ports import Clock, Decision


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer and how long it holds."""

    decision: Decision | None
    until: float


class HttpAuthorizer:
    """Asks the service where no rule decides."""

    def __init__(
        self,
        service: Service,
        client: httpx.AsyncClient,
        clock: Clock,
        breaker: Breaker,
        remember_seconds: float,
        remembered_max: int,
    ) -> None:
        self._service = service
        self._client = client
        self._clock = clock
        self._breaker = breaker
        self._remember_seconds = remember_seconds
        self._remembered_max = remembered_max
        self._remembered: OrderedDict[tuple[str, ...], Remembered] = OrderedDict()
        self._under_way: dict[tuple[str, ...], asyncio.Future[Decision | None]] = {}
        self._place = place_of(service.url)
        self._tasks = Tasks(self._failed)
        texts = [service.url, *[text for _, text in (*service.fields, *service.headers)]]
        self._names = sorted({name for text in texts for name in names_in(text)})

    def ask(self, question: Question) -> Decision | Awaitable[Decision | None] | None:
        """The answer, at once where it is remembered or cannot be had."""
        key = tuple(told(question, name) for name in self._names)
        remembered = self._remembered.get(key)
        if remembered is not None:
            if self._clock.monotonic() < remembered.until:
                return remembered.decision
            del self._remembered[key]
        under_way = self._under_way.get(key)
        if under_way is not None:
            return under_way
        if not self._breaker.allows():
            return self._without("failed and is left alone for a while")
        if len(self._under_way) >= self._service.waiting_max:
            return self._without(f"has {len(self._under_way)} questions to answer already")
        try:
            request = self._request(dict(zip(self._names, key, strict=True)))
        except httpx.InvalidURL as error:
            return self._without(f"cannot be asked: {error}")
        answer: asyncio.Future[Decision | None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = answer
        self._tasks.start("authorize_http", self._fetch(key, request, answer))
        return answer

    async def stop(self) -> None:
        """Answer no more, and close the connections."""
        await self._tasks.stop()
        await self._client.aclose()

    async def _fetch(
        self,
        key: tuple[str, ...],
        request: httpx.Request,
        answer: asyncio.Future[Decision | None],
    ) -> None:
        decision = self._without("was not asked to the end")
        try:
            status, media_type, body = await ask(self._client, request)
            decision = self._read(status, media_type, body)
            self._breaker.succeeded()
            self._remember(key, decision)
        except WebFault as fault:
            self._breaker.failed(str(fault))
            decision = self._without(str(fault))
        finally:
            del self._under_way[key]
            if not answer.done():
                answer.set_result(decision)

    def _request(self, values: dict[str, str]) -> httpx.Request:
        service = self._service
        fields = {name: filled(text, values, str) for name, text in service.fields}
        url = filled(service.url, values, _quoted)
        headers = {name: filled(text, values, _quoted) for name, text in service.headers}
        if service.method == "get":
            target = httpx.URL(url)
            merged = target.copy_merge_params(fields) if fields else target
            return self._client.build_request("GET", merged, headers=headers)
        if service.body_format == "form":
            return self._client.build_request("POST", url, data=fields, headers=headers)
        return self._client.build_request("POST", url, json=fields, headers=headers)

    def _read(self, status: int, media_type: str, body: bytes) -> Decision | None:
        """What the service says. Raises ``WebFault`` where that is nothing of the kind."""
        result: object = "allow"
        if status != 204:
            if status != 200:
                raise WebFault(f"status {status}")
            if media_type != "application/json":
                raise WebFault(f"the answer is {media_type or 'of no type'}, not application/json")
            try:
                found: Any = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise WebFault("the answer is no JSON") from error
            result = found.get("result") if isinstance(found, dict) else None
            if result not in ("allow", "deny", "ignore"):
                raise WebFault("the result in the answer is none of allow, deny, ignore")
        if result == "ignore":
            return None
        return Decision(result == "allow", f"{self._place}: {result}", lasting=False)

    def _remember(self, key: tuple[str, ...], decision: Decision | None) -> None:
        if self._remember_seconds <= 0:
            return
        until = self._clock.monotonic() + self._remember_seconds
        self._remembered[key] = Remembered(decision, until)
        while len(self._remembered) > self._remembered_max:
            self._remembered.popitem(last=False)

    def _without(self, why: str) -> Decision | None:
        """What is decided where the service did not say."""
        if self._service.on_error == "ignore":
            return None
        return Decision(False, f"{self._place} {why}", lasting=False)

    def _failed(self, _name: str, error: BaseException) -> None:
        self._breaker.failed(repr(error))


def _quoted(value: str) -> str:
    return quote(value, safe="")
