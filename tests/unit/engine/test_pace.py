import pytest

from rookery.engine.bucket import Bucket
from rookery.engine.pace import Bound, Pace
from rookery.mqtt.packets import PingReq
from tests.support.engine import publish


def messages(name: str, rate: float) -> Bound:
    return Bound(name, Bucket(rate, rate, 0.0), None)


def size(name: str, rate: float) -> Bound:
    return Bound(name, None, Bucket(rate, rate, 0.0))


MIXED = [PingReq(), publish("t"), PingReq(), publish("t"), PingReq()]


def test_without_a_bound_on_messages_all_may_be_stepped():
    assert Pace([size("client", 1.0)], "").steps_to(MIXED, 0, 0.0) == 5


def test_only_messages_are_paid_for_and_what_stands_behind_one_waits():
    pace = Pace([messages("client", 1.0)], "")
    assert pace.steps_to(MIXED, 0, 0.0) == 3
    assert pace.waits_until(0.0) == pytest.approx(1.0)
    assert pace.bound == "client"
    assert pace.steps_to(MIXED, 3, 0.5) == 3, "not yet"
    assert pace.waits_until(1.0) == 0.0
    assert pace.steps_to(MIXED, 3, 1.0) == 5


def test_what_was_put_off_is_not_paid_for_twice():
    pace = Pace([messages("client", 1.0)], "")
    held = [publish("t"), publish("t")]
    pace.steps_to(held, 0, 0.0)
    assert pace.steps_to(held, 0, 0.5) == 1, "the first one is paid for, but the turn was full"
    held += [publish("t")]
    assert pace.steps_to(held, 1, 1.0) == 2
    assert pace.waits_until(1.0) == pytest.approx(2.0)


def test_what_is_held_next_begins_anew():
    pace = Pace([messages("client", 10.0)], "")
    assert pace.steps_to([publish("t")] * 9, 0, 0.0) == 9
    pace.restart()
    assert pace.steps_to([publish("t")] * 2, 0, 0.0) == 1


def test_the_tightest_bound_decides():
    pace = Pace([messages("address", 2.0), messages("client", 1.0)], "")
    assert pace.steps_to([publish("t")] * 4, 0, 0.0) == 1
    assert pace.bound == "client"


def test_bytes_are_paid_for_after_they_were_read():
    pace = Pace([size("listener", 100.0)], "")
    pace.charge(100, 0.0)
    assert pace.waits_until(0.0) == 0.0
    pace.charge(50, 0.0)
    assert pace.waits_until(0.0) == pytest.approx(0.5)
    assert pace.bound == "listener"


def test_only_the_strict_bound_is_ever_exceeded():
    pace = Pace([messages("address", 1.0), messages("client", 2.0)], "client")
    pace.steps_to([publish("t")] * 2, 0, 0.0)
    assert not pace.exceeded
    pace.steps_to([publish("t")] * 9, 1, 1.0)
    assert not pace.exceeded
    for now in (2.0, 3.0):
        pace.steps_to([publish("t")] * 9, 2, now)
    assert not pace.exceeded, "the other one holds it below"
    strict = Pace([messages("address", 1.0), messages("client", 1.0)], "client")
    strict.steps_to([publish("t")] * 2, 0, 0.0)
    assert strict.exceeded


def test_a_bound_is_full_when_both_its_buckets_are():
    both = Bound("client", Bucket(1.0, 1.0, 0.0), Bucket(1.0, 1.0, 0.0))
    assert both.is_full(0.0)
    both.bytes.take(1, 0.0)
    assert not both.is_full(0.0)
    assert Bound("client", None, None).is_full(0.0)
