import numpy as np
import pytest

from rookery_bench.latency import LatencySamples, percentiles


@pytest.mark.parametrize("reads", [[100], [1] * 100, [3, 4] * 14 + [2], [99, 1]])
def test_samples_are_every_nth_delivery_however_they_arrive(reads: list[int]) -> None:
    samples = LatencySamples(10)
    sent_ns = iter(range(100))
    for count in reads:
        samples.add(np.array([next(sent_ns) for _ in range(count)], np.int64), 1_000)
    expected = percentiles([1_000 - sent for sent in range(0, 100, 10)])
    assert samples.percentiles() == expected


def test_the_warm_up_is_forgotten() -> None:
    samples = LatencySamples(1)
    samples.add(np.array([0], np.int64), 9_000)
    samples.restart()
    assert samples.percentiles() is None
    samples.add(np.array([0], np.int64), 2_000)
    found = samples.percentiles()
    assert found is not None
    assert found.p50_us == 2.0


def test_percentiles_are_in_microseconds() -> None:
    found = percentiles(np.arange(0, 101_000, 1_000, dtype=np.int64))
    assert found is not None
    assert (found.p50_us, found.p95_us, found.p99_us) == (50.0, 95.0, 99.0)


def test_no_delivery_has_no_percentiles() -> None:
    assert percentiles([]) is None
