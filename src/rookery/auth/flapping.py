"""What happens too often: failed authentications of an address, connects of a client id.

Each has a window that begins with its first event; the event that is one too many within it is told, and the
count begins anew. The table is bounded: when it is full, the window that began first is forgotten.
"""

from collections import OrderedDict
from typing import Final, final

ENTRIES_MAX: Final = 100_000


@final
class Repeats:
    """Counts events by a key, within a window."""

    def __init__(
        self, count_max: int, window_seconds: float, entries_max: int = ENTRIES_MAX
    ) -> None:
        self.count_max = count_max
        self.window_seconds = window_seconds
        self._entries_max = entries_max
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def note(self, key: str, now: float) -> bool:
        """Count one event; whether it is one too many."""
        self._forget_old(now)
        began, count = self._windows.get(key, (now, 0))
        count += 1
        if count > self.count_max:
            del self._windows[key]
            return True
        self._windows[key] = (began, count)
        if len(self._windows) > self._entries_max:
            self._windows.popitem(last=False)
        return False

    def _forget_old(self, now: float) -> None:
        """Windows begin in the order of the table, so those that are over stand first."""
        while self._windows:
            began, _ = next(iter(self._windows.values()))
            if now - began < self.window_seconds:
                return
            self._windows.popitem(last=False)
