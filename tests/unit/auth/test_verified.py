"""Successes are remembered for a while, in a bounded number, and are told apart."""

from rookery.auth.verified import Verified
from tests.support.sources import TurnedClock


def test_for_a_while():
    clock = TurnedClock()
    table = Verified[str](clock, 10)
    key = table.key(b"ann", b"secret")
    assert table.get(key) is None
    table.add(key, "outcome")
    clock.now += 9.9
    assert table.get(key) == "outcome"
    clock.now += 0.2
    assert table.get(key) is None
    assert len(table) == 0


def test_the_oldest_makes_room():
    table = Verified[int](TurnedClock(), 10, entries_max=2)
    for number in (1, 2, 1, 3):
        table.add(table.key(bytes([number])), number)
    assert [table.get(table.key(bytes([number]))) for number in (1, 2, 3)] == [1, None, 3]


def test_not_at_all_where_that_is_asked_for():
    table = Verified[int](TurnedClock(), 0)
    table.add(table.key(b"a"), 1)
    assert len(table) == 0


def test_keys_tell_apart_what_is_not_the_same():
    table, other = (Verified[int](TurnedClock(), 1) for _ in range(2))
    keys = [table.key(*parts) for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""))]
    assert len({*keys, other.key(b"abc")}) == 5
    assert table.key(b"abc") == table.key(b"abc")
