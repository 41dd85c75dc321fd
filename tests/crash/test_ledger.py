"""Every promise that is broken is noticed, and none that is kept is taken for broken."""

import pytest

from tests.support.ledger import Ledger, Moment, Stream, matches, named_in, payload_of

ONE = Stream("p", "load/p/0", 1)
TWO = Stream("p", "load/p/0", 2)
STATE = Stream("p", "state/p", 1)


@pytest.fixture
def ledger() -> Ledger:
    """A ledger with one session that gets everything at QoS 2."""
    made = Ledger()
    made.subscribed("s", "load/#", 2)
    return made


def sent(ledger: Ledger, stream: Stream, *numbers: int, acknowledged: bool = True) -> None:
    for number in numbers:
        size = len(payload_of(stream, number, 0))
        ledger.sent(stream, number, size, retain=stream == STATE)
        if acknowledged:
            ledger.acknowledged(stream, number)


def arrived(ledger: Ledger, stream: Stream, *numbers: int, name: str = "s", **seen) -> None:
    for number in numbers:
        seen = {"qos": stream.qos, **seen}
        ledger.arrived(name, stream.topic, payload_of(stream, number, 0), **seen)


def kinds(ledger: Ledger) -> list[str]:
    return [each.kind for each in ledger.violations]


class TestLost:
    def test_nothing_is_lost_when_all_arrived(self, ledger):
        sent(ledger, TWO, 1, 2)
        arrived(ledger, TWO, 1, 2)
        assert (ledger.owed(), ledger.lost(), kinds(ledger)) == (0, [], [])

    def test_an_acknowledged_message_is_owed(self, ledger):
        ledger.moment = Moment(3, 1.5)
        sent(ledger, TWO, 1, 2)
        arrived(ledger, TWO, 1)
        assert ledger.owed() == 1
        (lost,) = ledger.lost()
        assert lost.kind == "lost"
        assert lost.account == (
            "Message 2 of p to load/p/0 at QoS 2 did not arrive in s, which has load/# at QoS 2.\n"
            "Sent in round 3, 1.500 s, resent 0 times, acknowledged in round 3, 1.500 s.\n"
            "Seen by nobody; the last of its stream that came is 1."
        )

    def test_who_saw_it_is_told(self, ledger):
        ledger.subscribed("t", "load/#", 2)
        sent(ledger, TWO, 1)
        arrived(ledger, TWO, 1, name="t")
        (lost,) = ledger.lost()
        assert "Seen by t in round 0" in lost.account

    def test_what_was_not_acknowledged_is_not_owed(self, ledger):
        sent(ledger, TWO, 1, acknowledged=False)
        sent(ledger, ONE, 1, acknowledged=False)
        ledger.refused(ONE, 1)
        assert ledger.owed() == 0
        assert ledger.counts.refused == 1

    def test_what_was_sent_before_the_subscription_is_not_owed(self, ledger):
        sent(ledger, TWO, 1)
        ledger.subscribed("late", "load/p/+", 2)
        arrived(ledger, TWO, 1)
        assert ledger.owed() == 0
        sent(ledger, TWO, 2)
        arrived(ledger, TWO, 2)
        assert [each.account.partition(",")[0] for each in ledger.lost()] == [
            "Message 2 of p to load/p/0 at QoS 2 did not arrive in late"
        ]

    def test_what_came_before_the_suback_was_allowed_and_not_owed(self, ledger):
        ledger.asked("new", "load/#", 2)
        sent(ledger, TWO, 1, 2)
        arrived(ledger, TWO, 1, 2)
        arrived(ledger, TWO, 1, name="new")
        assert (kinds(ledger), ledger.owed()) == ([], 0)
        ledger.subscribed("new", "load/#", 2)
        assert ledger.owed() == 0
        sent(ledger, TWO, 3)
        arrived(ledger, TWO, 3)
        ledger.subscribed("new", "load/#", 2)
        assert ledger.owed() == 1

    def test_a_session_that_ended_is_owed_nothing(self, ledger):
        ledger.subscribed("gone", "load/#", 2)
        sent(ledger, TWO, 1)
        arrived(ledger, TWO, 1)
        ledger.ended("gone")
        assert ledger.owed() == 0

    def test_another_topic_is_not_owed(self, ledger):
        sent(ledger, STATE, 1)
        assert ledger.owed() == 0


