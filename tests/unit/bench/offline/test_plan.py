from collections import Counter

import pytest

from rookery_bench.offline.plan import Plan


@pytest.mark.parametrize(
    ("sessions", "messages", "owners"), [(1, 1, 1), (7, 20, 1), (10, 23, 3), (9, 18, 9), (10, 3, 2)]
)
def test_what_is_owed_is_what_is_sent_in_turn(sessions: int, messages: int, owners: int) -> None:
    plan = Plan(sessions, messages, owners)
    sent = Counter(plan.topics[number % plan.groups] for number in range(messages))
    for session in range(sessions):
        assert plan.owed(session) == sent[plan.topic_of(session)]
    assert plan.owed_total == sum(plan.owed(session) for session in range(sessions))


def test_each_message_has_as_many_owners_as_asked() -> None:
    plan = Plan(40, 100, 10)
    assert Counter(map(plan.topic_of, range(40))) == dict.fromkeys(plan.topics, 10)
    assert plan.owed_total == 1_000


def test_sessions_subscribe_to_their_topic_and_no_other() -> None:
    own, groups = Plan(3, 1), Plan(4, 1, 2)
    assert [own.filter_of(session) for session in range(3)] == own.topics
    assert (own.profile, groups.profile) == ("own", "groups")
    assert [groups.filter_of(session) for session in (0, 1, 2)] == [
        "offline/groups/000000/#",
        "offline/groups/000000/#",
        "offline/groups/000001/#",
    ]
    assert groups.topics == ["offline/groups/000000/news", "offline/groups/000001/news"]


def test_all_topics_have_the_same_length() -> None:
    assert len({len(topic) for topic in Plan(2_000, 1).topics}) == 1


@pytest.mark.parametrize(
    ("sessions", "messages", "owners"),
    [(0, 1, 1), (1, 0, 1), (1, 1, 0), (2, 1, 3), (1_000_001, 1, 1), (1, 10_001, 1)],
)
def test_what_makes_no_sense_is_refused(sessions: int, messages: int, owners: int) -> None:
    with pytest.raises(ValueError, match=r"needs at least|at most 10000"):
        Plan(sessions, messages, owners)
