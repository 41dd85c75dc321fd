import time

from rookery.actors.clock import SystemClock, chance, new_challenge, new_client_id
from rookery.mqtt.wire import encode_text


def test_the_monotonic_clock_is_the_system_s():
    clock = SystemClock()
    before = time.monotonic()
    found = clock.monotonic()
    assert before <= found <= time.monotonic()


def test_the_wall_clock_counts_from_1970():
    before = time.time()
    found = SystemClock().wall()
    assert before <= found <= time.time()


def test_chance_is_small_and_not_negative():
    found = {chance() for _ in range(50)}
    assert all(0 <= number < 2**30 for number in found)
    assert len(found) > 1


def test_no_two_client_ids_are_the_same():
    found = [new_client_id() for _ in range(50)]
    assert len(set(found)) == 50
    assert len(encode_text(found[0])) == 2 + len("rookery-") + 32


def test_no_two_challenges_are_the_same():
    found = [new_challenge() for _ in range(50)]
    assert len(set(found)) == 50
    assert {len(each) for each in found} == {32}
