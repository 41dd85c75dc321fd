"""Fixtures of the conformance tests: connections that close themselves, names nobody else uses."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.broker import Broker, broker, broker_with
from tests.support.wire import V3_1_1, V5
from tests.support.wire_client import Client, tcp

__all__ = ["broker", "broker_with"]

_numbers = itertools.count(1)


@pytest.fixture(params=[V3_1_1, V5], ids=["v311", "v5"])
def version(request: pytest.FixtureRequest) -> int:
    """The protocol version of a test that shows a rule of both."""
    return int(request.param)


@pytest.fixture
def name() -> str:
    """A topic name, and the beginning of client ids, that no other test uses."""
    return f"t{next(_numbers)}"


@pytest.fixture
def open_link(
    broker: Broker, broker_with: Callable[..., Broker]
) -> Iterator[Callable[..., Client]]:
    """Open network connections; nothing is sent yet. They close with the test.

    They close before a broker of the test's own stops (that is why ``broker_with`` is asked for here), so
    that it need not wait for them.
    """
    with ExitStack() as stack:

        def open_link(version: int = V5, at: Broker | None = None) -> Client:
            where = at or broker
            return stack.enter_context(Client(tcp((where.host, where.port)), version))

        yield open_link


@pytest.fixture
def connect(open_link: Callable[..., Client]) -> Callable[..., Client]:
    """Connect clients: a client id nobody uses unless one is given, and a new session.

    ``persistent=True`` resumes the session or begins one that outlives the connection.
    """

    def connect(
        client_id: str | None = None,
        *,
        version: int = V5,
        at: Broker | None = None,
        persistent: bool = False,
        **options: Any,
    ) -> Client:
        client = open_link(version, at)
        if persistent:
            options.setdefault("clean", False)
            options["properties"] = {"session_expiry": 300, **(options.get("properties") or {})}
        client.connect(f"c{next(_numbers)}" if client_id is None else client_id, **options)
        return client

    return connect


@pytest.fixture
def a_while(connect: Callable[..., Client]) -> Callable[[], None]:
    """Let more than a second pass by the broker's own clock: until it sends a silent client away."""

    def a_while() -> None:
        connect(keep_alive=1).expect_closed(0x8D)

    return a_while