class TestShareGroup:
    @pytest.fixture
    def group(self) -> Ledger:
        made = Ledger()
        made.subscribed("g1", "$share/g/load/#", 2)
        made.subscribed("g2", "$share/g/load/#", 2)
        return made

    def test_the_members_together_get_everything(self, group):
        sent(group, TWO, 1, 2)
        arrived(group, TWO, 2, name="g1")
        arrived(group, TWO, 1, name="g2")
        assert (group.owed(), kinds(group)) == (0, [])

    def test_what_none_of_them_got_is_lost(self, group):
        sent(group, TWO, 1, 2)
        arrived(group, TWO, 1, name="g1")
        (lost,) = group.lost()
        assert lost.account.startswith(
            "Message 2 of p to load/p/0 at QoS 2 did not arrive in group g,"
        )

    def test_twice_in_one_member(self, group):
        sent(group, TWO, 1)
        arrived(group, TWO, 1, 1, name="g1")
        assert kinds(group) == ["twice"]

    def test_once_in_each_of_two_members_is_counted(self, group):
        sent(group, TWO, 1)
        arrived(group, TWO, 1, name="g1")
        arrived(group, TWO, 1, name="g2")
        assert (kinds(group), group.counts.repeated_in_group) == ([], 1)


class TestRepetition:
    def test_qos_2_never(self, ledger):
        sent(ledger, TWO, 1)
        arrived(ledger, TWO, 1)
        ledger.restarts += 1
        arrived(ledger, TWO, 1, dup=True)
        assert kinds(ledger) == ["twice"]
        assert ledger.counts.repeated == [0, 0, 1]

    def test_qos_1_without_a_reason(self, ledger):
        sent(ledger, ONE, 1)
        arrived(ledger, ONE, 1, 1)
        assert kinds(ledger) == ["repeated"]

    def test_qos_1_with_dup(self, ledger):
        sent(ledger, ONE, 1)
        arrived(ledger, ONE, 1)
        arrived(ledger, ONE, 1, dup=True)
        assert (kinds(ledger), ledger.counts.repeated) == ([], [0, 1, 0])

    def test_qos_1_after_a_restart(self, ledger):
        sent(ledger, ONE, 1)
        arrived(ledger, ONE, 1)
        ledger.restarts += 1
        arrived(ledger, ONE, 1)
        assert kinds(ledger) == []

    def test_qos_1_that_its_publisher_sent_again(self, ledger):
        sent(ledger, ONE, 1)
        ledger.resent(ONE, 1)
        arrived(ledger, ONE, 1, 1)
        assert (kinds(ledger), ledger.counts.resent) == ([], 1)

    def test_what_is_settled_stays_known(self, ledger):
        sent(ledger, TWO, 1)
        sent(ledger, ONE, 1)
        arrived(ledger, TWO, 1)
        arrived(ledger, ONE, 1)
        ledger.settle()
        arrived(ledger, ONE, 1)
        assert kinds(ledger) == ["repeated"]
        ledger.restarts += 1
        arrived(ledger, ONE, 1)
        arrived(ledger, TWO, 1)
        assert kinds(ledger) == ["repeated", "twice"]

    def test_what_is_not_settled_may_still_come(self, ledger):
        sent(ledger, TWO, 1, acknowledged=False)
        ledger.settle()
        arrived(ledger, TWO, 1)
        assert kinds(ledger) == []
        ledger.settle()
        arrived(ledger, TWO, 1)
        assert kinds(ledger) == ["twice"]


