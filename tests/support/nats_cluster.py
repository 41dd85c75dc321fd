"""Real NATS servers, started by our own code, that can be killed, stopped for a while, wiped and started again.

They live on a loop of a thread of their own, so that a test may use them from any loop, or none.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rookery.cluster.jetstream import JetStream, JetStreamSettings
from rookery.cluster.nats_config import NatsServerSettings, RouteTls
from rookery.cluster.nats_server import NatsServer
from tests.support.slapd import free_ports

T = TypeVar("T")
SECRET = "a-secret-of-the-cluster"
CALL_SECONDS_MAX = 60.0


class NatsCluster:
    """``count`` servers, called ``n0``, ``n1`` and so on unless named otherwise."""

    def __init__(
        self,
        count: int,
        directory: Path,
        node_ids: tuple[str, ...] = (),
        tls: tuple[RouteTls | None, ...] = (),
    ) -> None:
        self.directory = directory
        self.node_ids = node_ids or tuple(f"n{index}" for index in range(count))
        self.client_ports = free_ports(count)
        route_ports = free_ports(count)
        routes = tuple(f"127.0.0.1:{port}" for port in route_ports)
        self.settings = [
            NatsServerSettings(
                node_id=self.node_ids[index],
                directory=directory / f"nats-{index}",
                secret=SECRET,
                client_port=self.client_ports[index],
                route_port=route_ports[index],
                routes=routes,
                route_tls=tls[index] if tls else None,
            )
            for index in range(count)
        ]
        self.servers: list[NatsServer | None] = [None] * count
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats-cluster")

    def start(self) -> None:
        """Start all servers; whether JetStream is ready is the clients' to wait for."""
        self._thread.start()
        for index in range(len(self.servers)):
            self.restart(index)

    def restart(self, index: int) -> None:
        """Start a server that does not run."""
        assert self.servers[index] is None
        server = NatsServer(self.settings[index])
        self._call(server.start())
        self.servers[index] = server

    def kill(self, index: int) -> None:
        """SIGKILL; nobody starts it again but ``restart``."""
        self._stop(index, graceful=False)

    def terminate(self, index: int) -> None:
        """SIGTERM: it hands over what it leads."""
        self._stop(index, graceful=True)

    def pause(self, index: int) -> None:
        """SIGSTOP: it is there and does nothing, until ``resume``."""
        os.kill(self.pid(index), signal.SIGSTOP)

    def resume(self, index: int) -> None:
        os.kill(self.pid(index), signal.SIGCONT)

    def wipe(self, index: int) -> None:
        """Lose the disk of a server that does not run."""
        assert self.servers[index] is None
        shutil.rmtree(self.settings[index].directory)

    def pid(self, index: int) -> int:
        server = self.servers[index]
        assert server is not None and server.pid is not None
        return server.pid

    def stop(self) -> None:
        """Kill whatever runs: nothing of it is wanted any more."""
        for index, server in enumerate(self.servers):
            if server is not None:
                self.kill(index)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def addresses(self, home: int = 0) -> tuple[str, ...]:
        """Where clients connect, the server ``home`` first."""
        ports = self.client_ports[home:] + self.client_ports[:home]
        return tuple(f"127.0.0.1:{port}" for port in ports)

    @contextlib.asynccontextmanager
    async def connected(self, home: int = 0) -> AsyncIterator[JetStream]:
        """A connection of the node ``home``."""
        jetstream = JetStream(JetStreamSettings(self.addresses(home), SECRET))
        await jetstream.connect()
        try:
            yield jetstream
        finally:
            await jetstream.close()

    def _stop(self, index: int, *, graceful: bool) -> None:
        server = self.servers[index]
        assert server is not None
        self._call(server.stop(graceful=graceful))
        self.servers[index] = None

    def _call(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS_MAX)


@contextmanager
def nats_cluster(
    count: int, directory: Path, *node_ids: str, tls: tuple[RouteTls | None, ...] = ()
) -> Iterator[NatsCluster]:
    """``tls`` is what each server shows the others."""
    cluster = NatsCluster(count, directory, node_ids, tls)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
