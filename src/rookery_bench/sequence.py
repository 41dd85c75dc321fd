"""Checks that one subscriber gets every number of one publisher once and in order."""

from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

_ROWS_MAX: Final = 1 << 16
_COUNT_UP: Final[Numbers] = np.arange(_ROWS_MAX, dtype=np.int64)


class Sequence:
    """The numbers one subscriber got from one publisher."""

    def __init__(self) -> None:
        self.expected = 0
        """The number that comes next; also how many went by, so a loss does not stop the load."""
        self.reordered = 0
        self.duplicated = 0
        self._missing: set[int] = set()

    def accept(self, numbers: Numbers) -> None:
        """Take the numbers of one read, in the order of arrival (at most 65,536)."""
        count = len(numbers)
        if bool((numbers == _COUNT_UP[:count] + self.expected).all()):
            self.expected += count
            return
        for number in numbers.tolist():
            self._accept_one(number)

    def _accept_one(self, number: int) -> None:
        if number >= self.expected:
            self._missing.update(range(self.expected, number))
            self.expected = number + 1
        elif number in self._missing:
            self._missing.remove(number)
            self.reordered += 1
        else:
            self.duplicated += 1

    def lost(self, sent: int) -> int:
        """Return how many of ``sent`` messages have not come."""
        return len(self._missing) + max(0, sent - self.expected)

    def faults(self, sent: int) -> str:
        """Say what went wrong with ``sent`` messages; empty when nothing did."""
        counts = {
            "lost": self.lost(sent),
            "reordered": self.reordered,
            "duplicated": self.duplicated,
        }
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
