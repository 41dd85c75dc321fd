from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from rookery.auth import rules
from rookery.config.authorization import Authorization, Denied, Rule
from tests.support.config import problems

LEAST = {"permission": "allow", "action": "publish", "topic_filter": "t"}


def rule_problems(**more):
    data = {"authorization": {"rules": [LEAST | more]}}
    return [(path[-1], text) for path, text in problems(data)]


def test_a_rule_arrives_as_it_was_given():
    given = Rule(
        permission="deny",
        action="publish",
        topic_filter="t/${jwt.x}",
        username="ann",
        client_id="c",
        address="10.0.0.0/8",
        group="g",
        listener="l",
        attributes=("jwt.b=1=2", "cert_serial=7"),
        qos=(0, 2),
        retain=True,
    )
    made = given.made("f:1")
    assert made == rules.Rule(
        False,
        "publish",
        "t/${jwt.x}",
        rules.Subject(
            "ann",
            "c",
            ip_network("10.0.0.0/8"),
            "g",
            "l",
            (("cert_serial", "7"), ("jwt.b", "1=2")),
        ),
        frozenset({0, 2}),
        True,
        origin="f:1",
    )
    anonymous = Rule(**LEAST, anonymous=True).made("")
    assert (anonymous.subject.anonymous, anonymous.qos) == (True, rules.EVERY_QOS)


@pytest.mark.parametrize(
    ("more", "where", "text"),
    [
        ({"retain": True, "action": "all"}, "retain", "is only for rules whose action is publish"),
        ({"topic_filter": "${x}"}, "topic_filter", "there is no placeholder ${x}"),
        ({"literal": True, "topic_filter": "%u"}, "topic_filter", "no placeholders"),
        ({"anonymous": True, "username": "a"}, "username", "never that of an anonymous client"),
    ],
)
def test_what_does_not_go_together(more, where, text):
    ((place, told),) = rule_problems(**more)
    assert place == where
    assert text in told


@pytest.mark.parametrize(
    "more",
    [
        {"address": "10.0.0.1/8"},
        {"address": "x"},
        {"attributes": ["x"]},
        {"attributes": ["=x"]},
        {"qos": [3]},
        {"topic_filter": "$share/g/t"},
    ],
)
def test_what_is_refused(more):
    with pytest.raises(ValidationError):
        Rule(**LEAST | more)


def test_nothing_is_closed_unless_it_is_asked_for():
    assert Authorization().default is None
    assert (Denied().v5, Denied().v3) == ("reason_code", "ignore")
