"""Which member of a share group gets a message."""

from collections import Counter

import pytest

from rookery.routing.shared import (
    LEAST_INFLIGHT,
    RANDOM,
    ROUND_ROBIN,
    STICKY,
    STRATEGIES,
    ShareGroup,
    share_key,
)
from rookery.routing.subscriber import Subscription, recipient_of
from tests.support.subscribers import FakeSession


def group_of(strategy: str, *sessions: FakeSession) -> ShareGroup:
    group = ShareGroup("g", "t/#", strategy)
    for session in sessions:
        assert group.put(recipient_of(session, Subscription("t/#", 1)))
    return group


def picks(group: ShareGroup, count: int) -> str:
    return "".join(group.pick(chance).subscriber.client_id for chance in range(count))


def sessions(names: str) -> list[FakeSession]:
    """Sessions of these names; those in upper case are attached."""
    return [FakeSession(name, attached=name.isupper()) for name in names]


def test_is_known_by_what_a_client_writes():
    group = ShareGroup("g", "t/#", ROUND_ROBIN)
    assert (group.name, group.topic_filter) == ("g", "t/#")
    assert group.key == share_key("g", "t/#") == "$share/g/t/#"


def test_refuses_a_strategy_that_does_not_exist():
    with pytest.raises(ValueError, match="'fair' is none of round_robin, random"):
        ShareGroup("g", "t", "fair")


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestAnyStrategy:
    def test_an_empty_group_has_nobody(self, strategy):
        assert ShareGroup("g", "t", strategy).pick(5) is None

    def test_one_member_gets_all(self, strategy):
        assert picks(group_of(strategy, *sessions("A")), 3) == "AAA"

    def test_the_attached_go_before_the_detached(self, strategy):
        assert set(picks(group_of(strategy, *sessions("abCde")), 20)) == {"C"}

    def test_one_gets_it_even_if_all_are_detached(self, strategy):
        assert set(picks(group_of(strategy, *sessions("abc")), 30)) <= set("abc")

    def test_the_excluded_is_passed_over(self, strategy):
        members = sessions("ABC")
        group = group_of(strategy, *members)
        picked = {group.pick(chance, members[1]).subscriber.client_id for chance in range(30)}
        assert "B" not in picked

    def test_the_excluded_is_passed_over_for_a_detached_one(self, strategy):
        members = sessions("Ab")
        group = group_of(strategy, *members)
        assert group.pick(0).subscriber is members[0]
        assert group.pick(0, members[0]).subscriber is members[1]

    def test_nobody_is_left_when_the_only_member_is_excluded(self, strategy):
        for member in sessions("Aa"):
            group = group_of(strategy, member)
            group.pick(0)
            assert group.pick(0, member) is None

    def test_the_options_of_a_member_can_change(self, strategy):
        members = sessions("A")
        group = group_of(strategy, *members)
        assert not group.put(recipient_of(members[0], Subscription("t/#", 2, identifier=4)))
        assert group.member_count() == 1
        recipient = group.pick(0)
        assert (recipient.qos_max, recipient.identifiers) == (2, (4,))

    def test_who_left_is_never_picked(self, strategy):
        members = sessions("ABC")
        group = group_of(strategy, *members)
        group.pick(0)
        assert group.remove(members[0])
        assert not group.remove(members[0])
        assert group.member_count() == 2
        assert "A" not in picks(group, 20)
        assert group.remove(members[2])
        assert group.remove(members[1])
        assert group.pick(0) is None


class TestRoundRobin:
    def test_takes_turns(self):
        assert picks(group_of(ROUND_ROBIN, *sessions("ABC")), 7) == "ABCABCA"

    def test_takes_turns_among_the_detached(self):
        assert picks(group_of(ROUND_ROBIN, *sessions("abc")), 7) == "abcabca"

    @pytest.mark.parametrize("leaver", range(5))
    @pytest.mark.parametrize("served", range(6))
    def test_a_leaver_changes_nobody_elses_turn(self, leaver, served):
        members = sessions("ABCDE")
        group = group_of(ROUND_ROBIN, *members)
        got = picks(group, served)
        group.remove(members[leaver])
        waiting = set("ABCDE") - set(got) - {members[leaver].client_id}
        assert set(picks(group, len(waiting))) == waiting
        assert sorted(picks(group, 4)) == sorted(set("ABCDE") - {members[leaver].client_id})


class TestRandom:
    def test_follows_the_chance(self):
        group = group_of(RANDOM, *sessions("ABC"))
        assert Counter(picks(group, 30)) == {"A": 10, "B": 10, "C": 10}

    def test_is_even_among_the_attached(self):
        group = group_of(RANDOM, *sessions("abCdE"))
        assert Counter(picks(group, 100)) == {"C": 50, "E": 50}


class TestSticky:
    def test_stays_with_one(self):
        assert picks(group_of(STICKY, *sessions("ABC")), 5) == "AAAAA"

    def test_moves_on_when_that_one_is_detached_and_does_not_come_back(self):
        members = sessions("ABC")
        group = group_of(STICKY, *members)
        assert picks(group, 2) == "AA"
        members[0].attached = False
        assert picks(group, 3) == "BBB"
        members[0].attached = True
        assert picks(group, 2) == "BB"

    def test_stays_with_the_detached_one_when_all_are(self):
        members = sessions("ABC")
        group = group_of(STICKY, *members)
        assert picks(group, 1) == "A"
        for member in members:
            member.attached = False
        assert picks(group, 3) == "AAA"
        members[2].attached = True
        assert picks(group, 3) == "CCC"

    def test_moves_on_when_that_one_leaves(self):
        members = sessions("AB")
        group = group_of(STICKY, *members)
        assert picks(group, 1) == "A"
        group.remove(members[0])
        assert picks(group, 2) == "BB"


class TestLeastInflight:
    def test_takes_who_has_the_fewest(self):
        members = sessions("ABC")
        for member, inflight in zip(members, (3, 1, 2), strict=True):
            member.inflight = inflight
        group = group_of(LEAST_INFLIGHT, *members)
        assert picks(group, 2) == "BB"
        members[1].inflight = 9
        assert picks(group, 2) == "CC"

    def test_takes_turns_where_several_have_as_few(self):
        assert picks(group_of(LEAST_INFLIGHT, *sessions("ABC")), 6) == "ABCABC"

    def test_asks_no_detached_member(self):
        members = sessions("aB")
        members[1].inflight = 5
        assert picks(group_of(LEAST_INFLIGHT, *members), 2) == "BB"


def test_tells_its_members():
    one, other = sessions("aB")
    group = group_of(ROUND_ROBIN, one, other)
    members = group.members()
    assert {member.subscriber for member in members} == {one, other}
    members.clear()
    assert group.member_count() == 2
