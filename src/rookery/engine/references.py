"""How often the entries of each block are referred to, and how much of what is stored is dead weight.

Only the count of a block is kept and not that of each entry, which would cost more memory than what is owed
to a session that is away. So while a block is in use nobody knows which of its entries still are, but how
many references are gone says how much of it may be dead. ``trimming`` looks closer once that is worthwhile.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from rookery.records import block_of

LIVE_PARTS_MAX: Final = 3
LIVE_PARTS: Final = 4
"""A block of which more than three quarters are in use stays as it is."""


@final
@mypyc_attr(acyclic=True)
class Weight:
    """What a stored block of several entries weighs. All bytes but those of the start are estimates."""

    def __init__(self, entries: int, size_bytes: int, references: int) -> None:
        self.entries = entries
        """How many of them are stored."""
        self.size_bytes = size_bytes
        self.share_bytes: int = size_bytes // references
        """What one reference stands for."""
        self.loose_bytes: int = 0
        """What the references that are gone stood for: so much of it may be dead."""


class References:
    """The references to the blocks of the log."""

    def __init__(self) -> None:
        self.stored_bytes: int = 0
        """The entries of all blocks that have a weight."""
        self.loose_bytes: int = 0
        """How much of that may be dead."""
        self._counts: dict[int, int] = {}
        self._weights: dict[int, Weight] = {}
        """Of stored blocks of several entries: one alone goes with its last reference."""

    def add(self, position: int, count: int) -> None:
        """So many more refer to an entry."""
        block = block_of(position)
        self._counts[block] = self._counts.get(block, 0) + count

    def remove(self, position: int) -> bool:
        """One less refers to an entry; return whether nobody refers to its block any more."""
        block = block_of(position)
        left = self._counts.get(block, 0) - 1
        weight = self._weights.get(block)
        if left > 0:
            self._counts[block] = left
            if weight is not None:
                weight.loose_bytes += weight.share_bytes
                self.loose_bytes += weight.share_bytes
            return False
        self._counts.pop(block, None)
        if weight is not None:
            self.stored_bytes -= weight.size_bytes
            self.loose_bytes -= weight.loose_bytes
            del self._weights[block]
        return True

    def holds(self, block: int) -> bool:
        """Whether anybody refers to an entry of this block."""
        return block in self._counts

    def count(self, block: int) -> int:
        """How many references to a block there are."""
        return self._counts.get(block, 0)

    def blocks(self) -> list[int]:
        """The blocks that have a weight."""
        return list(self._weights)

    def weight(self, block: int) -> Weight | None:
        """The weight of a block; ``None`` while it is not stored, or has one entry alone."""
        return self._weights.get(block)

    def weigh(self, block: int, entries: int, size_bytes: int, dead_bytes: int) -> None:
        """A block is stored, with so many entries, of which so many bytes are known to be dead."""
        references = self._counts.get(block, 0)
        if entries > 1 and references:
            weight = Weight(entries, size_bytes, references)
            weight.loose_bytes = dead_bytes
            self._weights[block] = weight
            self.stored_bytes += size_bytes
            self.loose_bytes += dead_bytes

    def reduce(self, block: int, entries: int) -> None:
        """Only so many entries are left of a block, and somebody refers to each of them."""
        weight = self._weights.get(block)
        if weight is None:
            return
        self.stored_bytes -= weight.size_bytes
        self.loose_bytes -= weight.loose_bytes
        del self._weights[block]
        self.weigh(block, entries, weight.size_bytes * entries // weight.entries, 0)

    def worth_a_look(self, block: int) -> bool:
        """Whether enough of a block may be dead."""
        weight = self._weights.get(block)
        return weight is not None and not mostly_live(
            weight.size_bytes - weight.loose_bytes, weight.size_bytes
        )


def mostly_live(live: int, whole: int) -> bool:
    """Whether too much of it is in use for the rest to be worth the work."""
    return live * LIVE_PARTS > whole * LIVE_PARTS_MAX
