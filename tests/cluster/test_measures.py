"""The figures of the report, on histories that can be reckoned by hand."""

import math

import pytest

from tests.cluster import measures
from tests.cluster.history import Arrival, History, LastWill, Sending
from tests.support.ledger import Stream

STREAM = Stream("p", "load/p/0", 1)


def sending(number, sent_at, acknowledged_at, publisher="p"):
    each = Sending(Stream(publisher, "load/p/0", 1), number, sent_at, "n1")
    each.acknowledged_at = acknowledged_at
    return each


class TestSilence:
    def test_from_one_acknowledgement_to_the_next(self):
        sendings = [sending(1, 1.0, 1.1), sending(2, 1.05, 3.0), sending(3, 2.0, 3.1)]
        assert measures.silence(sendings, 0.0, 9.0) == pytest.approx(1.9)

    def test_nothing_under_way_is_no_silence(self):
        assert measures.silence(
            [sending(1, 1.0, 1.1), sending(2, 8.0, 8.2)], 0.0, 9.0
        ) == pytest.approx(0.2)

    def test_what_never_came_counts_to_the_end(self):
        assert measures.silence([sending(1, 1.0, None)], 0.0, 9.0) == pytest.approx(8.0)

    def test_what_was_under_way_counts_from_the_beginning(self):
        assert measures.silence([sending(1, 1.0, 6.0)], 5.0, 9.0) == pytest.approx(1.0)

    def test_whose_it_was(self):
        history = History()
        for each in (sending(1, 1.0, 1.5), sending(1, 1.0, 3.0, "q"), sending(1, 1.0, 9.0, "r")):
            history.sent(each)
        assert measures.longest_silence(history, ["p", "q"], 0.0, 9.0) == (pytest.approx(2.0), "q")
        assert measures.longest_silence(history, [], 0.0, 9.0) == (0.0, "nobody")


def test_shares():
    assert measures.shares([]) == (0, 0.0, 0.0, 0.0)
    assert measures.shares([3.0, 1.0, 2.0]) == (3, 2.0, 3.0, 3.0)
    assert measures.shares(float(each) for each in range(1, 101)).p99 == 99.0


def test_resumptions():
    history = History()
    for client, at in (("a", 1.0), ("b", 1.0), ("a", 5.5), ("a", 9.0)):
        history.opened(client, "n1", at, present=True, expects_session=True)
    assert measures.resumptions(history, ["a", "b"], 5.0) == {"a": 0.5, "b": math.inf}


def test_who_is_at_a_node():
    history = History()
    for client, node, opened, ended in (
        ("a", "n1", 1.0, None),
        ("b", "n1", 1.0, 2.0),
        ("c", "n2", 1.0, None),
        ("d", "n1", 4.0, None),
    ):
        history.opened(client, node, opened, present=False, expects_session=False).ended_at = ended
    assert measures.at_node(history, "n1", 3.0) == ["a"]


def test_will_delays():
    history = History()
    history.last_wills["m"] = LastWill("m", "wills/m", "n1", 1.0, 5.0)
    history.last_wills["living"] = LastWill("living", "wills/living", "n1", 1.0)
    for name in ("m", "living"):
        stream = Stream(name, f"wills/{name}", 2)
        history.arrived("w", Arrival(8.0, stream, 1, 2, False, "n2", 0))
    assert measures.will_delays(history, "w") == (1, 3.0, 3.0, 3.0)


def test_answers():
    history = History()
    for each in (sending(1, 1.0, 1.5), sending(2, 2.0, None), sending(3, 7.0, 9.0)):
        history.sent(each)
    assert measures.answers(history, 0.0, 5.0) == (1, 0.5, 0.5, 0.5)
