from hypothesis import given
from hypothesis import strategies as st

from rookery.session.backlog import COMPACT_BYTES, Backlog, BacklogWalk

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


class TestWalk:
    @given(positions, st.integers(1, 5))
    def test_meets_every_position_in_order(self, pairs, count):
        backlog = filled(pairs)
        walk = BacklogWalk(backlog)
        met: list[int] = []
        while not walk.done:
            found = walk.take(count)
            assert len(found) <= count
            met += found
        assert met == [position for position, _ in pairs]
        assert backlog.take(len(pairs), EVERYTHING) == pairs

    @given(
        st.lists(
            st.tuples(st.sampled_from(["append", "take", "walk"]), st.integers(1, 40)), max_size=60
        )
    )
    def test_misses_nothing_that_is_there_all_the_time(self, script):
        backlog = filled([(each, 1) for each in range(300, 600, 300)])
        walk = BacklogWalk(backlog)
        met: list[int] = []
        taken: list[int] = []
        last = 300
        begun_with = {300}
        for kind, number in script:
            if kind == "append":
                for _ in range(number):
                    last += 300
                    backlog.append(last, 1)
            elif kind == "take":
                taken += [position for position, _ in backlog.take(number, EVERYTHING)]
            else:
                met += walk.take(number)
        while not walk.done:
            met += walk.take(7)
        assert met == sorted(set(met)), "in order, and once"
        rest = {position for position, _ in backlog.take(10_000, EVERYTHING)}
        assert set(met) <= rest | set(taken)
        assert (begun_with & rest) <= set(met)
        if met:
            assert {position for position in rest if position < met[-1]} <= set(met)

    def test_goes_on_where_it_was_when_the_front_is_cut_off(self):
        count = 3 * COMPACT_BYTES
        backlog = filled([(index, 1) for index in range(1, count + 1)])
        walk = BacklogWalk(backlog)
        walk.take(100)
        backlog.take(50, EVERYTHING)
        assert walk.take(1) == [101]
        backlog.take(2 * COMPACT_BYTES, EVERYTHING)
        assert backlog.size_bytes() < 2 * count, "the front was cut off"
        assert walk.take(2) == [2 * COMPACT_BYTES + 51, 2 * COMPACT_BYTES + 52]
        backlog.take(5, EVERYTHING)
        first = backlog.first()
        assert walk.take(1) == [first]
        backlog.take(count, EVERYTHING)
        assert walk.take(5) == []
        assert walk.done
        backlog.append(count + 9, 1)
        assert walk.take(5) == [count + 9]

    def test_what_lies_behind_the_cut_is_not_met_again(self):
        count = 3 * COMPACT_BYTES
        backlog = filled([(index, 1) for index in range(1, count + 1)])
        walk = BacklogWalk(backlog)
        walk.take(count - 10)
        backlog.take(2 * COMPACT_BYTES, EVERYTHING)
        assert walk.take(20) == list(range(count - 9, count + 1))
