import numpy as np
import pytest

from rookery_bench.sequence import Sequence


def accepted(*reads: list[int]) -> Sequence:
    sequence = Sequence()
    for numbers in reads:
        sequence.accept(np.array(numbers, np.int64))
    return sequence


def test_every_number_once_in_order_is_no_fault() -> None:
    assert accepted([0, 1, 2], [3], [4, 5]).faults(6) == ""


@pytest.mark.parametrize(
    ("reads", "fault"),
    [
        ([[0, 2, 3]], "1 lost"),
        ([[0, 1]], "2 lost"),
        ([[1, 2, 3]], "1 lost"),
        ([[0, 1, 1, 2], [3]], "1 duplicated"),
        ([[0, 2, 1, 3]], "1 reordered"),
        ([[0, 3], [1, 2, 2]], "2 reordered, 1 duplicated"),
        ([], "4 lost"),
    ],
)
def test_faults_are_counted(reads: list[list[int]], fault: str) -> None:
    assert accepted(*reads).faults(4) == fault


def test_a_loss_does_not_stop_the_count() -> None:
    assert accepted([0, 1, 5]).expected == 6
