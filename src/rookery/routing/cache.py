"""What was found for the topic names in use, so that a busy topic costs one dict look-up.

The cache is two dicts. New and used topics live in the young one; when that is full, it becomes the
old one and the former old one is discarded. Discarded dicts are freed a few entries at a time:
freeing tens of thousands at once would stall the loop.
"""

from typing import Final

from rookery.routing.subscriber import Matches

TOPICS_MAX: Final = 65_536
YOUNG_TOPICS_MAX: Final = TOPICS_MAX // 2
YOUNG_BYTES_MAX: Final = 33_554_432
"""A topic may reach many recipients, so the number of topics alone bounds no memory."""
ENTRY_BYTES: Final = 256
"""About what an entry costs besides its topic name and its recipients."""
FREED_PER_CHANGE: Final = 4
HEAVY_RECIPIENTS: Final = 4_096
"""Matches of more recipients are freed one per change."""
RECIPIENTS_MAX: Final = 65_536
"""Matches of more are not remembered: delivering costs far more than to find them again, and to
forget them would stall the one who unsubscribes."""


class MatchCache:
    """Topic name -> ``Matches``, bounded, without a stall."""

    def __init__(self) -> None:
        self._young: dict[str, Matches] = {}
        self._young_bytes = 0
        self._old: dict[str, Matches] = {}
        self._discarded: list[dict[str, Matches]] = []

    def get(self, topic: str) -> Matches | None:
        """Return what was put for a topic name, if it is still known."""
        matches = self._young.get(topic)
        if matches is not None:
            return matches
        matches = self._old.get(topic)
        if matches is not None:
            del self._old[topic]
            self.put(topic, matches)
        return matches

    def put(self, topic: str, matches: Matches) -> None:
        """Remember what a topic name reaches, in place of the least recently used."""
        if len(matches.recipients) > RECIPIENTS_MAX:
            return
        size_bytes = entry_bytes(topic, matches)
        young = self._young
        if len(young) >= YOUNG_TOPICS_MAX or (
            young and self._young_bytes + size_bytes > YOUNG_BYTES_MAX
        ):
            self._discarded.append(self._old)
            self._old = young
            self._young = {}
            self._young_bytes = 0
        self._young[topic] = matches
        self._young_bytes += size_bytes
        self._free_some()

    def forget(self, topic: str) -> None:
        """Forget one topic name."""
        matches = self._young.get(topic)
        if matches is not None:
            self._young_bytes -= entry_bytes(topic, matches)
            del self._young[topic]
        elif topic in self._old:
            del self._old[topic]

    def clear(self) -> None:
        """Forget everything."""
        if self._young:
            self._discarded.append(self._young)
            self._young = {}
            self._young_bytes = 0
        if self._old:
            self._discarded.append(self._old)
            self._old = {}
        self._free_some()

    def topic_count(self) -> int:
        """Return how many topic names are known."""
        return len(self._young) + len(self._old)

    def discarded_count(self) -> int:
        """Return how many forgotten entries are still to be freed."""
        count = 0
        for discarded in self._discarded:
            count += len(discarded)
        return count

    def _free_some(self) -> None:
        # Each ``put`` adds one entry and frees several, so what is discarded cannot pile up.
        for _ in range(FREED_PER_CHANGE):
            if not self._discarded:
                return
            discarded = self._discarded[-1]
            if not discarded:
                self._discarded.pop()
                continue
            matches = discarded.popitem()[1]
            if len(matches.recipients) > HEAVY_RECIPIENTS:
                return


def entry_bytes(topic: str, matches: Matches) -> int:
    """Return about how many bytes the cache holds for one topic name."""
    return ENTRY_BYTES + len(topic) + 8 * len(matches.recipients)
