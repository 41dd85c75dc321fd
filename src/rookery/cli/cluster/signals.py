"""Waiting that a signal ends: Ctrl-C, SIGTERM, SIGHUP, and the end of a child."""

import contextlib
import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Final, Self

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Inside ``with``, these signals do nothing but end a wait, and are counted."""

    def __init__(self, *, reloads_on_hangup: bool = False) -> None:
        """SIGHUP is one to stop, as where a terminal is closed, or one to read the configuration again."""
        self.stops = 0
        """How often the process was told to stop."""
        self.reloads = 0
        """How often it was told to read its configuration again."""
        self._reloading = signal.SIGHUP if reloads_on_hangup else None
        self._before: dict[signal.Signals, Any] = {}
        self._reader, self._writer = socket.socketpair()

    def __enter__(self) -> Self:
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for signum in (*STOPPING, signal.SIGCHLD):
            self._before[signum] = signal.signal(signum, self._came)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal comes."""
        if select.select([self._reader], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                while self._reader.recv(64):
                    pass

    def _came(self, signum: int, frame: FrameType | None) -> None:
        if signum == self._reloading:
            self.reloads += 1
        elif signum in STOPPING:
            self.stops += 1
