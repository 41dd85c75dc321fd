import asyncio

import pytest

from rookery.auth.breaker import Breaker
from rookery.auth.http import Service
from rookery.auth.http_authorizer import HttpAuthorizer
from rookery.auth.questions import Question
from rookery.auth.tls_client import client_context
from rookery.auth.web import make_client
from rookery.ports import Decision, Principal
from tests.support.engine import FakeClock
from tests.support.web_server import CUT, GARBAGE, HANG, RESET, Reply, as_json, web_server

FIELDS = (("user", "${username}"), ("topic", "${topic}"), ("action", "${action}"))


def question(topic="t", action="publish", name="ann"):
    return Question(Principal(name, "c"), action, topic, 1, False)


class World:
    def __init__(self, url, seconds=5.0, remember=10.0, remembered_max=100, failures=3, **service):
        self.clock = FakeClock()
        self.subject = HttpAuthorizer(
            Service(url, **({"fields": FIELDS} | service)),
            make_client(client_context(), 4, seconds, seconds),
            self.clock,
            Breaker("test", self.clock, failures, 10.0),
            remember,
            remembered_max,
        )

    async def ask(self, *arguments, **named):
        answer = self.subject.ask(question(*arguments, **named))
        if answer is None or isinstance(answer, Decision):
            return answer
        return await answer


def serve(answer, work, **options):
    """What the work gives, beside a service."""

    async def main(server):
        world = World(server.url("/acl"), **options)
        try:
            return await work(world, server)
        finally:
            await world.subject.stop()

    with web_server(answer) as server:
        return asyncio.run(main(server))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(204), True),
        (as_json({"result": "allow"}), True),
        (as_json({"result": "deny"}), False),
        (as_json({"result": "ignore"}), None),
    ],
)
def test_answers(reply, expected):
    async def work(world, server):
        decision = await world.ask()
        assert (None if decision is None else decision.allowed) is expected
        if decision is not None:
            assert decision.rule.startswith(server.url("/acl: "))
            assert not decision.lasting
        assert server.asked[0].body == b'{"user":"ann","topic":"t","action":"publish"}'

    serve(lambda _: reply, work)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(403),
        Reply(200, b"allow", "text/plain"),
        Reply(200, b"{"),
        as_json({"result": "perhaps"}),
        as_json(["allow"]),
        HANG,
        RESET,
        GARBAGE,
        CUT,
    ],
)
@pytest.mark.parametrize("on_error", ["deny", "ignore"])
def test_no_usable_answer(reply, on_error):
    async def work(world, server):
        decision = await world.ask()
        if on_error == "ignore":
            assert decision is None
        else:
            assert not decision.allowed
            assert server.url("/acl") in decision.rule
        await world.ask()
        assert len(server.asked) == 2, "it is not remembered"

    serve(lambda _: reply, work, on_error=on_error, seconds=0.3)


def test_answers_are_remembered_for_a_while():
    async def work(world, server):
        for _ in range(2):
            assert (await world.ask()).allowed
        assert len(server.asked) == 1
        for different in (
            {"topic": "u"},
            {"action": "subscribe"},
            {"name": "bob"},
        ):
            await world.ask(**different)
        assert len(server.asked) == 4
        world.clock.now += 10
        await world.ask()
        assert len(server.asked) == 5

    serve(lambda _: Reply(204), work)


def test_only_so_many_are_remembered():
    async def work(world, server):
        for topic in "abca":
            await world.ask(topic)
        assert len(server.asked) == 4
        assert len(world.subject._remembered) == 2

    serve(lambda _: Reply(204), work, remembered_max=2)


def test_none_is_remembered_where_that_is_asked_for():
    async def work(world, server):
        for _ in range(2):
            await world.ask()
        assert len(server.asked) == 2

    serve(lambda _: Reply(204), work, remember=0.0)


def test_one_question_is_asked_once_at_a_time():
    async def work(world, server):
        answers = await asyncio.gather(*[world.ask() for _ in range(5)])
        assert all(answer.allowed for answer in answers)
        assert len(server.asked) == 1
        assert world.subject._under_way == {}

    serve(lambda _: Reply(204), work)


def test_only_so_many_wait():
    async def work(world, server):
        first = asyncio.ensure_future(world.ask("a"))
        await asyncio.sleep(0)
        denied = await world.ask("b")
        assert "1 questions to answer already" in denied.rule
        assert (await first).allowed

    serve(lambda _: Reply(204), work, waiting_max=1)


def test_a_service_that_fails_is_left_alone():
    async def work(world, server):
        for _ in range(3):
            await world.ask()
        assert len(server.asked) == 2
        assert "left alone" in (await world.ask()).rule
        server.answer = lambda _: Reply(204)
        world.clock.now += 10
        assert (await world.ask()).allowed

    serve(lambda _: Reply(500), work, failures=2)


@pytest.mark.parametrize(
    ("service", "method", "path", "body"),
    [
        (
            {"method": "get"},
            "GET",
            "/acl?user=a+b&topic=x%2F%23%3F&action=subscribe",
            b"",
        ),
        (
            {"body_format": "form"},
            "POST",
            "/acl",
            b"user=a+b&topic=x%2F%23%3F&action=subscribe",
        ),
    ],
)
def test_how_it_is_asked(service, method, path, body):
    async def work(world, server):
        await world.ask("x/#?", "subscribe", "a b")
        (asked,) = server.asked
        assert (asked.method, asked.path, asked.body) == (method, path, body)
        assert asked.headers["x-who"] == "a%20b"

    serve(lambda _: Reply(204), work, headers=(("x-who", "${username}"),), **service)


def test_what_waits_at_the_end_is_answered():
    async def main(server):
        world = World(server.url())
        answer = world.subject.ask(question())
        await asyncio.sleep(0)
        await world.subject.stop()
        assert not (await answer).allowed

    with web_server(lambda _: HANG) as server:
        asyncio.run(main(server))
