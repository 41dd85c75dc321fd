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


def stamp_before_all(node_id: str) -> int:
    """The stamp of what a node keeps from before it was in a cluster: lower than any that ``Stamps`` makes.

    Whatever was published or cleared in the cluster for its topic is later. Nothing need remember it, since it is
    the same whenever the message is read from the node's cell, by itself or by who adopts the cell.
    """
    return (1 << NODE_BITS) | _node_bits(node_id)


def _node_bits(node_id: str) -> int:
    return crc32(node_id.encode()) & ((1 << NODE_BITS) - 1)


class Stamps:
    """Makes the stamps of one node."""

    def __init__(self, clock: Clock, node_id: str) -> None:
        self._clock = clock
        self._node = _node_bits(node_id)
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
