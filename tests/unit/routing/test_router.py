"""Which sessions a topic name reaches."""

import pytest

from rookery.routing.cache import RECIPIENTS_MAX
from rookery.routing.router import SEARCH_STEPS_MAX, Router
from rookery.routing.shared import STICKY
from rookery.routing.subscriber import Subscription
from rookery.routing.wide import SPREAD_AT_KEYS
from tests.support.subscribers import FakeSession


def reached(router: Router, topic: str) -> list[str]:
    return sorted(each.subscriber.client_id for each in router.match(topic).recipients)


def groups(router: Router, topic: str) -> list[str]:
    return sorted(group.key for group in router.match(topic).shares)


def is_empty(router: Router) -> bool:
    """Whether nothing is left behind; what is inside cannot be seen in the compiled router."""
    if router.subscription_count or router.share_count or router.filter_count:
        return False
    root = getattr(router, "_root", None)
    if root is None:
        return True
    return root.count == 0 and root.plus is None and root.rest is None and router._exact.count == 0


class TestDeepNames:
    """Filters that differ only in where they have their wildcards make every level lead to two."""

    def bombed(self, levels: int, *more: str) -> Router:
        router = Router()
        subscriber = FakeSession("bomber")
        for number in range(2_000):
            bits = f"{number:011b}" * 20
            parts = ["+" if bit == "1" else "a" for bit in bits[: levels - 1]]
            router.subscribe(subscriber, Subscription("/".join([*parts, "never"]), 0), None)
        for topic_filter in more:
            router.subscribe(FakeSession(topic_filter), Subscription(topic_filter, 0), None)
        return router

    def test_the_search_is_given_up(self):
        router = self.bombed(128, "#")
        router.searched = 0
        matches = router.match("a/" * 127 + "x")
        assert matches.cut_short
        assert (matches.recipients, matches.shares) == ([], [])
        assert SEARCH_STEPS_MAX < router.searched < 2 * SEARCH_STEPS_MAX
        router.searched = 0
        assert router.match("a/" * 127 + "x") is matches
        assert router.searched == 0, "it is known"

    def test_not_at_the_start(self):
        router = self.bombed(128, "#", "a/#")
        whole = router.match_whole("a/" * 127 + "x")
        assert sorted(each.subscriber.client_id for each in whole.recipients) == ["#", "a/#"]
        assert router.match_whole("a/b") is router.match("a/b")

    @pytest.mark.parametrize("levels", [1, 2, 8, 14])
    def test_never_of_a_name_of_so_many_levels(self, levels: int):
        router = Router()
        subscriber = FakeSession("bomber")
        for number in range(2 ** min(levels, 11)):
            bits = f"{number:0{levels}b}"
            parts = ["+" if bit == "1" else "a" for bit in bits]
            router.subscribe(subscriber, Subscription("/".join([*parts, "#"]), 0), None)
        assert sum(2**level for level in range(14)) <= SEARCH_STEPS_MAX
        assert not router.match("/".join(["a"] * levels)).cut_short

    def test_others_are_found_as_ever(self):
        router = self.bombed(128, "b/+")
        assert reached(router, "b/c") == ["b/+"]


MATCHING = [
    ("a", "a"),
    ("a/b/c", "a/b/c"),
    ("+", "a"),
    ("#", "a"),
    ("#", "a/b"),
    ("#", "/"),
    ("a/#", "a"),
    ("a/#", "a/b/c"),
    ("a/+", "a/b"),
    ("a/+", "a/"),
    ("+/+", "/"),
    ("/+", "/finance"),
    ("+/+", "/finance"),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
    ("+/b/#", "a/b"),
    ("a/+/c/#", "a/b/c/d"),
    ("$SYS/#", "$SYS/a"),
    ("$SYS/+", "$SYS/a"),
    ("a/#", "a/$b"),
    ("a/+", "a/$b"),
    ("+/+/+", "//"),
    ("a/+/#", "a/b"),
]

NOT_MATCHING = [
    ("a", "A"),
    ("a", "a/"),
    ("a", "/a"),
    ("a/+", "a"),
    ("+", "/finance"),
    ("a/+/#", "a"),
    ("a/b/#", "a"),
    ("a/+/c", "a/b/d"),
    ("+/b", "a/b/c"),
    ("#", "$SYS"),
    ("#", "$SYS/a"),
    ("+/a", "$SYS/a"),
    ("+", "$SYS"),
    ("+/#", "$SYS/a"),
    ("a/b", "a/+"),
]


