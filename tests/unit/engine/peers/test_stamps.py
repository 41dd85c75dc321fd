from rookery.engine.peers.stamps import Stamps
from tests.support.engine import FakeClock


def test_each_is_higher_than_all_before_however_fast_they_are_made():
    stamps = Stamps(FakeClock(), "a")
    made = [stamps.new() for _ in range(5_000)]
    assert made == sorted(set(made))
    assert made[-1] < 1 << 64


def test_a_later_one_is_higher_and_a_clock_that_goes_back_makes_none_lower():
    clock = FakeClock()
    stamps = Stamps(clock, "a")
    first = stamps.new()
    clock.now += 5
    later = stamps.new()
    clock.now -= 60
    assert first < later < stamps.new()


def test_what_is_published_after_another_was_seen_is_later():
    ahead, behind = FakeClock(), FakeClock(wall=FakeClock().wall() - 300)
    one, other = Stamps(ahead, "a"), Stamps(behind, "b")
    seen = one.new()
    assert other.new() < seen
    other.saw(seen)
    assert other.new() > seen


def test_two_nodes_make_different_ones_at_one_moment():
    clock = FakeClock()
    assert Stamps(clock, "a").new() != Stamps(clock, "b").new()
