from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rookery.auth.filters import covers, overlaps, split_filter

# Two letters stand for the endless alphabet: filters below use "a" and "b" only, so "x" is a level
# no filter names, and what holds for it holds for every other level. Filters have up to 3 levels,
# so topics of up to 5 show what "#" does beyond them.
WORDS = ["a", "b", "$d", "x", ""]
TOPICS = [list(levels) for size in range(1, 6) for levels in product(WORDS, repeat=size)]
TOPICS.remove([""])

FILTER_LEVELS = st.lists(st.sampled_from(["a", "b", "+", "", "$d"]), max_size=3)
FILTERS = st.tuples(FILTER_LEVELS, st.booleans()).map(
    lambda parts: parts[0] + (["#"] if parts[1] else [])
).filter(lambda levels: levels not in ([], [""]))  # fmt: skip


def plainly_matches(levels: list[str], topic: list[str]) -> bool:
    """The standard's matching, one level after the other, written to be plain."""
    if topic[0].startswith("$") and levels[0] in ("+", "#"):
        return False
    return plainly_matches_below(levels, topic)


def plainly_matches_below(levels: list[str], topic: list[str]) -> bool:
    if levels == ["#"]:
        return True  # Also where the topic ends at the parent level.
    if not levels or not topic:
        return not levels and not topic
    return levels[0] in ("+", topic[0]) and plainly_matches_below(levels[1:], topic[1:])


def topics_of(levels: list[str]) -> set[tuple[str, ...]]:
    return {tuple(topic) for topic in TOPICS if plainly_matches(levels, topic)}


@given(FILTERS, FILTERS)
@example(["+", "#"], ["#"])
@example(["a", "#"], ["a"])
@example(["a", "+", "#"], ["a", "#"])
@example(["#"], ["$d", "#"])
def test_covers_is_inclusion_of_the_matched_topics(wide: list[str], narrow: list[str]) -> None:
    expected = topics_of(narrow) <= topics_of(wide)
    assert covers(split_filter("/".join(wide)), split_filter("/".join(narrow))) == expected


@given(FILTERS, FILTERS)
@example(["a", "#"], ["a"])
@example(["+", "a"], ["$d", "a"])
@example(["+"], ["", "#"])
def test_overlaps_is_a_common_topic(one: list[str], other: list[str]) -> None:
    expected = bool(topics_of(one) & topics_of(other))
    left, right = split_filter("/".join(one)), split_filter("/".join(other))
    assert overlaps(left, right) == expected
    assert overlaps(right, left) == expected


@given(FILTERS, st.sampled_from(TOPICS))
def test_a_topic_name_is_covered_when_it_matches(levels: list[str], topic: list[str]) -> None:
    assert covers(split_filter("/".join(levels)), topic) == plainly_matches(levels, topic)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("sport/#", "sport", True),
        ("sport/#", "sport/+/x", True),
        ("sport/+", "sport/#", False),
        ("sport/+", "sport", False),
        ("+/+", "/finance", True),
        ("#", "$SYS/#", False),
        ("+/monitor", "$SYS/monitor", False),
        ("$SYS/#", "$SYS/monitor", True),
        ("+/#", "#", True),
        ("sport", "+", False),
    ],
)
def test_covers_by_example(wide: str, narrow: str, expected: bool) -> None:
    assert covers(split_filter(wide), split_filter(narrow)) == expected


@pytest.mark.parametrize("bad", ["", "a#", "a/+b", "#/a", "a/#/b"])
def test_what_is_no_filter_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"wildcard|last|at least one"):
        split_filter(bad)
