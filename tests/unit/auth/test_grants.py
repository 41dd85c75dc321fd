"""Both forms of an acl, and what is refused in them."""

import pytest

from rookery.auth.grants import GRANTS_MAX, GrantFault, read_grants
from rookery.ports import Grant
from tests.support.sources import attempt


def grants(value: object, **changed: object) -> tuple[Grant, ...]:
    return read_grants(value, attempt(**changed))  # type: ignore[arg-type]


def rule(**changed: object) -> dict[str, object]:
    return {"permission": "allow", "action": "publish", "topic": "a", **changed}


def test_the_short_form():
    found = grants({"pub": ["a", "b/#"], "sub": ["+/c"], "all": "d", "other": 1})
    assert found == (
        Grant(True, "publish", "a"),
        Grant(True, "publish", "b/#"),
        Grant(True, "subscribe", "+/c"),
        Grant(True, "all", "d"),
    )


def test_the_long_form_keeps_its_order():
    found = grants(
        [rule(permission="deny", action="all", topic="a/secret"), rule(topic=["a/#", "eq b"])]
    )
    assert found == (
        Grant(False, "all", "a/secret"),
        Grant(True, "publish", "a/#"),
        Grant(True, "publish", "b"),
    )


def test_places_for_the_client_are_filled():
    found = grants({"pub": ["u/${username}", "%c/%u"]})
    assert [grant.topic_filter for grant in found] == ["u/ann", "c1/ann"]


@pytest.mark.parametrize("name", ["+", "#", "a/+/b", "a/b", "/", "a/"])
def test_a_client_cannot_widen_its_grants(name):
    with pytest.raises(GrantFault, match="more than a piece"):
        grants({"pub": ["u/${username}"]}, username=name)


@pytest.mark.parametrize(
    ("qos", "ranges"),
    [
        (None, [(0, 2)]),
        (1, [(1, 1)]),
        ([1, 0], [(0, 1)]),
        ([2, 0], [(0, 0), (2, 2)]),
        ([0, 1, 2], [(0, 2)]),
    ],
)
def test_qualities_of_service_are_taken_exactly(qos, ranges):
    found = grants([rule(qos=qos)])
    assert [(grant.qos_min, grant.qos_max) for grant in found] == ranges


@pytest.mark.parametrize(
    ("retain", "meant"), [(None, None), ("all", None), (True, True), (False, False)]
)
def test_retain(retain, meant):
    (grant,) = grants([rule(retain=retain)])
    assert grant.retain is meant


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("a", "neither an object nor a list"),
        ([1], "no object"),
        ([rule(permission="perhaps")], "'perhaps'"),
        ([rule(action="listen")], "publish, subscribe, all"),
        ([rule(action=["publish"])], "action"),
        ([{"permission": "allow", "action": "all"}], "no topic"),
        ([rule(topic=5)], "no text"),
        ([rule(topic="a/#/b")], "no topic filter"),
        ([rule(topic="")], "no topic filter"),
        ([rule(topic="${nothing}")], "nothing"),
        ([rule(topic="eq a/#")], "eq is not"),
        ([rule(qos=3)], "qos 3"),
        ([rule(qos=True)], "qos True"),
        ([rule(qos=[])], "qos"),
        ([rule(qos=[1, "2"])], "qos"),
        ([rule(retain=1)], "retain 1"),
        ({"pub": {"a": 1}}, "no text"),
        ({"pub": ["a"] * (GRANTS_MAX + 1)}, "more than 1000"),
    ],
)
def test_what_is_not_understood_is_refused_as_a_whole(value, fault):
    with pytest.raises(GrantFault, match=fault):
        grants(value)


def test_a_name_does_not_reach_the_nodes_own_topics():
    with pytest.raises(GrantFault, match=r"begins with \$"):
        grants({"sub": ["${username}/#"]}, username="$SYS")
    assert grants({"sub": ["$SYS/${username}"]}, username="a")[0].topic_filter == "$SYS/a"
