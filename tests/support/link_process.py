"""A node's links in a process of its own, which a test can kill or stop: it sends back every frame.

``python -m tests.support.link_process`` reads one line of JSON with the arguments, then members as such lines; it
prints its address, and what it is told.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import structlog
import uvloop

from rookery.cluster.links import Links
from rookery.ports import PeerLink
from tests.support.command import FOLDER
from tests.support.links import SECRET

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 20.0


class LinkProcess:
    """The test's side; running inside ``async with``."""

    def __init__(self, node_id: str, boot: str = "b1", bind: str = "127.0.0.1:0") -> None:
        self._arguments = {"node_id": node_id, "boot": boot, "bind": bind}
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.link_process",
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": FOLDER},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._say(self._arguments)
        self.address = await self.line()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGKILL)
            await self._process.communicate()

    def members(self, members: dict[str, str]) -> None:
        self._say(members)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self) -> str:
        """Close its input, which ends it in good order; what it wrote to standard error."""
        assert self._process is not None
        _, errors = await asyncio.wait_for(self._process.communicate(b""), SECONDS_MAX)
        assert self._process.returncode == 0, errors
        return errors.decode()

    async def line(self) -> str:
        """The next thing it printed."""
        assert self._process is not None and self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), SECONDS_MAX)
        if not line:
            _, errors = await self._process.communicate()
            raise AssertionError(f"the process ended: {errors.decode()}")
        return line.decode().strip()

    def _say(self, value: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")


class _Echo:
    """Sends back what comes."""

    def __init__(self) -> None:
        self._links: dict[str, PeerLink] = {}

    def peer_up(self, node_id: str, boot: str, link: PeerLink) -> None:
        self._links[node_id] = link
        print("up", node_id, boot, flush=True)

    def peer_down(self, node_id: str, reason: str) -> None:
        del self._links[node_id]
        print("down", node_id, reason, flush=True)

    def peer_frames(self, node_id: str, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._links[node_id].send(frame)


async def _run() -> None:
    loop = asyncio.get_running_loop()
    arguments = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    links = Links(cluster="test", security=SECRET, events=_Echo(), **arguments)
    await links.start()
    print(links.address, flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        links.set_members(json.loads(line))
    await links.stop()


if __name__ == "__main__":
    # What is printed is for the test, and nothing else may be.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    uvloop.run(_run())
