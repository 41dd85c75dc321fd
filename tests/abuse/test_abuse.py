"""The short form of ``make abuse``: nobody loses anything, and every attack meets the limit it is to meet.

How long things take is not judged here: other tests may run beside it.
"""

import asyncio

import pytest

from tests.abuse.attacks import ATTACKS, FILTERS, LEVELS, bomb
from tests.abuse.bystanders import Window, percentile
from tests.abuse.run import Outcome, Plan, lines, run

MET = {
    "half_open": "connections_refused{half_open}",
    "wrong_passwords": "bans_made{authentication_failures}",
    "never_reading": "messages_dropped{output_full}",
    "flood_fan_out": "clients_paced{client}",
    "many_filters": "",
}
"""The attacks, each with the counter that it must move, if there is one."""


def test_bystanders_lose_nothing():
    plan = Plan(
        tuple(MET),
        seconds=1.0,
        clients=20,
        per_second=200.0,
        settle_seconds=0.2,
        counters=MET,
        niceness=0,
        settings=(
            "limits.half_open_per_address_max=200",
            "limits.output_bytes_max=65536",
            "limits.client={messages_per_second_max: 1000}",
            "bans.failures={failures_max: 20}",
        ),
    )
    outcomes = asyncio.run(run(plan))
    report = "\n".join(line for outcome in outcomes for line in lines(outcome))
    assert [outcome.attack for outcome in outcomes] == ["nothing", *MET]
    for outcome in outcomes:
        assert (outcome.lost, outcome.faults) == (0, []), report
        assert outcome.window.latencies, report
        if MET.get(outcome.attack):
            assert outcome.counted.get(MET[outcome.attack], 0) > 0, report


@pytest.mark.parametrize(
    ("latencies", "lateness", "lost", "verdict"),
    [
        ([0.001] * 100, [0.0], 0, "met"),
        ([0.001] * 98 + [0.1] * 2, [0.0], 0, "missed"),
        ([0.001] * 98 + [0.1] * 2, [0.5], 0, "unclear"),
        ([0.001] * 100, [0.0], 1, "missed"),
    ],
)
def test_the_verdict(latencies, lateness, lost, verdict):
    outcome = Outcome("x", Window(latencies, lateness), lost)
    assert outcome.verdict == verdict
    assert verdict in next(lines(outcome))


def test_percentiles():
    assert percentile([], 0.5) == 0.0
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0, 0.5, 1.0)] == [1.0, 3.0, 4.0]


def test_bombs_differ_and_are_as_deep_as_they_may_be():
    bombs = {bomb(number) for number in range(3_000)}
    assert len(bombs) > 2_900
    assert {each.count("/") + 1 for each in bombs} == {LEVELS}
    assert len(ATTACKS) >= 10 and FILTERS == 10_000
