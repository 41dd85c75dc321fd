"""The three settings are what a node takes, and they do what they say."""

import pytest

from rookery.auth.rules import RuleSet
from rookery.config.models import Config
from rookery.ports import Principal
from rookery_bench import access


@pytest.mark.parametrize("who", [access.open_to_all, access.users, access.guarded])
def test_a_node_takes_it(who):
    Config.model_validate(who())


def test_the_rule_that_decides_is_the_last_one():
    loaded = Config.model_validate(access.guarded()).authorization
    made = [rule.made("") for rule in loaded.rules]
    rules = RuleSet(made)
    who = Principal("bench", client_id="c", address="127.0.0.1")
    assert rules.publish(who, "bench/load/0001", 1, False) is made[-1]
    assert rules.subscribe(who, "bench/load/0001", 1) is made[-1]
    assert len(made) == access.RULES_BEFORE + 1


def test_a_change_of_one_is_not_a_change_of_the_next():
    access.users()["broker"]["node_id"] = "n"
    assert "node_id" not in access.users()["broker"]
