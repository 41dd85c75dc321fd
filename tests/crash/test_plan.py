"""The seed decides a round, and nothing else does."""

from tests.crash.plan import BRIEF_SECONDS, FATES, KILL_SECONDS_MAX, KILL_SECONDS_MIN, Plan, plan_of

PUBLISHERS = ("p1", "p2")
SUBSCRIBERS = ("s1", "s2", "s3")


def plan(seed: int, number: int) -> Plan:
    return plan_of(seed, number, PUBLISHERS, SUBSCRIBERS)


def test_the_seed_reproduces_a_round():
    assert plan(7, 42) == plan(7, 42)
    assert plan(7, 42) != plan(7, 43)
    assert plan(7, 42) != plan(8, 42)


def test_the_rare_ones_are_mostly_away():
    plans = [plan_of(1, number, PUBLISHERS, SUBSCRIBERS, ("s1",)) for number in range(200)]
    assert 20 < sum("s1" in each.attaching for each in plans) < 60


def test_every_round_is_possible():
    plans = [plan(1, number) for number in range(200)]
    for each in plans:
        assert KILL_SECONDS_MIN <= each.kill_seconds <= KILL_SECONDS_MAX
        assert set(PUBLISHERS) < set(each.attaching)
        assert len({*SUBSCRIBERS} - {*each.attaching}) == 1
        assert {churn.name for churn in each.churn} <= {*each.attaching}
    assert {death.fate for each in plans for death in each.deaths} == set(FATES)
    assert {each.brief_expiry_seconds for each in plans} == set(BRIEF_SECONDS)
    assert any(each.startup_kill_seconds is not None for each in plans)
    assert any(each.visitor_seconds is not None for each in plans)
