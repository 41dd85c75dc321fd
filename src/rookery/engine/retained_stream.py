"""The retained messages that a new subscription brings, on their way to the client."""

from typing import Final

from rookery.message import Message
from rookery.routing.retained import RetainedCursor

RETAINED_BATCH: Final = 64


class RetainedStream:
    """The retained messages one new subscription brings, taken as the client reads them."""

    def __init__(
        self, cursor: RetainedCursor, written: str, qos_max: int, identifiers: tuple[int, ...]
    ) -> None:
        self.written = written
        """The subscription, by its key in the session."""
        self.qos_max = qos_max
        self.identifiers = identifiers
        self._cursor = cursor
        self._batch: list[Message] = []
        self._next: int = 0

    @property
    def done(self) -> bool:
        """Whether there are no more messages."""
        return self._cursor.done and self._next >= len(self._batch)

    def take(self, now: float) -> Message | None:
        """The next message, or ``None`` when looking for it is work for another turn."""
        if self._next >= len(self._batch):
            self._batch = self._cursor.take(RETAINED_BATCH, now)
            self._next = 0
            if not self._batch:
                return None
        message = self._batch[self._next]
        self._next += 1
        return message
