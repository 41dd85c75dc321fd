from hypothesis import given
from hypothesis import strategies as st

from rookery.session.backlog import COMPACT_BYTES, Backlog

EVERYTHING = 1 << 62
positions = st.lists(
    st.tuples(st.integers(1, 1 << 40), st.integers(0, 15)), unique_by=lambda pair: pair[0]
).map(sorted)


def filled(pairs: list[tuple[int, int]]) -> Backlog:
    backlog = Backlog()
    for position, flags in pairs:
        backlog.append(position, flags)
    return backlog


@given(positions, st.lists(st.integers(0, 5)))
def test_gives_back_what_was_put_in_in_order(pairs, counts):
    backlog = filled(pairs)
    left = list(pairs)
    for count in counts:
        taken, left = left[:count], left[count:]
        assert backlog.take(count, EVERYTHING) == taken
        assert backlog.count == len(left)
        assert backlog.first() == (left[0][0] if left else 0)
    assert backlog.take(len(pairs), EVERYTHING) == left


@given(positions, st.integers(0, 1 << 40), st.integers(0, 10))
def test_leaves_what_is_not_below(pairs, below, count):
    backlog = filled(pairs)
    expected = [pair for pair in pairs if pair[0] < below][:count]
    assert backlog.take(count, below) == expected
    assert backlog.take(len(pairs), EVERYTHING) == pairs[len(expected) :]


@given(positions, positions, st.integers(0, 10))
def test_goes_on_where_it_ended(first, more, count):
    last = first[-1][0] if first else 0
    more = [(last + position, flags) for position, flags in more]
    backlog = filled(first)
    taken = backlog.take(count, EVERYTHING)
    for position, flags in more:
        backlog.append(position, flags)
    assert taken + backlog.take(len(first + more), EVERYTHING) == first + more
    assert backlog.first() == 0


def test_the_last_position_is_known():
    backlog = filled([(5, 1), (9, 2)])
    assert backlog.last() == 9


def test_a_thousand_neighbours_take_two_bytes_each():
    backlog = filled([(1 << 20 | index, 1) for index in range(1_000)])
    assert backlog.size_bytes() < 2_010


def test_what_was_taken_takes_no_memory():
    count = COMPACT_BYTES
    backlog = filled([(index, 1) for index in range(1, count + 1)])
    backlog.take(count - 10, EVERYTHING)
    assert backlog.size_bytes() < count
    assert [position for position, _ in backlog.take(20, EVERYTHING)] == list(
        range(count - 9, count + 1)
    )
    assert backlog.size_bytes() == 0
