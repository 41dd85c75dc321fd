"""A real web service that lets in, refuses, hangs, breaks and comes back."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from rookery.auth.breaker import Breaker
from rookery.auth.http import HttpSource, Service
from rookery.auth.source import NotKnown
from rookery.auth.tls_client import client_context
from rookery.auth.web import make_client
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Grant, PeerCertificate, Refused
from tests.support.sources import TurnedClock, accepted, attempt, refusal, verdict_of
from tests.support.web_server import (
    CUT,
    GARBAGE,
    HANG,
    RESET,
    Reply,
    WebServer,
    as_json,
    web_server,
)

FIELDS = (("username", "${username}"), ("password", "${password}"), ("clientid", "${clientid}"))
ALLOW = as_json({"result": "allow"})


def with_source(
    work: Callable[[HttpSource, WebServer, TurnedClock], Awaitable[None]],
    answer: Any = ALLOW,
    path: str = "/auth",
    *,
    remember_seconds: float = 0.0,
    failures_max: int = 5,
    **service: Any,
) -> WebServer:
    """Run the work with a source and its server, which gives this answer or what a function says."""
    replies = answer if callable(answer) else lambda asked: answer

    async def main(server: WebServer) -> None:
        clock = TurnedClock()
        source = HttpSource(
            Service(server.url(path), **{"fields": FIELDS, **service}),
            make_client(client_context(), 4, 5, 0.3),
            clock,
            Breaker("http", clock, failures_max, 10),
            remember_seconds,
        )
        await source.start()
        try:
            await work(source, server, clock)
        finally:
            await source.stop()

    with web_server(replies) as server:
        asyncio.run(main(server))
    return server


class TestWhatIsAsked:
    def asked(self, **given: Any) -> Any:
        client = given.pop("attempt", attempt())

        async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
            await accepted(source, client)

        return with_source(work, **given).asked[0]

    def test_json(self):
        asked = self.asked()
        assert (asked.method, asked.path) == ("POST", "/auth")
        assert asked.headers["Content-Type"] == "application/json"
        assert json.loads(asked.body) == {"username": "ann", "password": "secret", "clientid": "c1"}

    def test_a_form(self):
        asked = self.asked(body_format="form", attempt=attempt("a&b=c", "ü"))
        assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert parse_qs(asked.body.decode()) == {
            "username": ["a&b=c"],
            "password": ["ü"],
            "clientid": ["c1"],
        }

    def test_a_query(self):
        asked = self.asked(method="get", path="/a?b=1", attempt=attempt("x&y"))
        assert (asked.method, asked.body) == ("GET", b"")
        assert parse_qs(urlsplit(asked.path).query)["username"] == ["x&y"]
        assert parse_qs(urlsplit(asked.path).query)["b"] == ["1"]

    def test_everything_that_is_known(self):
        names = "peerhost listener cert_common_name cert_subject".split()
        certificate = PeerCertificate("cn", "CN=cn")
        asked = self.asked(
            fields=tuple((name, f"${{{name}}}") for name in names),
            attempt=attempt(certificate=certificate),
        )
        assert list(json.loads(asked.body).values()) == ["192.0.2.7", "tcp", "cn", "CN=cn"]

    def test_what_is_not_known_is_empty(self):
        asked = self.asked(attempt=attempt(None, None), fields=(*FIELDS, ("cn", "${cert_subject}")))
        assert json.loads(asked.body) == {
            "username": "",
            "password": "",
            "clientid": "c1",
            "cn": "",
        }

    def test_a_client_stays_within_its_place_in_paths_and_headers(self):
        asked = self.asked(
            path="/users/${username}/check",
            headers=(("X-Client", "id ${clientid}"), ("Authorization", "Bearer key")),
            attempt=attempt("../admin?x#y", client_id="a\r\nX-Admin: 1 ü"),
        )
        assert asked.path == "/users/..%2Fadmin%3Fx%23y/check"
        assert asked.headers["X-Client"] == "id a%0D%0AX-Admin%3A%201%20%C3%BC"
        assert asked.headers["Authorization"] == "Bearer key"
        assert "X-Admin" not in asked.headers


class TestAnswers:
    def verdict(self, answer: Any, **service: Any) -> Any:
        found = []

        async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
            found.append(await verdict_of(source, attempt()))

        with_source(work, answer, **service)
        return found[0]

    @pytest.mark.parametrize("answer", [Reply(204), ALLOW])
    def test_let_in(self, answer):
        verdict = self.verdict(answer)
        assert isinstance(verdict, Accepted)
        principal = verdict.principal
        assert (principal.name, principal.source, principal.superuser) == ("ann", "http", False)

    def test_let_in_with_all_that_can_be_said(self):
        verdict = self.verdict(
            as_json(
                {
                    "result": "allow",
                    "is_superuser": True,
                    "groups": ["a", "b"],
                    "client_attrs": {"site": "north"},
                    "expire_at": 1_800_000_060,
                    "acl": [{"permission": "deny", "action": "all", "topic": "u/${username}"}],
                }
            )
        )
        assert isinstance(verdict, Accepted)
        principal = verdict.principal
        assert principal.superuser
        assert principal.groups == {"a", "b"}
        assert principal.attributes == {"http.site": "north"}
        assert principal.expires_at_wall == 1_800_000_060
        assert principal.grants == (Grant(False, "all", "u/ann"),)

    def test_refused(self):
        verdict = self.verdict(as_json({"result": "deny"}))
        assert isinstance(verdict, Refused)
        assert verdict.reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD

    def test_left_to_the_next_source(self):
        assert isinstance(self.verdict(as_json({"result": "ignore"})), NotKnown)

    def test_over_already(self):
        verdict = self.verdict(as_json({"result": "allow", "expire_at": 1_800_000_000}))
        assert isinstance(verdict, Refused)
        assert "expire_at" in verdict.reason

    def test_an_acl_that_is_not_understood(self):
        verdict = self.verdict(as_json({"result": "allow", "acl": [{"permission": "deny"}]}))
        assert isinstance(verdict, Refused)
        assert verdict.reason_code == ReasonCode.NOT_AUTHORIZED

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (Reply(500), "status 500"),
            (Reply(302), "status 302"),
            (Reply(200, b"<html>", "text/html"), "text/html"),
            (Reply(200), "of no type"),
            (Reply(200, b"{"), "no JSON"),
            (Reply(200, b"[" * 100_000), "no JSON"),
            (as_json([]), "result"),
            (as_json({"result": "yes"}), "result"),
            (as_json({"result": "allow", "is_superuser": "true"}), "is_superuser"),
            (as_json({"result": "allow", "groups": [1]}), "groups"),
            (as_json({"result": "allow", "client_attrs": {"a": 1}}), "client_attrs"),
            (as_json({"result": "allow", "expire_at": "soon"}), "expire_at"),
            (as_json({"result": "allow", "expire_at": 10**400}), "expire_at"),
            (HANG, "no answer in time"),
            (RESET, "."),
            (GARBAGE, "."),
            (CUT, "."),
        ],
    )
    def test_of_no_use(self, answer, reason):
        refused = self.verdict(answer, on_error="deny")
        assert isinstance(refused, Refused)
        assert refused.reason_code == ReasonCode.SERVER_UNAVAILABLE
        assert reason in refused.reason
        assert isinstance(self.verdict(answer, on_error="ignore"), NotKnown)

    @pytest.mark.parametrize("status", [400, 401, 404, 414])
    def test_a_status_that_is_the_clients_doing(self, status):
        refused = self.verdict(Reply(status), on_error="deny")
        assert isinstance(refused, Refused)
        assert refused.reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
        assert isinstance(self.verdict(Reply(status), on_error="ignore"), NotKnown)


def test_a_password_that_is_no_text_is_refused_without_asking():
    async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
        assert "UTF-8" in await refusal(source, attempt(password=b"\xff"))
        assert server.asked == []

    with_source(work)


def test_what_succeeded_is_remembered_for_a_while():
    async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
        for _ in range(3):
            verdict = await accepted(source, attempt())
            assert verdict.principal.groups == {"a"}
        assert len(server.asked) == 1
        await accepted(source, attempt(password=b"other"))
        await accepted(source, attempt(client_id="c2"))
        assert len(server.asked) == 3
        clock.now += 61
        await accepted(source, attempt())
        assert len(server.asked) == 4

    with_source(work, as_json({"result": "allow", "groups": ["a"]}), remember_seconds=60)


def test_what_was_refused_is_not_remembered_nor_what_is_over():
    answers = [
        as_json({"result": "deny"}),
        as_json({"result": "allow", "expire_at": 1_800_000_009}),
    ]

    async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
        await refusal(source, attempt())
        await accepted(source, attempt())
        clock.wall_now += 10
        assert "expire_at" in await refusal(source, attempt())
        assert len(server.asked) == 2

    with_source(work, lambda asked: answers.pop(0), remember_seconds=60)


def test_a_service_that_fails_is_left_alone_and_asked_again():
    replies = [Reply(500), Reply(500), Reply(401), Reply(500), Reply(500), Reply(500), ALLOW, ALLOW]

    async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
        for _ in range(6):  # The 401 says that the service is well.
            await refusal(source, attempt())
        for _ in range(10):
            assert "left alone" in await refusal(source, attempt())
        assert len(server.asked) == 6
        clock.now += 10
        await accepted(source, attempt())
        await accepted(source, attempt())

    with_source(work, lambda asked: replies.pop(0), failures_max=3)


def test_a_crowd_waits_for_so_many_connections_only():
    async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
        crowd = [verdict_of(source, attempt(client_id=f"c{number}")) for number in range(12)]
        verdicts = await asyncio.gather(*crowd)
        busy = [verdict for verdict in verdicts if isinstance(verdict, Refused)]
        assert [verdict.reason_code for verdict in busy] == [ReasonCode.SERVER_BUSY] * 2
        assert len(server.asked) == 10
        assert len({asked.connection for asked in server.asked}) <= 4
        await accepted(source, attempt())  # Their places are free again.

    with_source(work, waiting_max=10)


def test_no_secret_is_told():
    async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
        with capture_logs() as logs:
            reasons = [await refusal(source, attempt(password=b"hidden")) for _ in range(3)]
        assert "hidden" not in f"{reasons}{logs}"
        assert "key" not in f"{reasons}{logs}".replace("left alone", "")

    with_source(
        work,
        Reply(500),
        path="/auth?token=key&p=${password}",
        headers=(("Authorization", "key"),),
        failures_max=2,
    )


def test_the_rest_of_a_source():
    async def work(source: HttpSource, server: WebServer, clock: TurnedClock) -> None:
        good = await accepted(source, attempt())
        assert (source.generation, source.still_admits(good.principal)) == (0, None)
        with pytest.raises(ValueError, match="X"):
            source.begin("X", attempt())

    with_source(work)
