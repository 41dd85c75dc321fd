"""The metrics port of a node that says of itself and its cluster what a test wants."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from rookery.observe.cluster import ClusterRefusal
from rookery.observe.health import Health
from rookery.observe.http import ObserveServer

SECRET = "0123456789abcdef"


class Admin:
    """A cluster as one node sees it; what it is asked to do is kept."""

    def __init__(self, node_id: str, links: dict[str, str], **told: Any) -> None:
        self._node_id = node_id
        self._links = links
        self._told = told
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusal: str | None = None
        self.by: list[object] = []
        """Who asked for it, each time."""

    def status(self) -> dict[str, Any]:
        members = [
            {"node_id": name, "address": "127.0.0.1:1", "state": "live", "epoch": 1, "link": link}
            for name, link in self._links.items()
        ]
        me = {"node_id": self._node_id, "name": "rookery", "state": "live", "epoch": 3}
        return {**me, "ready": True, "members": members, "sessions": 5, "routes": 7, **self._told}

    async def act(self, action: str, arguments: dict[str, Any], address: str) -> dict[str, Any]:
        self.by.append(arguments.pop("by", None))
        self.asked.append((action, arguments))
        if self.refusal is not None:
            raise ClusterRefusal(self.refusal)
        return {"sessions_moved": 5, "to": "b"}


@contextmanager
def metrics_port(admin: Admin | None = None, unready: str | None = None) -> Iterator[str]:
    """Its address, while it runs."""
    health = Health()
    health.mark_started()
    health.add_check("cluster", lambda: (unready is None, unready or "fine"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ObserveServer(CollectorRegistry(), health, admin, SECRET)
    port = asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(10)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
