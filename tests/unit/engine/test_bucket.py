import pytest

from rookery.engine.bucket import Bucket, bucket_of


def test_a_burst_and_then_the_rate():
    bucket = Bucket(10.0, 5.0, 0.0)
    assert [bucket.take(1, 0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(1, 0.0) == pytest.approx(0.1)
    assert bucket.take(1, 0.2) == 0.0


def test_what_waits_has_paid_and_the_next_one_waits_longer():
    bucket = Bucket(2.0, 1.0, 0.0)
    assert [bucket.take(1, 0.0) for _ in range(4)] == pytest.approx([0.0, 0.5, 1.0, 1.5])
    assert bucket.take(1, 1.5) == pytest.approx(0.5), "each in its turn, at the rate"


def test_more_at_once_than_it_holds_is_paid_for_later():
    bucket = Bucket(100.0, 100.0, 0.0)
    assert bucket.take(1_100, 0.0) == pytest.approx(10.0)
    assert bucket.take(0, 4.0) == pytest.approx(6.0)
    assert bucket.take(0, 10.0) == pytest.approx(0.0)


def test_a_pause_saves_no_more_than_the_burst():
    bucket = Bucket(10.0, 3.0, 0.0)
    bucket.take(3, 0.0)
    assert [bucket.take(1, 1_000.0) for _ in range(4)] == pytest.approx([0.0, 0.0, 0.0, 0.1])


def test_looking_takes_nothing():
    bucket = Bucket(4.0, 1.0, 0.0)
    assert bucket.wait_seconds(0.0) == bucket.wait_seconds(0.0) == 0.0
    bucket.take(1, 0.0)
    assert bucket.wait_seconds(0.0) == pytest.approx(0.25)
    assert bucket.wait_seconds(0.25) == 0.0


def test_it_is_full_when_nothing_was_taken_lately():
    bucket = Bucket(4.0, 2.0, 0.0)
    assert bucket.is_full(0.0)
    bucket.take(2, 0.0)
    assert [bucket.is_full(now) for now in (0.0, 0.4, 0.5)] == [False, False, True]


def test_a_configured_rate():
    assert bucket_of(None, 1.0, 0.0) is None
    bucket = bucket_of(0.1, 1.0, 0.0)
    assert bucket is not None
    assert bucket.take(1, 0.0) == 0.0, "one can always be had"
    assert bucket.take(1, 0.0) == pytest.approx(10.0)
