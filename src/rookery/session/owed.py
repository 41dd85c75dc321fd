"""What a durable session is owed from the message log, and how far it has come.

Positions are either in the backlog, or out of it: held in memory on their way to the client. From what is
out and not finished follows the cursor, which is all that must be stored of it, with the few
positions beyond the cursor that are finished all the same.
"""

from collections import deque

from rookery.session.backlog import Backlog


class Owed:
    """The log positions of one durable session."""

    def __init__(self, end: int) -> None:
        self.backlog = Backlog()
        self.backlog_bytes: int = 0
        """Topic and payload bytes of what is in the backlog."""
        self.reading: bool = False
        """Whether positions were taken out and their messages are being read."""
        self.sent: int = 0
        """The highest position that was ever sent."""
        self.resend_until: int = 0
        """Up to here the last process may have sent without an acknowledgement: DUP. [MQTT-3.3.1-1]"""
        self.share_of: dict[int, str] = {}
        """The share groups of backlog positions that came by one."""
        self.cursor_at_start: int = 0
        """Where the session had come when the process began."""
        self._out: deque[int] = deque()
        self._finished: set[int] = set()
        self._mixed: bool = False
        """Whether what is out is not in ascending order."""
        self._end: int = end
        """Every position from here on is still to come, when nothing is owed."""

    def start_at(self, cursor: int, finished: list[int]) -> None:
        """Go on where the last process left off."""
        self.cursor_at_start = cursor
        self._end = cursor
        self._finished.update(finished)

    def was_finished(self, position: int) -> bool:
        """Whether the last process was done with it."""
        return position < self.cursor_at_start or position in self._finished

    def take_out(self, position: int) -> None:
        """A position is on its way to the client.

        They come in ascending order, but for the QoS 2 deliveries that were under way at a crash: these
        go on before the rest of what was sent.
        """
        out = self._out
        if out and position < out[-1]:
            self._mixed = True
        out.append(position)
        if position >= self._end:
            self._end = position + 1

    def finish(self, position: int) -> None:
        """The client has it, or it was dropped."""
        out = self._out
        if out and out[0] == position:
            out.popleft()
            finished = self._finished
            while out and out[0] in finished:
                finished.discard(out.popleft())
            if not out:
                self._mixed = False
        else:
            self._finished.add(position)

    def cursor(self) -> int:
        """Everything before it is finished or was never owed."""
        cursor = self._end
        if self._mixed:
            cursor = min(each for each in self._out if each not in self._finished)
        elif self._out:
            cursor = self._out[0]
        if self.backlog.count:
            cursor = min(cursor, self.backlog.first())
        return cursor

    def finished_beyond(self, cursor: int) -> list[int]:
        """What is finished from the cursor on, ascending."""
        return sorted(position for position in self._finished if position > cursor)

    def outstanding(self) -> list[int]:
        """All that is not finished; empties the backlog."""
        finished = self._finished
        positions = [position for position in self._out if position not in finished]
        for position, _ in self.backlog.take(self.backlog.count):
            positions.append(position)
        self._out.clear()
        finished.clear()
        return positions
