"""Topic names and topic filters: what they are and what matches."""

import pytest

from rookery.mqtt.topics import matches, split_share, validate_topic_filter, validate_topic_name

LEVELS = 128


@pytest.mark.parametrize("topic", ["a", "/", "//", "a/b", " ", "$SYS/x", "ü/𝄞", "$share/g/x", "a$"])
def test_topic_names(topic):
    assert validate_topic_name(topic)


@pytest.mark.parametrize("topic", ["", "#", "+", "a/#", "a+b", "a/+/b", "a\0b", "\0"])
def test_what_is_no_topic_name(topic):
    assert not validate_topic_name(topic)


@pytest.mark.parametrize(
    "topic_filter",
    "a / // a/b # + +/+ +/a/# /# a/# /+ $SYS/# $share/g/a $share/g/# $share/g// $share $shared/a"
    " a$ a/$share/b".split(),
)
def test_topic_filters(topic_filter):
    assert validate_topic_filter(topic_filter, LEVELS)


@pytest.mark.parametrize(
    "topic_filter",
    "a# a/b# #/a a/#/b ## +a a+ a/b+/c ++ a/+# $share/ $share/g $share/g/ $share//a $share/+/a"
    " $share/#/a $share/g+/a $share/g/a# $share/g/+a a\0".split(),
)
def test_what_is_no_topic_filter(topic_filter):
    assert not validate_topic_filter(topic_filter, LEVELS)


def test_an_empty_text_is_no_topic_filter():
    assert not validate_topic_filter("", LEVELS)


def test_levels_are_limited():
    assert validate_topic_filter("a/b/c", 3)
    assert not validate_topic_filter("a/b/c/d", 3)
    assert not validate_topic_filter("a/b/c/", 3)


def test_the_levels_of_a_shared_subscription_are_those_of_its_filter():
    assert validate_topic_filter("$share/g/a/b/c", 3)
    assert not validate_topic_filter("$share/g/a/b/c/d", 3)


@pytest.mark.parametrize(
    ("topic_filter", "expected"),
    [
        ("$share/g/a/b", ("g", "a/b")),
        ("$share/g//", ("g", "/")),
        ("$share/g/#", ("g", "#")),
        ("$share/a b/x", ("a b", "x")),
        ("a/b", None),
        ("$share", None),
        ("$Share/g/a", None),
        ("$share/", None),
        ("$share/g", None),
        ("$share/g/", None),
        ("$share//a", None),
        ("$share/+/a", None),
        ("$share/g#/a", None),
        ("/$share/g/a", None),
    ],
)
def test_split_share(topic_filter, expected):
    assert split_share(topic_filter) == expected


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("a/b", "a/b"),
        ("#", "a"),
        ("#", "a/b/c"),
        ("#", "/"),
        ("a/#", "a"),
        ("a/#", "a/b"),
        ("a/#", "a/b/c"),
        ("a/#", "a/"),
        ("+", "a"),
        ("+/+", "/a"),
        ("/+", "/a"),
        ("+/b", "a/b"),
        ("a/+/c", "a//c"),
        ("a/+", "a/"),
        ("+/#", "a"),
        ("$SYS/#", "$SYS/a"),
        ("$SYS/+", "$SYS/a"),
        ("a/+", "a/$b"),
        ("a/#", "a/$b"),
        ("Ü", "Ü"),
    ],
)
def test_matches(topic_filter, topic):
    assert matches(topic_filter, topic)


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("a", "b"),
        ("a", "A"),
        ("a/b", "a"),
        ("a", "a/b"),
        ("a", "a/"),
        ("a", "/a"),
        ("a/#", "ab"),
        ("a/#", "b"),
        ("+", "/a"),
        ("+", "a/b"),
        ("a/+", "a"),
        ("a/+/c", "a/b/d"),
        ("#", "$SYS"),
        ("#", "$SYS/a"),
        ("+/a", "$SYS/a"),
        ("+", "$SYS"),
        ("\u00e9", "e\u0301"),
    ],
)
def test_does_not_match(topic_filter, topic):
    assert not matches(topic_filter, topic)
