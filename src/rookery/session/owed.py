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
        self._passed_on: set[int] = set()
        """What is out, and finished as soon as a commit under way or to come is durable, and not before."""
        self._early_until: int = 0
        """The highest position that was taken out before lower ones, while any of them is left."""
        self._end: int = end
        """Every position from here on is still to come, when nothing is owed."""

    def start_at(self, cursor: int, finished: list[int]) -> None:
        """Go on where the last process left off."""
        self.cursor_at_start = cursor
        self._end = max([cursor, *(position + 1 for position in finished)])
        self._finished.update(finished)

    def was_finished(self, position: int) -> bool:
        """Whether the last process was done with it."""
        return position < self.cursor_at_start or position in self._finished

    def take_out(self, position: int) -> None:
        """A position is on its way to the client; they come in ascending order."""
        self._out.append(position)
        if position >= self._end:
            self._end = position + 1

    def take_out_early(self, position: int) -> None:
        """A QoS 2 delivery that was under way at a crash goes on before the rest of what was sent."""
        self._early_until = max(self._early_until, position)
        self.take_out(position)

    def finish(self, position: int) -> None:
        """The client has it, or it was dropped."""
        out = self._out
        if self._early_until or not out or out[0] != position:
            self._finished.add(position)
            return
        out.popleft()
        finished = self._finished
        while out and out[0] in finished:
            finished.discard(out.popleft())

    def cursor(self) -> int:
        """Everything before it is finished or was never owed."""
        cursor = self._end
        if self._early_until:
            left = [position for position in self._out if position not in self._finished]
            cursor = min(left, default=cursor)
        elif self._out:
            cursor = self._out[0]
        if self.backlog.count:
            cursor = min(cursor, self.backlog.first())
        if self._early_until and cursor > self._early_until:
            self._in_order_again()
        if cursor == self._end:
            self._finished.clear()
        return cursor

    def finished_beyond(self, cursor: int) -> list[int]:
        """What is finished from the cursor on, or will be with the group that says so, ascending."""
        beyond = [position for position in self._finished if position > cursor]
        beyond.extend(self._passed_on)
        return sorted(beyond)

    def pass_on(self, position: int) -> None:
        """Somebody else is owed it, if the open group can be kept; until that is known it stays out.

        What is kept with that group says that it is finished.
        """
        self._passed_on.add(position)

    def end_passing_on(self, position: int) -> None:
        """It is known whether somebody else is owed it: if so, finish it; else it is owed here as before."""
        self._passed_on.discard(position)

    def _in_order_again(self) -> None:
        finished = self._finished
        self._out = deque(sorted(position for position in self._out if position not in finished))
        self._early_until = 0

    def on_their_way(self) -> list[int]:
        """What is out of the backlog and not finished."""
        finished = self._finished
        return [position for position in self._out if position not in finished]

    def outstanding(self) -> list[int]:
        """All that is not finished; empties the backlog."""
        positions = self.on_their_way()
        for position, _ in self.backlog.take(self.backlog.count, self.backlog.last() + 1):
            positions.append(position)
        self._out.clear()
        self._finished.clear()
        self._passed_on.clear()
        return positions
