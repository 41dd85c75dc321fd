import os

import pytest

from rookery_bench.accounting import Usage
from rookery_bench.measurement import Measurement, per_unit, with_acks


class Used(Usage):
    """What the kernel would say, said here."""

    def __init__(self) -> None:
        super().__init__(os.getpid())

    def read(self) -> tuple[int, int, int]:
        return 8_000_000, 2_000_000, 10_000_000


def test_what_was_used_is_divided_by_the_work() -> None:
    measured = per_unit(Used(), 4_000, None, ["a fault"])
    assert measured.value == pytest.approx(2.0)
    assert measured.generator_us == pytest.approx(0.5)
    assert measured.per_second == pytest.approx(400_000)
    assert measured.broker_share == pytest.approx(0.8)
    assert measured.faults == ["a fault"]


def test_no_work_at_all_is_a_fault() -> None:
    assert per_unit(Used(), 0, None, []).faults == ["nothing was delivered"]


def test_acks_have_a_rate_of_their_own() -> None:
    measured = with_acks(per_unit(Used(), 4_000, None, []), acked=3_000, units=4_000)
    assert measured.acked_per_second == pytest.approx(300_000)
    nothing = Measurement(0.0, None, None, None, None, ["nothing was delivered"])
    assert with_acks(nothing, 1, 0) == nothing
