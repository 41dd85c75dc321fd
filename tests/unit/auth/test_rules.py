import pytest

from rookery.auth.rules import Action, Rule, RulesAuthorizer
from rookery.ports import Authorizer, Principal

ANN = Principal("ann", client_id="c1")
BOB = Principal("bob", client_id="c2")
NOBODY = Principal(None, client_id="c3")


def authorizer(*rules: Rule, default_allow: bool = False) -> Authorizer:
    return RulesAuthorizer(rules, default_allow)


def publish(subject: Authorizer, topic: str, principal: Principal = ANN) -> bool:
    return subject.may_publish(principal, topic, 1, False).allowed


def subscribe(subject: Authorizer, topic_filter: str, principal: Principal = ANN) -> bool:
    return subject.may_subscribe(principal, topic_filter, 1).allowed


@pytest.mark.parametrize("default_allow", [True, False])
def test_without_a_rule_the_default_decides(default_allow: bool) -> None:
    elsewhere = Rule(not default_allow, "all", "elsewhere/#")
    subject = authorizer(elsewhere, default_allow=default_allow)
    assert publish(subject, "a") is default_allow
    assert subscribe(subject, "a/#") is default_allow


@pytest.mark.parametrize(
    ("action", "publishes", "subscribes"),
    [("publish", True, False), ("subscribe", False, True), ("all", True, True)],
)
def test_a_rule_is_for_its_action(action: Action, publishes: bool, subscribes: bool) -> None:
    subject = authorizer(Rule(True, action, "a/+"))
    assert publish(subject, "a/b") is publishes
    assert subscribe(subject, "a/b") is subscribes


def test_the_first_rule_that_applies_wins() -> None:
    deny, allow = Rule(False, "all", "a/b"), Rule(True, "all", "a/#")
    assert not publish(authorizer(deny, allow), "a/b")
    assert publish(authorizer(deny, allow), "a/c")
    assert publish(authorizer(allow, deny), "a/b")
    assert subscribe(authorizer(allow, deny), "a/b")
    assert not subscribe(authorizer(deny, allow), "a/b")


def test_a_rule_is_for_its_user_and_client() -> None:
    subject = authorizer(
        Rule(True, "all", "of/ann", username="ann"),
        Rule(True, "all", "of/c2", client_id="c2"),
        Rule(True, "all", "of/both", username="ann", client_id="c2"),
    )
    for topic, allowed in (("of/ann", [ANN]), ("of/c2", [BOB]), ("of/both", [])):
        assert [who for who in (ANN, BOB, NOBODY) if publish(subject, topic, who)] == allowed
        assert [who for who in (ANN, BOB, NOBODY) if subscribe(subject, topic, who)] == allowed


def test_an_allowing_rule_must_cover_what_is_asked_for() -> None:
    subject = authorizer(Rule(True, "subscribe", "a/+"))
    assert subscribe(subject, "a/+")
    assert subscribe(subject, "a/b")
    assert not subscribe(subject, "a/#")
    assert not subscribe(subject, "#")
    assert not subscribe(subject, "+/b")


@pytest.mark.parametrize("asked", ["secret/x", "secret", "secret/+", "#", "+", "+/x", "+/#"])
def test_a_denying_rule_stops_wildcards_that_would_open_it(asked: str) -> None:
    subject = authorizer(Rule(False, "subscribe", "secret/#"), default_allow=True)
    assert not subscribe(subject, asked)
    assert subscribe(subject, "open/#")


def test_a_narrow_permission_before_a_wide_refusal() -> None:
    subject = authorizer(
        Rule(True, "all", "secret/public"), Rule(False, "all", "secret/#"), default_allow=True
    )
    assert subscribe(subject, "secret/public")
    assert publish(subject, "secret/public")
    assert not subscribe(subject, "secret/+")
    assert not publish(subject, "secret/other")


def test_a_leading_wildcard_says_nothing_of_dollar_topics() -> None:
    subject = authorizer(Rule(True, "all", "#"))
    assert publish(subject, "a")
    assert not publish(subject, "$SYS/a")
    assert not subscribe(subject, "$SYS/#")
    closed = authorizer(Rule(False, "all", "$SYS/#"), default_allow=True)
    assert subscribe(closed, "#")
    assert not subscribe(closed, "$SYS/+")


def test_other_rules_raise_the_generation() -> None:
    subject = RulesAuthorizer([Rule(True, "all", "#")], default_allow=False)
    before = subject.generation
    assert publish(subject, "a")
    subject.replace([Rule(False, "all", "a")], default_allow=True)
    assert subject.generation > before
    assert not publish(subject, "a")
    assert publish(subject, "b")


def test_a_rule_with_a_bad_filter_is_not_made() -> None:
    with pytest.raises(ValueError, match="# stands last"):
        Rule(True, "all", "a/#/b")