class TestOrder:
    def test_an_older_one_after_a_newer_one(self, ledger):
        sent(ledger, TWO, 1, 2)
        arrived(ledger, TWO, 2, 1)
        assert kinds(ledger) == ["order"]

    def test_repetitions_say_nothing_of_the_order(self, ledger):
        sent(ledger, ONE, 1, 2)
        arrived(ledger, ONE, 1, 2)
        arrived(ledger, ONE, 1, 2, dup=True)
        assert kinds(ledger) == []

    def test_each_qos_has_an_order_of_its_own(self, ledger):
        sent(ledger, ONE, 1, 2)
        sent(ledger, TWO, 1)
        arrived(ledger, ONE, 1, 2)
        arrived(ledger, TWO, 1)
        assert kinds(ledger) == []

    def test_it_outlives_what_is_settled(self, ledger):
        sent(ledger, TWO, 1)
        arrived(ledger, TWO, 1)
        ledger.settle()
        sent(ledger, TWO, 2, 3)
        arrived(ledger, TWO, 3, 2)
        assert kinds(ledger) == ["order"]


class TestForm:
    def test_what_nobody_published(self, ledger):
        ledger.arrived("s", "load/p/0", b"nonsense", 2)
        arrived(ledger, TWO, 1)
        assert kinds(ledger) == ["unknown", "unknown"]

    def test_what_nobody_asked_for(self, ledger):
        sent(ledger, STATE, 1)
        arrived(ledger, STATE, 1)
        assert kinds(ledger) == ["unknown"]

    @pytest.mark.parametrize(
        "seen",
        [{"qos": 1}, {"identifiers": [4]}, {"content_type": "number/2"}, {"content_type": ""}],
        ids=str,
    )
    def test_what_changed_on_the_way(self, ledger, seen):
        payload = payload_of(TWO, 1, 0)
        ledger.sent(TWO, 1, len(payload), content_type="number/1")
        arrived(ledger, TWO, 1, **seen)
        assert kinds(ledger) == ["altered"]

    def test_a_payload_that_was_cut(self, ledger):
        ledger.sent(TWO, 1, 100)
        ledger.arrived("s", TWO.topic, payload_of(TWO, 1, 99), 2)
        assert kinds(ledger) == ["altered"]

    def test_the_lower_qos_and_the_own_identifier(self):
        ledger = Ledger()
        ledger.subscribed("s", "load/#", 1, identifier=5)
        ledger.sent(TWO, 1, 100, content_type="c")
        ledger.arrived("s", TWO.topic, payload_of(TWO, 1, 100), 1, identifiers=[5])
        ledger.sent(TWO, 2, 100, content_type="c")
        ledger.arrived(
            "s", TWO.topic, payload_of(TWO, 2, 100), 1, identifiers=[5], content_type="c"
        )
        assert kinds(ledger) == []


class TestExpiry:
    @pytest.fixture
    def expiring(self, ledger) -> Ledger:
        """Message 1 was sent at 10 s and expires at 20 s."""
        ledger.moment = Moment(1, 10.0)
        ledger.sent(TWO, 1, len(payload_of(TWO, 1, 0)), expiry_seconds=10)
        ledger.acknowledged(TWO, 1)
        return ledger

    @pytest.mark.parametrize(("seconds", "owed"), [(11.0, 1), (17.9, 1), (18.1, 0), (30.0, 0)])
    def test_it_is_owed_until_then(self, expiring, seconds: float, owed: int):
        expiring.moment = Moment(2, seconds)
        assert expiring.owed() == owed

    @pytest.mark.parametrize(
        ("seconds", "found"), [(19.0, []), (21.9, []), (22.1, ["expired"]), (90.0, ["expired"])]
    )
    def test_it_must_not_come_later(self, expiring, seconds: float, found: list[str]):
        expiring.moment = Moment(2, seconds)
        arrived(expiring, TWO, 1)
        assert kinds(expiring) == found

    def test_what_had_set_out_before_comes_again(self, expiring):
        expiring.moment = Moment(2, 90.0)
        arrived(expiring, TWO, 1, dup=True)
        assert kinds(expiring) == []

    def test_what_was_sent_again_lives_anew_and_may_have_lost_its_place(self, expiring):
        sent(expiring, TWO, 2)
        expiring.resent(TWO, 1)
        expiring.moment = Moment(2, 25.0)
        arrived(expiring, TWO, 2, 1)
        assert kinds(expiring) == []


