from ipaddress import ip_network

import pytest

from rookery.auth.access.file import AccessFault, AccessFile
from rookery.auth.access.rules import (
    add_rule,
    listed_rules,
    remove_rule,
    rule_of,
    rule_text,
    stored_rules,
)
from rookery.auth.rules import Rule, Subject

FULL = Rule(
    False,
    "publish",
    "t/${username}",
    Subject(
        "ann",
        "c",
        ip_network("10.0.0.0/8"),
        "ops",
        "tcp",
        (("cert_common_name", "x"), ("jwt.a", "b")),
    ),
    frozenset({1}),
    False,
)


def add(file, topic, before=None):
    with file.change("tester", 5.0) as change:
        return add_rule(change, Rule(True, "all", topic), before)


def order(file):
    return [(rule.origin.rpartition(" ")[2], rule.topic_filter) for rule in stored_rules(file)]


@pytest.mark.parametrize(
    "rule",
    [
        FULL,
        Rule(True, "all", "#"),
        Rule(True, "subscribe", "#", Subject(anonymous=True), literal=True),
    ],
)
def test_what_is_kept_comes_back(rule):
    found = rule_of(rule_text(rule), 7)
    assert str(found) == str(rule)
    assert (found.subject, found.qos, found.retain) == (rule.subject, rule.qos, rule.retain)
    assert found.origin == "access database, rule 7"


def test_in_order_and_before_others(tmp_path):
    file = AccessFile(tmp_path)
    assert (stored_rules(file), listed_rules(file)) == ([], [])
    assert [add(file, topic) for topic in "abc"] == [1, 2, 3]
    assert add(file, "first", before=1) == 1
    assert add(file, "middle", before=3) == 3
    assert add(file, "last") == 6
    assert order(file) == [
        ("1", "first"), ("2", "a"), ("3", "middle"), ("4", "b"), ("5", "c"), ("6", "last")
    ]  # fmt: skip
    assert listed_rules(file)[0][2] == 5.0
    with pytest.raises(KeyError):
        add(file, "x", before=9)
    assert len(order(file)) == 6


def test_removed_by_number(tmp_path):
    file = AccessFile(tmp_path)
    add(file, "a")
    with file.change("tester", 6.0) as change:
        assert remove_rule(change, 2) is None
        assert "topic_filter" in (remove_rule(change, 1) or "")
    assert order(file) == []
    assert add(file, "b") == 2  # A number once given means that rule.


def test_every_change_has_its_line(tmp_path):
    file = AccessFile(tmp_path)
    add(file, "a")
    with file.change("tester", 6.0) as change:
        remove_rule(change, 1)
    with file.reading() as connection:
        rows = connection.execute("SELECT at, by, action, target FROM audit").fetchall()
    assert rows == [(5.0, "tester", "acl add", "rule 1"), (6.0, "tester", "acl remove", "rule 1")]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"permission": "allow", "action": "x"}'])
def test_a_row_that_is_no_rule_is_told_with_the_remedy(text):
    with pytest.raises(AccessFault, match="rookery acl remove 3"):
        rule_of(text, 3)
