from rookery.engine.peers.facts import (
    Inheritance,
    adopted_fact,
    adopted_value,
    adopting_fact,
    epoch_of,
    numbers_of,
    reaching_fact,
    reaching_value,
)
from rookery.records import pack_numbers
from tests.support.stores import session

END = 900


def test_an_adoption_says_its_epoch_and_its_sessions():
    value = adopted_value(5, [3, 4, 9])
    assert (epoch_of(value), numbers_of(value)) == (5, [3, 4, 9])


def test_what_was_left_in_the_middle_is_not_there():
    facts = {
        adopting_fact("a", 0): pack_numbers([3, 4]),
        adopting_fact("a", 1): pack_numbers([5]),
        "another": b"x",
    }
    found = Inheritance(facts, END)
    assert found.provisional == {3, 4, 5}
    assert sorted(found.settled) == sorted(facts.keys() - {"another"})
    assert found.left_behind([session(4, "c"), session(6, "c")]) == {3, 4, 5}


def test_sessions_hold_from_the_moment_they_were_reachable_or_from_now_on():
    facts = {
        adopted_fact("a"): adopted_value(1, [3]),
        reaching_fact("a"): reaching_value(70),
        adopted_fact("b/c"): adopted_value(1, [4]),
        reaching_fact("b/c"): b"",
        adopted_fact("d"): adopted_value(1, [5]),
    }
    found = Inheritance(facts, END)
    assert found.cells == {3: "a", 4: "b/c", 5: "d"}
    assert found.began == {3: 70, 4: END}
    assert sorted(found.settled) == [reaching_fact("a"), reaching_fact("b/c")]


def test_of_two_sessions_of_one_client_the_adopted_one_goes():
    found = Inheritance({adopted_fact("a"): adopted_value(1, [3, 4])}, END)
    assert found.left_behind([session(9, "x"), session(3, "x"), session(4, "y")]) == {3}