@pytest.mark.clause("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.2-1", "MQTT-4.7.3-4")
class TestMatching:
    @pytest.mark.parametrize(("topic_filter", "topic"), MATCHING)
    def test_matches(self, topic_filter, topic):
        router = Router()
        assert router.subscribe(FakeSession("a"), Subscription(topic_filter, 0), None)
        assert reached(router, topic) == ["a"]
        router.subscribe(FakeSession("b"), Subscription(topic_filter, 0), "g")
        assert groups(router, topic) == [f"$share/g/{topic_filter}"]

    @pytest.mark.parametrize(("topic_filter", "topic"), NOT_MATCHING)
    def test_does_not_match(self, topic_filter, topic):
        router = Router()
        router.subscribe(FakeSession("a"), Subscription(topic_filter, 0), None)
        router.subscribe(FakeSession("b"), Subscription(topic_filter, 0), "g")
        assert reached(router, topic) == []
        assert groups(router, topic) == []

    def test_all_sessions_of_a_filter_are_reached(self):
        router = Router()
        for name in "abc":
            router.subscribe(FakeSession(name), Subscription("t/+", 0), None)
        router.subscribe(FakeSession("d"), Subscription("t/1", 0), None)
        assert reached(router, "t/1") == ["a", "b", "c", "d"]

    def test_two_sessions_of_one_client_id_are_two(self):
        router = Router()
        former, present = FakeSession("a"), FakeSession("a")
        router.subscribe(former, Subscription("t", 0), None)
        router.subscribe(present, Subscription("t", 0), None)
        assert router.unsubscribe(former, "t", None)
        assert [each.subscriber for each in router.match("t").recipients] == [present]


class TestOverlapping:
    @pytest.mark.clause("MQTT-3.3.4-2", "MQTT-3.3.4-4")
    def test_a_session_is_one_recipient(self):
        router = Router()
        session = FakeSession("a")
        router.subscribe(session, Subscription("t/1", 0, no_local=True, identifier=5), None)
        router.subscribe(session, Subscription("t/+", 2, identifier=3), None)
        router.subscribe(session, Subscription("#", 1, retain_as_published=True), None)
        router.subscribe(FakeSession("b"), Subscription("#", 1), None)
        recipients = router.match("t/1").recipients
        assert [each.subscriber.client_id for each in recipients] in (["a", "b"], ["b", "a"])
        merged = next(each for each in recipients if each.subscriber is session)
        assert (merged.qos_max, merged.no_local, merged.retain_as_published) == (2, True, True)
        assert merged.identifiers == (3, 5)
        own = merged.own
        assert own is not None
        assert (own.qos_max, own.no_local, own.identifiers) == (2, False, (3,))

    def test_merging_leaves_the_subscriptions_as_they_are(self):
        router = Router()
        session = FakeSession("a")
        router.subscribe(session, Subscription("t", 2, identifier=1), None)
        router.subscribe(session, Subscription("+", 0, identifier=2), None)
        router.match("t")
        router.unsubscribe(session, "t", None)
        only = router.match("t").recipients[0]
        assert (only.qos_max, only.identifiers) == (0, (2,))

    def test_a_shared_subscription_is_apart(self):
        router = Router()
        session = FakeSession("a")
        router.subscribe(session, Subscription("t", 2, identifier=1), None)
        router.subscribe(session, Subscription("t", 0, identifier=2), "g")
        matches = router.match("t")
        assert matches.recipients[0].identifiers == (1,)
        assert matches.shares[0].pick(0).identifiers == (2,)


