from hypothesis import given
from hypothesis import strategies as st

from rookery.engine.peers.stamps import Stamps, stamp_before_all
from tests.support.engine import FakeClock


def test_each_is_higher_than_all_before_though_the_clock_stands_or_goes_back():
    clock = FakeClock()
    stamps = Stamps(clock, "a")
    made = [stamps.new() for _ in range(1_000)]
    clock.now -= 3_600
    made += [stamps.new() for _ in range(10)]
    clock.now += 7_200
    made.append(stamps.new())
    assert made == sorted(set(made))
    assert made[-1] - made[-2] > 1_000_000, "it follows the clock again"


def test_what_is_published_after_another_was_seen_is_the_later_one_however_the_clocks_differ():
    ahead, behind = Stamps(FakeClock(wall=2e9), "a"), Stamps(FakeClock(wall=1e9), "b")
    seen = ahead.new()
    assert behind.new() < seen
    behind.saw(seen)
    assert behind.new() > seen
    ahead.saw(1)
    assert ahead.new() > seen


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=60))
def test_no_two_nodes_make_the_same(order):
    clock = FakeClock()
    stamps = {name: Stamps(clock, name) for name in "abc"}
    made = [stamps[name].new() for name in order]
    assert len(set(made)) == len(made)


def test_fits_into_eight_bytes_for_two_centuries():
    assert Stamps(FakeClock(wall=8e9), "a").new() < 1 << 63


def test_what_is_from_before_the_cluster_is_older_than_all_and_not_of_one_age_at_two_nodes():
    assert 0 < stamp_before_all("a") < Stamps(FakeClock(wall=1.0), "a").new()
    assert stamp_before_all("a") != stamp_before_all("b")
