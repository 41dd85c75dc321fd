"""The cache keeps what is used, within its bounds, and frees the rest in small steps."""

import pytest

from rookery.routing.cache import (
    HEAVY_RECIPIENTS,
    RECIPIENTS_MAX,
    TOPICS_MAX,
    YOUNG_BYTES_MAX,
    YOUNG_TOPICS_MAX,
    MatchCache,
    entry_bytes,
)
from rookery.routing.subscriber import Matches, Recipient
from tests.support.subscribers import FakeSession

RECIPIENT = Recipient(FakeSession("a"), 0, False, False, ())


def matches_of(recipients: int) -> Matches:
    return Matches([RECIPIENT] * recipients, [])


def fill(cache: MatchCache, count: int, name: str = "t") -> None:
    for number in range(count):
        cache.put(f"{name}/{number}", matches_of(1))


def test_knows_what_was_put():
    cache = MatchCache()
    matches = matches_of(1)
    assert cache.get("t") is None
    cache.put("t", matches)
    assert cache.get("t") is matches
    assert cache.topic_count() == 1


def test_forgets_one_topic():
    cache = MatchCache()
    fill(cache, 3)
    cache.forget("t/1")
    cache.forget("unknown")
    assert cache.get("t/1") is None
    assert cache.get("t/2") is not None
    assert cache.topic_count() == 2


def test_forgets_an_old_topic():
    cache = MatchCache()
    fill(cache, YOUNG_TOPICS_MAX + 1)
    cache.forget("t/0")
    assert cache.get("t/0") is None
    assert cache.get("t/1") is not None


def test_forgets_everything_young_and_old():
    cache = MatchCache()
    fill(cache, YOUNG_TOPICS_MAX + 5)
    cache.clear()
    assert cache.topic_count() == 0
    assert cache.get("t/0") is None
    assert cache.get(f"t/{YOUNG_TOPICS_MAX + 1}") is None


def test_holds_no_more_than_its_bound_and_what_is_used_stays():
    cache = MatchCache()
    used = matches_of(1)
    cache.put("used", used)
    for number in range(3 * TOPICS_MAX):
        cache.put(f"t/{number}", matches_of(0))
        if number % 1000 == 0:
            assert cache.get("used") is used
            assert cache.topic_count() <= TOPICS_MAX
    assert cache.get("t/0") is None
    assert cache.get(f"t/{3 * TOPICS_MAX - 1}") is not None


def test_holds_no_more_than_its_bytes():
    cache = MatchCache()
    recipients = 10_000
    each = entry_bytes("t/0", matches_of(recipients))
    for number in range(3 * YOUNG_BYTES_MAX // each):
        cache.put(f"t/{number}", matches_of(recipients))
    assert cache.topic_count() <= 2 * YOUNG_BYTES_MAX // each


def test_forgetting_gives_the_bytes_back():
    cache = MatchCache()
    cache.put("stays", matches_of(1))
    big = matches_of(10_000)
    for number in range(3 * YOUNG_BYTES_MAX // entry_bytes("t", big)):
        cache.put(f"small/{number}", matches_of(1))
        cache.put("t", big)
        cache.forget("t")
    assert cache.get("stays") is not None
    assert cache.discarded_count() == 0


def test_forgetting_everything_gives_the_bytes_back():
    cache = MatchCache()
    big = matches_of(50_000)
    fitting = YOUNG_BYTES_MAX // entry_bytes("t/0", big) - 1
    for number in range(fitting):
        cache.put(f"t/{number}", big)
    cache.clear()
    cache.put("stays", matches_of(1))
    for number in range(fitting + 10):
        cache.put(f"t/{number}", big)
    assert cache.get("stays") is not None  # Among the old by now, but among the old only once.


def test_does_not_remember_a_crowd():
    cache = MatchCache()
    cache.put("crowd", matches_of(RECIPIENTS_MAX + 1))
    cache.put("many", matches_of(RECIPIENTS_MAX))
    assert cache.get("crowd") is None
    assert cache.get("many") is not None


def test_frees_a_little_with_every_change_until_nothing_is_left():
    cache = MatchCache()
    fill(cache, 1000)
    cache.clear()
    before = cache.discarded_count()
    assert 990 < before <= 1000
    cache.put("t", matches_of(0))
    assert before - 10 < cache.discarded_count() < before
    for _ in range(1000):
        cache.clear()
    assert cache.discarded_count() == 0


def test_frees_heavy_ones_one_at_a_time():
    cache = MatchCache()
    for number in range(10):
        cache.put(f"t/{number}", matches_of(HEAVY_RECIPIENTS + 1))
    cache.clear()
    assert cache.discarded_count() == 9
    cache.clear()
    assert cache.discarded_count() == 8


@pytest.mark.parametrize("between", [0, 1, 7])
def test_what_is_discarded_does_not_pile_up(between):
    cache = MatchCache()
    for number in range(5_000):
        fill(cache, between, f"t/{number}")
        cache.clear()
    assert cache.discarded_count() <= 8
