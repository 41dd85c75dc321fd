"""Each check finds what it is for, and nothing else."""

import pytest

from tests.cluster import checks
from tests.cluster.history import Arrival, Fault, History, LastWill, Sending, Sign
from tests.support.ledger import Stream, payload_of

ONE = Stream("p", "load/p/0", 1)
TWO = Stream("p", "load/p/0", 2)


def history_of(*numbers, stream=ONE, acknowledged=True, session="s", retain=False, node="n1"):
    """Messages sent a tenth of a second apart from 1 s on, and a session that has subscribed before."""
    history = History()
    history.opened(session, "n1", 0.0, present=False, expects_session=False)
    history.granted(session, "load/#", 2, 0.5)
    for number in numbers:
        at = 1.0 + number / 10
        sending = Sending(stream, number, at, node, retain)
        history.sent(sending)
        if acknowledged:
            history.acknowledged(sending.key, at + 0.01, node)
    return history


def arrive(history, *numbers, stream=ONE, session="s", dup=False, life=0, start=2.0, qos=None):
    for index, number in enumerate(numbers):
        at = start + index / 100
        chosen = stream.qos if qos is None else qos
        history.arrived(session, Arrival(at, stream, number, chosen, dup, "n1", life))


def kinds(violations):
    return [each.kind for each in violations]


class TestLost:
    def test_acknowledged_and_never_arrived(self):
        history = history_of(1, 2, 3)
        arrive(history, 1, 3)
        (violation,) = checks.lost(history)
        assert violation.account.startswith(
            "message 2 of p to load/p/0 at QoS 1 did not come to s."
        )
        assert "acknowledged by n1 at 1.210 s" in violation.account

    def test_without_an_answer_nothing_is_owed(self):
        assert checks.lost(history_of(1, acknowledged=False)) == []

    def test_what_was_refused_is_not_owed(self):
        history = history_of(1)
        assert kinds(checks.lost(history)) == ["lost"]
        history.messages[ONE, 1].refused = 0x97
        assert checks.lost(history) == []

    def test_what_was_sent_before_the_subscription_is_not_owed(self):
        history = history_of(1)
        history.granted("late", "load/+/0", 1, 1.2)
        history.granted("elsewhere", "own/1", 1, 0.5)
        arrive(history, 1)
        assert checks.lost(history) == []

    def test_every_session_is_owed_it(self):
        history = history_of(acknowledged=False)
        assert history.interested(ONE.topic) == ["s"]
        history.granted("other", "load/p/+", 1, 0.6)
        history.sent(Sending(ONE, 1, 1.0, "n1"))
        history.acknowledged((ONE, 1), 1.1, "n1")
        arrive(history, 1)
        assert kinds(checks.lost(history)) == ["lost"]


class TestArrivedAgain:
    def test_qos_2_never(self):
        history = history_of(1, stream=TWO)
        arrive(history, 1, stream=TWO)
        arrive(history, 1, stream=TWO, dup=True, life=1, start=3.0)
        assert kinds(checks.twice(history)) == ["twice"]
        assert checks.repeated(history) == []
        assert checks.repetitions(history) == [0, 0, 1]

    def test_qos_1_without_a_cause(self):
        history = history_of(1)
        arrive(history, 1, 1)
        assert kinds(checks.repeated(history)) == ["repeated"]
        assert checks.twice(history) == []

    @pytest.mark.parametrize("cause", ["dup", "resent", "link", "fault"])
    def test_qos_1_with_a_cause(self, cause):
        history = history_of(1)
        arrive(history, 1)
        if cause == "resent":
            history.messages[ONE, 1].resent_at.append(2.5)
        if cause == "fault":
            history.faults.append(Fault("kill", ("n2",), 1.5, 2.5, 4.0))
        arrive(history, 1, dup=cause == "dup", life=int(cause == "link"), start=3.0)
        assert checks.repeated(history) == []

    def test_a_fault_that_is_long_over_is_no_cause(self):
        history = history_of(1)
        history.faults.append(Fault("kill", ("n2",), 0.1, 0.2, 0.3))
        arrive(history, 1, 1)
        assert kinds(checks.repeated(history)) == ["repeated"]


class TestOrder:
    def test_a_first_arrival_after_a_later_one(self):
        history = history_of(1, 2, 3)
        arrive(history, 1, 3, 2)
        (violation,) = checks.disorder(history)
        assert "message 2 of p" in violation.account
        assert "after number 3" in violation.account

    def test_repetitions_may_come_late(self):
        history = history_of(1, 2, 3)
        arrive(history, 1, 2, 3)
        arrive(history, 2, 3, dup=True, start=3.0)
        assert checks.disorder(history) == []

    def test_streams_are_apart(self):
        history = history_of(1, 2)
        history.sent(Sending(TWO, 1, 1.0, "n1"))
        arrive(history, 2)
        arrive(history, 1, stream=TWO, start=3.0)
        assert checks.disorder(history) == []


def test_what_nobody_sent():
    history = history_of(1)
    history.unknown.append(("s", "b'x' on load/y"))
    assert kinds(checks.unknown(history)) == ["unknown"]


def test_an_answer_that_never_came():
    history = history_of(1, acknowledged=False)
    assert kinds(checks.unanswered(history, ["p"])) == ["unanswered"]
    assert checks.unanswered(history, ["somebody else"]) == []
    history.messages[ONE, 1].refused = 0x97
    assert checks.unanswered(history, ["p"]) == []


