"""Keeps a share of the delivery times of a run, spread evenly over the messages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Percentiles:
    """Times from sending to delivery, in microseconds."""

    p50_us: float
    p95_us: float
    p99_us: float


class LatencySamples:
    """Every ``step``-th delivery, counted over all subscribers."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._skip = 0
        self._samples: list[npt.NDArray[np.int64]] = []

    def add(self, sent_ns: npt.NDArray[np.int64], now_ns: int) -> None:
        """Take the times of sending of one read's deliveries."""
        count = len(sent_ns)
        if count > self._skip:
            taken = sent_ns[self._skip :: self._step]
            self._samples.append(now_ns - taken)
            self._skip += len(taken) * self._step
        self._skip -= count

    def restart(self) -> None:
        """Forget what came so far: the warm-up is over."""
        self._samples.clear()

    def percentiles(self) -> Percentiles | None:
        """Sum up; None when nothing was delivered."""
        if not self._samples:
            return None
        return percentiles(np.concatenate(self._samples))


def percentiles(times_ns: npt.NDArray[np.int64] | Sequence[int]) -> Percentiles | None:
    """Return the percentiles of times given in nanoseconds; None when there are none."""
    if len(times_ns) == 0:
        return None
    p50, p95, p99 = (float(value) / 1000 for value in np.percentile(times_ns, (50, 95, 99)))
    return Percentiles(p50, p95, p99)
