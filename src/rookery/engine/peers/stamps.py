"""Stamps of retained messages: which of two for one topic is the later one, everywhere the same.

A hybrid logical clock (Kulkarni et al., 2014): the wall clock's milliseconds, a counter within them, and some bits of
the node's name so that no two nodes make the same. A stamp is higher than any its node has seen, so what
is published after another message was seen counts as later, however far the clocks are apart.
"""

from typing import Final
from zlib import crc32

from rookery.ports import Clock

COUNTER_BITS: Final = 8
NODE_BITS: Final = 12


class Stamps:
    """Makes the stamps of one node."""

    def __init__(self, clock: Clock, node_id: str) -> None:
        self._clock = clock
        self._node = crc32(node_id.encode()) & ((1 << NODE_BITS) - 1)
        self._last: int = 0
        """Milliseconds and counter of the highest stamp made or seen."""

    def new(self) -> int:
        """A stamp higher than all before."""
        milliseconds = int(self._clock.wall() * 1000.0)
        self._last = max(self._last + 1, milliseconds << COUNTER_BITS)
        return (self._last << NODE_BITS) | self._node

    def saw(self, stamp: int) -> None:
        """Another node made this one."""
        self._last = max(self._last, stamp >> NODE_BITS)