class TestChanges:
    @pytest.mark.clause("MQTT-3.8.4-3")
    @pytest.mark.parametrize("topic_filter", ["t", "+", "#", "t/#"])
    @pytest.mark.parametrize("share", [None, "", "g"])
    def test_the_same_filter_again_replaces(self, topic_filter, share):
        router = Router()
        session = FakeSession("a")
        assert router.subscribe(session, Subscription(topic_filter, 0), share)
        assert not router.subscribe(session, Subscription(topic_filter, 0), share)
        router.match("t")
        assert not router.subscribe(session, Subscription(topic_filter, 2, identifier=8), share)
        matches = router.match("t")
        recipient = matches.shares[0].pick(0) if share else matches.recipients[0]
        assert (recipient.qos_max, recipient.identifiers) == (2, (8,))
        assert router.subscription_count == 1
        assert router.share_count == (1 if share else 0)

    @pytest.mark.clause("MQTT-3.10.4-1", "MQTT-3.10.4-2")
    @pytest.mark.parametrize("topic_filter", ["t", "+", "#", "t/#"])
    @pytest.mark.parametrize("share", [None, "", "g"])
    def test_unsubscribing_takes_effect_at_once_and_leaves_nothing(self, topic_filter, share):
        router = Router()
        session = FakeSession("a")
        router.subscribe(session, Subscription(topic_filter, 0), share)
        router.match("t")
        assert router.unsubscribe(session, topic_filter, share)
        assert reached(router, "t") == []
        assert groups(router, "t") == []
        assert is_empty(router)
        assert not router.unsubscribe(session, topic_filter, share)

    @pytest.mark.parametrize("topic_filter", ["t", "t/+", "t/#"])
    def test_only_what_is_there_can_be_unsubscribed(self, topic_filter):
        router = Router()
        session, other = FakeSession("a"), FakeSession("b")
        router.subscribe(session, Subscription(topic_filter, 0), None)
        router.subscribe(session, Subscription(topic_filter, 0), "g")
        assert not router.unsubscribe(other, topic_filter, None)
        assert not router.unsubscribe(other, topic_filter, "g")
        assert not router.unsubscribe(session, topic_filter, "h")
        for missing in ("u", "t/1", "+", "#", "t/+/+", "t/+/#", "u/#"):
            assert not router.unsubscribe(session, missing, None)
        assert router.subscription_count == 2
        assert router.unsubscribe(session, topic_filter, None)
        assert not router.unsubscribe(session, topic_filter, None)
        assert router.unsubscribe(session, topic_filter, "g")
        assert is_empty(router)

    def test_a_found_topic_learns_of_new_filters(self):
        router = Router()
        assert reached(router, "t/1") == []
        for name, topic_filter in (("a", "t/1"), ("b", "t/+"), ("c", "#"), ("d", "t/1/#")):
            router.subscribe(FakeSession(name), Subscription(topic_filter, 0), None)
            assert name in reached(router, "t/1")

    def test_what_was_found_is_found_again_without_a_search(self):
        router = Router()
        session = FakeSession("a")
        router.subscribe(session, Subscription("+", 0), None)
        matches = router.match("t")
        assert router.match("t") is matches
        router.subscribe(FakeSession("b"), Subscription("u", 0), None)
        assert router.match("t") is matches
        router.subscribe(session, Subscription("+", 0), None)
        assert router.match("t") is matches
        router.subscribe(session, Subscription("v/#", 0), None)
        assert router.match("t") is not matches

    @pytest.mark.parametrize("leaver", ["+", "+/#", "+/b/+", "+/+", "+/b"])
    @pytest.mark.parametrize("stayer", ["+", "+/#", "+/b/+", "+/+", "+/b"])
    def test_a_level_stays_while_anything_hangs_on_it(self, leaver, stayer):
        router = Router()
        session, other = FakeSession("a"), FakeSession("b")
        router.subscribe(session, Subscription(stayer, 0), None)
        router.subscribe(other, Subscription(leaver, 0), None)
        assert router.unsubscribe(other, leaver, None)
        assert reached(router, stayer.replace("+", "b").replace("#", "b")) == ["a"]
        assert router.unsubscribe(session, stayer, None)
        assert is_empty(router)

    def test_cutting_a_branch_leaves_the_others(self):
        filters = ["a/+/c/#", "a/+/c", "a/+", "a/+/d/#", "+/+", "a/#", "a/b/+/c"]
        for leaver in filters:
            router = Router()
            session = FakeSession("s")
            for topic_filter in filters:
                router.subscribe(session, Subscription(topic_filter, 0), None)
            assert router.unsubscribe(session, leaver, None)
            assert not router.unsubscribe(session, leaver, None)
            for topic_filter in filters:
                assert router.unsubscribe(session, topic_filter, None) == (topic_filter != leaver)
            assert is_empty(router)


