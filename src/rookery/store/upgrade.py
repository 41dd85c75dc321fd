"""What a file of an older version needs beyond new tables: rows that must be written anew.

Each step is frozen as it was when its version came: it names its own numbers, whatever those of the present
version are.
"""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Final

from rookery.store.blocks import split_block

_ENTRIES_SINCE_2: Final = 64
_BLOCKS_PER_OLD_SHIFT: Final = 14
"""A block of version 1 had up to 2 ** 20 places, one of version 2 has 2 ** 6: positions stay the same."""


def split_row(block: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """The rows of version 2 for a block of version 1; none where its directory is damaged."""
    return enumerate(split_block(data, _ENTRIES_SINCE_2), block << _BLOCKS_PER_OLD_SHIFT)


def next_block_since_2(next_block: int) -> int:
    """The next block as version 2 counts."""
    return next_block << _BLOCKS_PER_OLD_SHIFT


def _split_log(connection: sqlite3.Connection) -> None:
    for block, data in connection.execute("SELECT block, data FROM log_of_version_1"):
        rows = list(split_row(block, data))
        if not rows:
            # The file is then set aside and what can be read of it saved, as any damaged one.
            raise sqlite3.DatabaseError(f"the directory of block {block} is damaged")
        connection.executemany("INSERT INTO log (block, data) VALUES (?, ?)", rows)
    connection.execute("DROP TABLE log_of_version_1")


CONVERSIONS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {1: _split_log}
"""By the version they lead away from: what comes after the statements of that step, in its transaction."""
