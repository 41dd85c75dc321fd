import asyncio

import pytest

from rookery.auth.authorizer import ChainAuthorizer
from rookery.auth.questions import Question
from rookery.auth.rules import Rule, RuleSet
from rookery.ports import Decision, Grant, Principal

ANN = Principal("ann", "c")


class Remote:
    """Gives one answer, and keeps what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def ask(self, question):
        self.asked.append(question)
        return self.answer


def chain(*sources, remote=None, default=None):
    authorizer = ChainAuthorizer()
    authorizer.replace(sources, remote, default)
    return authorizer


def both(authorizer, principal=ANN, topic="t"):
    decisions = (
        authorizer.may_publish(principal, topic, 1, False),
        authorizer.may_subscribe(principal, topic, 1),
    )
    assert decisions[0] == decisions[1]
    return decisions[0]


@pytest.mark.parametrize(
    ("sources", "default", "allowed"),
    [
        ([], None, True),
        ([None, None], None, True),
        ([RuleSet()], None, False),
        ([RuleSet([Rule(True, "all", "x")])], None, False),
        ([RuleSet()], "allow", True),
        ([], "deny", False),
    ],
)
def test_the_default(sources, default, allowed):
    decision = both(chain(*sources, default=default))
    assert decision.allowed is allowed
    assert "authorization.default" in decision.rule


def test_before_anything_is_configured_all_is_allowed():
    assert both(ChainAuthorizer()).allowed


def test_the_first_source_that_knows_decides():
    first = RuleSet([Rule(False, "all", "t", origin="one:1")])
    second = RuleSet([Rule(True, "all", "#", origin="two:1")])
    authorizer = chain(first, second)
    assert both(authorizer) == Decision(False, "one:1: deny all t (all)")
    assert both(authorizer, topic="u") == Decision(True, "two:1: allow all # (all)")


def test_a_superuser_is_asked_about_nowhere():
    principal = Principal("root", "c", superuser=True, grants=(Grant(False, "all", "#"),))
    remote = Remote(Decision(False, "remote"))
    assert both(chain(RuleSet([Rule(False, "all", "#")]), remote=remote), principal).allowed
    assert not remote.asked


class TestGrants:
    def test_they_are_asked_first(self):
        grants = (Grant(False, "all", "t/secret"), Grant(True, "all", "t/+"))
        principal = Principal("ann", "c", source="jwt", grants=grants)
        authorizer = chain(RuleSet([Rule(False, "all", "#")]))
        assert both(authorizer, principal, "t/1") == Decision(True, "granted by jwt: allow all t/+")
        assert not both(authorizer, principal, "t/secret").allowed
        assert not authorizer.may_subscribe(principal, "t/+", 0).allowed
        assert both(authorizer, principal, "u").rule == "deny all # (all)"

    def test_their_action_qos_and_retain(self):
        grants = (
            Grant(True, "publish", "p", qos_max=1, retain=False),
            Grant(True, "subscribe", "s", qos_max=1),
        )
        principal = Principal("ann", "c", grants=grants)
        authorizer = chain(default="deny")
        assert authorizer.may_publish(principal, "p", 1, False).allowed
        assert not authorizer.may_publish(principal, "p", 1, True).allowed
        assert not authorizer.may_publish(principal, "p", 2, False).allowed
        assert not authorizer.may_publish(principal, "s", 0, False).allowed
        assert authorizer.may_subscribe(principal, "s", 1).allowed
        assert not authorizer.may_subscribe(principal, "s", 2).allowed
        assert not authorizer.may_subscribe(principal, "p", 0).allowed

    def test_who_has_some_is_held_to_them_unless_the_default_is_given(self):
        principal = Principal("ann", "c", grants=(Grant(True, "all", "x"),))
        assert not both(chain(), principal).allowed
        assert both(chain(default="allow"), principal).allowed


class TestRemote:
    def test_it_is_asked_when_no_rule_knows(self):
        remote = Remote(Decision(True, "remote"))
        authorizer = chain(RuleSet([Rule(False, "all", "t")]), remote=remote)
        assert not both(authorizer).allowed
        assert not remote.asked
        assert authorizer.may_publish(ANN, "u", 2, True).rule == "remote"
        assert authorizer.may_subscribe(ANN, "u/#", 1).allowed
        assert remote.asked == [
            Question(ANN, "publish", "u", 2, True),
            Question(ANN, "subscribe", "u/#", 1, False),
        ]

    @pytest.mark.parametrize("answer", [Decision(True, "remote"), None])
    def test_an_answer_later(self, answer):
        async def later():
            return answer

        async def main():
            authorizer = chain(remote=Remote(later()))
            return await authorizer.may_publish(ANN, "t", 0, False)

        decision = asyncio.run(main())
        assert decision.allowed is (answer is not None)

    def test_where_it_does_not_know_the_default_decides(self):
        assert not both(chain(remote=Remote(None))).allowed
        assert both(chain(remote=Remote(None), default="allow")).allowed


def test_other_sources_raise_the_generation():
    authorizer = chain(RuleSet([Rule(True, "all", "#")]))
    before = authorizer.generation
    authorizer.replace([RuleSet()], None, None)
    assert authorizer.generation > before
    assert not both(authorizer).allowed
