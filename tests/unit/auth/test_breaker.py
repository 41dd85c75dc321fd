"""A server that fails is left alone, and asked again by one client at a time."""

import pytest
from structlog.testing import capture_logs

from rookery.auth.breaker import Breaker, without_server
from rookery.auth.source import NotKnown
from rookery.mqtt.types import ReasonCode
from rookery.ports import Refused
from tests.support.sources import TurnedClock


def test_after_failures_in_a_row():
    clock = TurnedClock()
    breaker = Breaker("http", clock, 3, 10)
    for _ in range(2):
        breaker.failed("no answer")
    breaker.succeeded()
    for _ in range(2):
        breaker.failed("no answer")
    assert breaker.allows() and breaker.allows()
    with capture_logs() as logs:
        breaker.failed("no answer")
        breaker.failed("no answer")
    assert [(line["event"], line["source"], line["problem"]) for line in logs] == [
        ("authentication_server_left_alone", "http", "no answer")
    ]
    clock.now += 9.9
    assert not breaker.allows()


def test_one_tries_whether_it_is_back():
    clock = TurnedClock()
    breaker = Breaker("http", clock, 1, 10)
    breaker.failed("no answer")
    clock.now += 10
    assert breaker.allows()
    assert not breaker.allows()  # The one that tries has not come back yet.
    clock.now += 10
    assert breaker.allows()  # It seems lost: another one.
    with capture_logs() as logs:
        breaker.succeeded()
    assert [line["event"] for line in logs] == ["authentication_server_back"]
    assert breaker.allows() and breaker.allows()


@pytest.mark.parametrize(
    ("on_error", "verdict"),
    [("deny", Refused(ReasonCode.SERVER_UNAVAILABLE, "x")), ("ignore", NotKnown("x"))],
)
def test_what_is_decided_without_it(on_error, verdict):
    assert without_server(on_error, "x") == verdict
