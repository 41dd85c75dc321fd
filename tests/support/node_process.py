"""A node as users run it: ``rookery start`` in a process of its own."""

import json
import queue
import re
import signal
import threading
from collections.abc import Callable
from typing import Any, Self

from tests.support.command import rookery_open

SECONDS_MAX = 20.0


class NodeProcess:
    """Running inside ``with``; arguments are those of ``rookery start``, logs are JSON lines."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        self._process = rookery_open("start", "--set", "log.format=json", *arguments, **options)
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._logged: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=_read, args=(stream, lines))
            for stream, lines in (
                (self._process.stdout, self._said),
                (self._process.stderr, self._logged),
            )
        ]
        for reader in self._readers:
            reader.start()
        self.banner: list[str] = []
        """What it printed when it was ready."""

    def __enter__(self) -> Self:
        while not (self.banner and "configured by" in self.banner[-1]):
            line = self._said.get(timeout=SECONDS_MAX)
            if line is None:
                self.wait()
                raise AssertionError(f"no start: {self.remaining_log()}")
            self.banner.append(line)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()

    def addresses(self, scheme: str) -> list[tuple[str, int]]:
        """Host and port of each listener with this scheme (``tcp``, ``ws``), in their order."""
        found = re.findall(rf"listening on {scheme}://([^:\s]+):(\d+)", "\n".join(self.banner))
        return [(host, int(port)) for host, port in found]

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def stop(self) -> int:
        """End it in good order; the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def send(self, signum: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(signum)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        code = self._process.wait(SECONDS_MAX)
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return code

    def log(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next log line of this kind; those before it are passed over."""
        while (line := self._logged.get(timeout=SECONDS_MAX)) is not None:
            record: dict[str, Any] = json.loads(line)
            if wanted(record):
                return record
        raise AssertionError("the node ended without that line")

    def event(self, name: str) -> dict[str, Any]:
        """The next log line with this event name."""
        return self.log(lambda record: record["event"] == name)

    def logged(self) -> list[str]:
        """What it has written to standard error by now and nobody has taken."""
        lines = []
        while not self._logged.empty():
            line = self._logged.get()
            if line is None:
                self._logged.put(None)
                break
            lines.append(line)
        return lines

    def remaining_log(self) -> list[str]:
        """What it still wrote to standard error until its end."""
        lines = []
        while (line := self._logged.get(timeout=SECONDS_MAX)) is not None:
            lines.append(line)
        return lines


def _read(stream: Any, lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line.decode().rstrip("\n"))
    lines.put(None)
