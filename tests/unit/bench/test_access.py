"""The three settings are what a node takes, and they do what they say."""

import pytest

from rookery.config.models import Config
from rookery_bench import access


@pytest.mark.parametrize("who", [access.open_to_all, access.users, access.guarded])
def test_a_node_takes_it(who):
    Config.model_validate(who())


def test_the_rule_that_decides_is_the_last_one():
    rules = access.guarded()["authorization"]["rules"]
    deciding = [rule for rule in rules if rule["topic_filter"] in ("bench/#", "#")]
    assert deciding[-1] == rules[-1]
    assert all(rule.get("username", "").startswith("user-") for rule in deciding[:-1])
    assert len(rules) == access.RULES_BEFORE + 1


def test_a_change_of_one_is_not_a_change_of_the_next():
    access.users()["broker"]["node_id"] = "n"
    assert "node_id" not in access.users()["broker"]
