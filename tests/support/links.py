"""Links in the test's own loop, and what they tell their engine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from rookery.cluster.links import Links
from rookery.cluster.security import LinkSecurity
from rookery.ports import PeerLink

SECRET = LinkSecurity(secret=b"a secret of the tests")
SECONDS_MAX = 15.0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test on the loop of production."""
    uvloop.run(work)


class Told:
    """A ``PeerEvents`` that remembers, and that can be waited on."""

    def __init__(self) -> None:
        self.events: list[str] = []
        """``up n1 b1``, ``down n1 reason``, in order."""
        self.frames: dict[str, list[bytes]] = {}
        self.calls = 0
        """How often frames came."""
        self.links: dict[str, PeerLink] = {}
        self.at: list[float] = []
        self._changed = asyncio.Event()

    def peer_up(self, node_id: str, boot: str, link: PeerLink) -> None:
        assert node_id not in self.links, "up twice"
        self.links[node_id] = link
        self._note(f"up {node_id} {boot}")

    def peer_down(self, node_id: str, reason: str) -> None:
        del self.links[node_id]
        self._note(f"down {node_id} {reason}")

    def peer_frames(self, node_id: str, frames: Sequence[bytes]) -> None:
        assert node_id in self.links, "frames of a peer that is not up"
        self.frames.setdefault(node_id, []).extend(frames)
        self.calls += 1
        self._changed.set()

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.at.append(asyncio.get_running_loop().time())
        self._changed.set()

    def count(self, node_id: str) -> int:
        return len(self.frames.get(node_id, ()))

    async def until(self, there: Callable[[], object], seconds_max: float = SECONDS_MAX) -> None:
        """Wait until something is so, looking whenever something was told."""
        async with asyncio.timeout(seconds_max):
            while not there():
                self._changed.clear()
                await self._changed.wait()

    async def said(self, event: str, seconds_max: float = SECONDS_MAX) -> str:
        """Wait for the next event that begins like this, and forget those up to it."""
        await self.until(lambda: any(each.startswith(event) for each in self.events), seconds_max)
        place = next(i for i, each in enumerate(self.events) if each.startswith(event))
        found = self.events[place]
        del self.events[: place + 1], self.at[: place + 1]
        return found


class LinkNode:
    """One node's links. Arguments are those of ``Links`` where they differ."""

    def __init__(self, node_id: str, **changed: Any) -> None:
        self.told = Told()
        arguments: dict[str, Any] = {
            "node_id": node_id,
            "boot": "b1",
            "cluster": "test",
            "security": SECRET,
            "bind": "127.0.0.1:0",
            "events": self.told,
        }
        self.links = Links(**(arguments | changed))
        self.node_id = node_id

    async def problem(self, text: str) -> str:
        """Wait for a problem that has this in it."""
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                for problem in self.links.problems():
                    if text in problem:
                        return problem
                await asyncio.sleep(0.01)


@asynccontextmanager
async def nodes(*made: LinkNode) -> AsyncIterator[dict[str, str]]:
    """Start them, let them know each other, and stop them at the end; their addresses."""
    try:
        for node in made:
            await node.links.start()
        addresses = {node.node_id: node.links.address for node in made}
        for node in made:
            node.links.set_members(addresses)
        yield addresses
    finally:
        for node in made:
            await node.links.stop()


async def linked(one: LinkNode, other: LinkNode) -> tuple[PeerLink, PeerLink]:
    """Wait until both are up; the link of one to the other, and the reverse."""
    await one.told.until(lambda: other.node_id in one.told.links)
    await other.told.until(lambda: one.node_id in other.told.links)
    return one.told.links[other.node_id], other.told.links[one.node_id]
