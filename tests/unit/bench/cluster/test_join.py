import json

import pytest

from rookery_bench.cluster.join import Routes, links_up, medians


def test_every_filter_is_another_one_and_matches_its_topic() -> None:
    routes = Routes(3, 4)
    filters = [each for session in range(3) for each in routes.filters_of(session)]
    topics = [each for session in range(3) for each in routes.topics_of(session)]
    assert len(set(filters)) == len(set(topics)) == routes.total == 12
    for topic_filter, topic in zip(filters, topics, strict=True):
        assert topic_filter in (topic, topic.removesuffix("value") + "+")
    assert sum(each.endswith("+") for each in filters) == 6


def test_rounds_are_summed_up_and_the_worst_stays_the_worst() -> None:
    found = medians([{"ready s": 1, "x max ms": 5}, {"ready s": 2}, {"ready s": 9, "x max ms": 7}])
    assert found == {"ready s": 2, "x max ms": 7}
    assert medians([{"ready s": None}]) == {"ready s": None}
    assert medians([]) == {}


@pytest.mark.parametrize(
    ("links", "up"), [(["up", "up"], [True, True]), (["up", "down"], [True, False])]
)
def test_a_member_without_link_is_not_reached(links: list[str], up: list[bool]) -> None:
    assert links_up(json.dumps({"members": [{"link": each} for each in links]})) == up