class TestForbidden:
    def test_a_will_that_should_not_come(self, ledger):
        sent(ledger, TWO, 1)
        ledger.forbid(TWO, 1, "its client was back")
        assert ledger.owed() == 0
        ledger.settle()
        arrived(ledger, TWO, 1)
        assert "forbidden" in kinds(ledger)


class TestSessions:
    @pytest.mark.parametrize("promised", [True, False])
    def test_present_as_promised(self, ledger, promised):
        ledger.session_answered("s", present=promised, promised=promised)
        assert kinds(ledger) == []
        ledger.session_answered("s", present=not promised, promised=promised)
        assert kinds(ledger) == ["session"]


class TestRetained:
    def check(self, ledger: Ledger, number: int | None) -> list[str]:
        ledger.violations.clear()
        found = {} if number is None else {STATE.topic: payload_of(STATE, number, 0)}
        ledger.check_retained(found)
        return kinds(ledger)

    def test_the_last_acknowledged_or_a_later_one(self, ledger):
        sent(ledger, STATE, 1, 2)
        sent(ledger, STATE, 3, 4, acknowledged=False)
        assert ledger.retained_owed() == {STATE.topic: (2, False)}
        allowed = {number: self.check(ledger, number) for number in (None, 1, 2, 3, 4, 5)}
        wrong = ["retained"]
        assert allowed == {None: wrong, 1: wrong, 2: [], 3: [], 4: [], 5: wrong}

    def test_nothing_where_nothing_was_acknowledged(self, ledger):
        sent(ledger, STATE, 1, acknowledged=False)
        assert self.check(ledger, None) == []
        assert self.check(ledger, 1) == []

    def test_nothing_after_a_removal_that_may_have_counted(self, ledger):
        sent(ledger, STATE, 1)
        ledger.sent(STATE, 2, 0, retain=True, clears=True)
        assert self.check(ledger, None) == []
        assert self.check(ledger, 1) == []
        ledger.acknowledged(STATE, 2)
        assert self.check(ledger, None) == []
        assert self.check(ledger, 1) == ["retained"]

    def test_an_empty_message_is_never_retained(self, ledger):
        ledger.sent(STATE, 1, 0, retain=True, clears=True)
        assert self.check(ledger, 1) == ["retained"]

    def test_another_message(self, ledger):
        sent(ledger, STATE, 1)
        ledger.check_retained({STATE.topic: payload_of(TWO, 1, 0)})
        assert kinds(ledger) == ["retained"]

    def test_it_outlives_what_is_settled(self, ledger):
        ledger.subscribed("s", "state/#", 2)
        sent(ledger, STATE, 1, 2)
        arrived(ledger, STATE, 1, 2)
        ledger.settle()
        assert ledger.owed() == 0
        assert self.check(ledger, 2) == []
        assert self.check(ledger, None) == ["retained"]


class TestNames:
    def test_a_payload_names_its_message(self):
        assert named_in("load/p/0", payload_of(TWO, 7, 1000)) == (TWO, 7)
        assert len(payload_of(TWO, 7, 1000)) == 1000

    @pytest.mark.parametrize("payload", [b"", b"p 1 2", b"p 1|", b"p one 2|", b"\xff" * 200])
    def test_others_name_none(self, payload):
        assert named_in("load/p/0", payload) is None

    @pytest.mark.parametrize(
        ("topic_filter", "topic", "match"),
        [
            ("a/b", "a/b", True),
            ("a/b", "a/c", False),
            ("a/+", "a/b", True),
            ("a/+", "a/b/c", False),
            ("a/+/c", "a/b/c", True),
            ("a/#", "a/b/c", True),
            ("a/#", "a", True),
            ("a/b", "a", False),
            ("a", "a/b", False),
            ("#", "a", True),
        ],
    )
    def test_filters(self, topic_filter, topic, match):
        assert matches(topic_filter, topic) is match
