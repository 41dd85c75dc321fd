"""One NATS server for all nodes of this machine, run by the process that looks after them.

So the end of a node takes nothing from the others. That process is no asyncio program: the server is looked after in
a thread, which also is the one whose end the server would notice (``rookery.cluster.child``).
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from rookery.app.cluster.nats import routes_of, server_settings
from rookery.cluster.nats_server import NatsServer, NatsServerFault

if TYPE_CHECKING:
    from pathlib import Path

    from rookery.config.models import Config


class MachineNats:
    """The server as the configuration has it. ``stop`` must follow ``start``."""

    def __init__(self, config: Config, directory: Path, base: Path) -> None:
        """``directory`` is that of the store; ``base`` is where relative paths in the configuration start."""
        self.listening = False
        """Whether it was started."""
        self.fault = ""
        """Why it could not be."""
        self._config = config
        self._directory = directory
        self._base = base
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="nats-server")

    def start(self) -> None:
        """Begin to start it; ``listening`` or ``fault`` tell what came of that."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until it has."""
        with self._lock:
            self._stopping = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            return
        except (NatsServerFault, OSError) as fault:
            self.fault = str(fault)

    async def _serve(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            await self._serve_until_cancelled()
        finally:
            with self._lock:
                self._task = None

    async def _serve_until_cancelled(self) -> None:
        routes = await routes_of(self._config)
        settings = server_settings(self._config, self._directory, self._base, routes)
        server = NatsServer(settings, own_session=True)
        try:
            await server.start()
            self.listening = True
            await asyncio.Event().wait()
        finally:
            self.listening = False
            await server.stop()