def test_a_session_that_was_promised_and_is_gone():
    history = History()
    first = history.opened("c", "n1", 1.0, present=False, expects_session=False)
    first.ended_at, first.end = 2.0, "lost"
    history.opened("c", "n2", 3.0, present=True, expects_session=True)
    assert checks.sessions_lost(history) == []
    history.opened("c", "n3", 4.0, present=False, expects_session=True)
    (violation,) = checks.sessions_lost(history)
    assert "c came to n3 at 4.000 s" in violation.account


class TestOwners:
    def links(self):
        history = History()
        older = history.opened("c", "n1", 1.0, present=False, expects_session=False)
        history.opened("c", "n2", 2.0, present=True, expects_session=True)
        return history, older

    def test_a_sign_of_an_owner_that_lost_the_client(self):
        history, _ = self.links()
        history.signs += [Sign(1.5, "c", 0, "PubAck"), Sign(2.1, "c", 0, "PubAck")]
        assert checks.two_owners(history) == []
        history.signs.append(Sign(2.6, "c", 0, "PubAck"))
        (violation,) = checks.two_owners(history)
        assert "n1 served c (PubAck) at 2.600 s" in violation.account

    def test_the_newer_link_is_the_owners(self):
        history, _ = self.links()
        history.signs.append(Sign(9.0, "c", 1, "PubAck"))
        assert checks.two_owners(history) == []

    def test_a_link_that_was_displaced_at_once_may_have_opened_before_it_seems(self):
        history, _ = self.links()
        newer = history.lives[1]
        newer.ended_at, newer.end = 2.1, "session_taken_over"
        history.signs.append(Sign(2.6, "c", 0, "PubAck"))
        assert checks.two_owners(history) == checks.two_links(history, []) == []
        newer.end = "lost"
        assert kinds(checks.two_owners(history)) == ["owners"]

    def test_how_late_the_load_was_is_no_nodes_fault(self):
        history, older = self.links()
        older.ended_at = 2.7
        history.signs.append(Sign(2.6, "c", 0, "PubAck"))
        assert checks.two_owners(history, 0.5) == checks.two_links(history, [], 0.5) == []

    def test_two_open_links(self):
        history, older = self.links()
        assert kinds(checks.two_links(history, [])) == ["links"]
        older.ended_at = 2.2
        assert checks.two_links(history, []) == []

    def test_an_open_link_to_a_frozen_node_shows_nothing(self):
        history, older = self.links()
        older.ended_at = 9.0
        assert checks.two_links(history, [Fault("freeze", ("n1",), 1.5, 9.0, 10.0)]) == []


class TestWills:
    def dead(self, *arrivals, died_at=5.0, harmless=False):
        history = History()
        stream = Stream("m", "wills/m", 2)
        history.sent(Sending(stream, 1, 1.0, "n1"))
        history.last_wills["m"] = LastWill("m", "wills/m", "n1", 1.0, died_at, harmless)
        for at in arrivals:
            history.arrived("w", Arrival(at, stream, 1, 2, False, "n2", 0))
        return kinds(checks.wills(history, ["w"], until=60.0))

    def test_once_and_in_time(self):
        assert self.dead(8.0) == []

    def test_never(self):
        assert self.dead() == ["will missing"]

    def test_late(self):
        assert self.dead(15.1) == ["will late"]

    def test_twice(self):
        assert self.dead(8.0, 9.0) == ["will twice"]

    def test_of_the_living(self):
        assert self.dead(8.0, died_at=None) == ["will of the living"]
        assert self.dead(died_at=None) == []

    def test_where_both_may_be(self):
        assert self.dead(harmless=True, died_at=None) == []
        assert self.dead(8.0, harmless=True, died_at=None) == []
        assert self.dead(8.0, 9.0, harmless=True, died_at=None) == ["will twice"]

    def test_not_yet_due(self):
        history = History()
        history.last_wills["m"] = LastWill("m", "wills/m", "n1", 1.0, 5.0)
        assert checks.wills(history, ["w"], until=6.0) == []


class TestMinority:
    def test_an_acknowledgement_without_a_majority(self):
        history = history_of(1, 2)
        assert kinds(checks.minority(history, ["n1"], 1.0, 1.15)) == ["minority"]
        assert checks.minority(history, ["n1"], 1.3, 9.0) == []
        assert checks.minority(history, ["n2"], 1.0, 9.0) == []

    def test_what_nothing_durable_depends_on_may_be_acknowledged(self):
        history = history_of(1)
        history.messages[ONE, 1].durable = False
        assert checks.minority(history, ["n1"], 1.0, 9.0) == []

    def test_letting_a_client_in(self):
        history = History()
        history.opened("c", "n1", 5.0, present=False, expects_session=False)
        assert kinds(checks.minority(history, ["n1"], 4.0, 9.0)) == ["minority"]


class TestRetained:
    LAST = payload_of(ONE, 2, 64)

    def found(self, *held, numbers=(1, 2), alone=()):
        history = history_of(*numbers, retain=True)
        topics = {
            f"n{index}": {} if payload is None else {ONE.topic: payload}
            for index, payload in enumerate(held)
        }
        return [each.account for each in checks.retained(history, topics, alone)]

    def test_the_last_on_all_nodes(self):
        assert self.found(self.LAST, self.LAST) == []

    def test_nodes_that_differ(self):
        (account,) = self.found(self.LAST, None)
        assert account == "Nodes differ on load/p/0: {'n0': 'p 2', 'n1': 'nothing'}."

    def test_an_older_one_everywhere(self):
        first = payload_of(ONE, 1, 64)
        (account,) = self.found(first, first)
        assert "though number 2 was acknowledged" in account
        assert self.found(first, first, alone=[ONE.topic]) == []

    def test_nothing_everywhere(self):
        assert len(self.found(None, None)) == 1