class TestShareGroups:
    def test_members_join_one_group(self):
        router = Router(STICKY)
        members = [FakeSession("a"), FakeSession("b")]
        router.subscribe(members[0], Subscription("t", 0), "g")
        matches = router.match("t")
        router.subscribe(members[1], Subscription("t", 0), "g")
        assert router.match("t") is matches
        group = matches.shares[0]
        assert (group.strategy, group.member_count(), router.share_count) == (STICKY, 2, 2)
        assert router.unsubscribe(members[0], "t", "g")
        assert router.match("t") is matches
        assert group.pick(0).subscriber is members[1]

    def test_a_name_with_another_filter_is_another_group(self):
        router = Router()
        router.subscribe(FakeSession("a"), Subscription("t", 0), "g")
        router.subscribe(FakeSession("b"), Subscription("+", 0), "g")
        router.subscribe(FakeSession("c"), Subscription("t", 0), "h")
        assert groups(router, "t") == ["$share/g/+", "$share/g/t", "$share/h/t"]

    def test_a_group_that_begins_again_is_found(self):
        router = Router()
        session = FakeSession("a")
        for topic_filter in ("t", "#"):
            router.subscribe(session, Subscription(topic_filter, 0), "g")
            assert len(router.match("t").shares) == 1
            router.unsubscribe(session, topic_filter, "g")
            assert router.match("t").shares == []
            router.subscribe(session, Subscription(topic_filter, 0), "g")
            assert router.match("t").shares[0].pick(0).subscriber is session
            router.unsubscribe(session, topic_filter, "g")

    @pytest.mark.parametrize("topic_filter", ["t", "t/+", "t/#", "#"])
    def test_a_group_is_found_by_name(self, topic_filter):
        router = Router()
        session = FakeSession("a")
        assert router.share("g", topic_filter) is None
        router.subscribe(session, Subscription(topic_filter, 0), None)
        assert router.share("g", topic_filter) is None
        router.subscribe(session, Subscription(topic_filter, 0), "g")
        group = router.share("g", topic_filter)
        assert group is not None
        assert group.key == f"$share/g/{topic_filter}"
        assert router.share("h", topic_filter) is None
        router.unsubscribe(session, topic_filter, "g")
        assert router.share("g", topic_filter) is None

    def test_refuses_a_strategy_that_does_not_exist(self):
        with pytest.raises(ValueError, match="'fair' is none of"):
            Router("fair")


class TestSize:
    @pytest.mark.parametrize("topic_filter", ["t", "t/#"])
    def test_a_crowd_on_one_filter(self, topic_filter):
        router = Router()
        crowd = [FakeSession(str(number)) for number in range(RECIPIENTS_MAX + 1)]
        subscription = Subscription(topic_filter, 0)
        for session in crowd:
            router.subscribe(session, subscription, None)
        assert len(router.match("t").recipients) == len(crowd)
        assert len({each.subscriber.client_id for each in router.match("t").recipients}) == len(
            crowd
        )
        for session in crowd:
            assert router.unsubscribe(session, topic_filter, None)
        assert is_empty(router)

    def test_a_wide_level(self):
        router = Router()
        session = FakeSession("a")
        for number in range(SPREAD_AT_KEYS + 100):
            router.subscribe(session, Subscription(f"t/{number}/#", 0), None)
        assert reached(router, "t/77/x") == ["a"]
        assert reached(router, f"t/{SPREAD_AT_KEYS + 100}/x") == []
        for number in range(SPREAD_AT_KEYS + 100):
            assert router.unsubscribe(session, f"t/{number}/#", None)
        assert is_empty(router)

    @pytest.mark.parametrize("level", ["+", "a", ""])
    def test_as_many_levels_as_the_wire_can_carry(self, level):
        router = Router()
        session = FakeSession("a")
        levels = [level] * (32_767 if level else 65_534)
        topic_filter = "/".join([*levels, "#"])
        router.subscribe(session, Subscription(topic_filter, 0), None)
        topic = "/".join("a" if each == "+" else each for each in levels)
        assert reached(router, topic) == ["a"]
        assert reached(router, topic + "/b") == ["a"]
        assert reached(router, topic[2:]) == []
        assert router.unsubscribe(session, topic_filter, None)
        assert is_empty(router)
