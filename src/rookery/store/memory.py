"""The store that keeps nothing: durability ``memory``.

The sessions themselves hold the state, so a commit has nothing to do but say so, at once and in
order. What it promises is exactly what survives: everything while the process lives, nothing after.
"""

from collections.abc import Callable

from rookery.ports import Record


class MemoryStore:
    """Adapter of ``rookery.ports.Store``."""

    @property
    def durability(self) -> str:
        """The level a completed commit has reached."""
        return "memory"

    def commit(self, records: list[Record], done: Callable[[Exception | None], None]) -> None:
        """The live sessions hold what the records say: done."""
        done(None)

    async def close(self) -> None:
        """Nothing to let go of."""
