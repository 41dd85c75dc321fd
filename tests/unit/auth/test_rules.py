from ipaddress import ip_network

import pytest

from rookery.auth.rules import Action, Rule, RuleSet, Subject, lies_in
from rookery.ports import Principal

ANN = Principal("ann", client_id="c1")
BOB = Principal("bob", client_id="c2")
NOBODY = Principal(None, client_id="c3")


def authorizer(*rules: Rule, default_allow: bool = False) -> RuleSet:
    return RuleSet(
        [*rules, *[Rule(True, "all", each) for each in ("#", "$SYS/#")][: 2 * default_allow]]
    )


def publish(
    subject: RuleSet, topic: str, principal: Principal = ANN, qos: int = 1, retain: bool = False
) -> bool:
    rule = subject.publish(principal, topic, qos, retain)
    return rule is not None and rule.allow


def subscribe(
    subject: RuleSet, topic_filter: str, principal: Principal = ANN, qos: int = 1
) -> bool:
    rule = subject.subscribe(principal, topic_filter, qos)
    return rule is not None and rule.allow


def test_where_no_rule_applies_there_is_none() -> None:
    subject = authorizer(Rule(False, "all", "elsewhere/#"))
    assert subject.publish(ANN, "a", 0, False) is None
    assert subject.subscribe(ANN, "a/#", 0) is None


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
        Rule(True, "all", "of/ann", Subject(username="ann")),
        Rule(True, "all", "of/c2", Subject(client_id="c2")),
        Rule(True, "all", "of/both", Subject(username="ann", client_id="c2")),
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


def test_rules_of_users_clients_and_everybody_keep_their_order() -> None:
    general = Rule(False, "all", "t/#", origin="general")
    for early, late in (
        (Rule(True, "all", "t/1", Subject(username="ann")), general),
        (Rule(True, "all", "t/1", Subject(client_id="c1")), general),
    ):
        assert publish(authorizer(early, late), "t/1")
        assert not publish(authorizer(late, early), "t/1")
        assert not publish(authorizer(early, late), "t/1", BOB)


@pytest.mark.parametrize(
    ("subject", "fits", "differs"),
    [
        (Subject(group="ops"), {"groups": frozenset({"ops", "x"})}, {"groups": frozenset({"op"})}),
        (Subject(listener="tls"), {"listener": "tls"}, {"listener": "tcp"}),
        (Subject(anonymous=True), {"name": None}, {"name": "ann"}),
        (
            Subject(address=ip_network("10.1.0.0/16")),
            {"address": "10.1.2.3"},
            {"address": "10.2.2.3"},
        ),
        (
            Subject(attributes=(("jwt.role", "pump"), ("cert_common_name", "p7"))),
            {"attributes": {"jwt.role": "pump", "cert_common_name": "p7", "more": "x"}},
            {"attributes": {"jwt.role": "pump"}},
        ),
    ],
)
def test_other_subjects(subject: Subject, fits: dict, differs: dict) -> None:
    assert subject.is_about(Principal(**{"name": "ann", "client_id": "c"} | fits))
    assert not subject.is_about(Principal(**{"name": "ann", "client_id": "c"} | differs))


def test_an_address_is_one_address_however_it_is_written() -> None:
    network = ip_network("10.0.0.0/8")
    assert lies_in("::ffff:10.1.1.1", network)
    assert lies_in("fe80::1%eth0", ip_network("fe80::/10"))
    for other in ("::1", "11.0.0.1", "", "a host"):
        assert not lies_in(other, network)


def test_conditions_of_qos_and_retain() -> None:
    subject = authorizer(
        Rule(False, "all", "t", qos=frozenset({2})),
        Rule(False, "publish", "t", retain=True),
        default_allow=True,
    )
    assert publish(subject, "t", qos=1)
    assert not publish(subject, "t", qos=2)
    assert not publish(subject, "t", qos=0, retain=True)
    assert subscribe(subject, "t", qos=1)
    assert not subscribe(subject, "t", qos=2)
    assert not subscribe(subject, "+", qos=2)


def test_a_literal_rule_closes_one_filter() -> None:
    subject = authorizer(Rule(False, "subscribe", "#", literal=True), default_allow=True)
    assert not subscribe(subject, "#")
    assert subscribe(subject, "a/#")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"topic_filter": "a/#/b"}, "# stands last"),
        ({"retain": True}, "the action must be publish"),
        ({"literal": True, "topic_filter": "%u"}, "no placeholders"),
        ({"topic_filter": "${usrname}"}, "no placeholder"),
    ],
)
def test_what_is_no_rule_is_not_made(made: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Rule(**{"allow": True, "action": "all", "topic_filter": "t"} | made)


def test_a_rule_tells_what_it_says_and_where() -> None:
    rule = Rule(
        False,
        "publish",
        "t/%u",
        Subject("ann", "c", ip_network("::/0"), "g", "l", (("jwt.a", "b"),)),
        frozenset({0, 2}),
        True,
        origin="acl:7",
    )
    assert rule.decision().rule == (
        "acl:7: deny publish t/%u qos 0,2 retained "
        "(user ann, client c, address ::/0, group g, listener l, jwt.a=b)"
    )
    assert not rule.decision().allowed
    assert str(Rule(True, "all", "#", literal=True)) == "allow all # literal (all)"
    anonymous = Rule(True, "publish", "#", Subject(anonymous=True), retain=False)
    assert str(anonymous) == "allow publish # not retained (anonymous clients)"
