"""What lies below a node of a cluster: its NATS server, the streams in it, the registers, and the node's lease."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from rookery import __version__
from rookery.actors.clock import chance
from rookery.actors.tasks import Tasks
from rookery.app.cluster.nats import connection_settings, routes_of, server_settings
from rookery.cluster.cell_log import JetStreamLog
from rookery.cluster.cells import CellRecord
from rookery.cluster.jetstream import JetStream
from rookery.cluster.leaders import Leaders
from rookery.cluster.lease import Lease, LeaseEvents
from rookery.cluster.registers import Registers
from rookery.cluster.requirements import server_faults
from rookery.cluster.streams import ensure_streams
from rookery.config.cluster import advertised, host_of
from rookery.ports import LogUnavailable, NotStarted
from rookery.store.database import make_directory

if TYPE_CHECKING:
    from rookery.app.cluster.keeper import ServerKeeper
    from rookery.cluster.nats_server import NatsServer
    from rookery.config.models import Config
    from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.app")

AGAIN_SECONDS: Final = 0.5


class Ground:
    """Started before the node's store is opened, ended after that is closed."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        clock: Clock,
        events: LeaseEvents,
        keeper: ServerKeeper,
        base: Path,
    ) -> None:
        """``directory`` is that of the node's store; ``keeper`` has the NATS server, and ends it.

        ``base`` is where relative paths in the configuration start.
        """
        self._config = config
        self._keeper = keeper
        self._directory = directory
        self._base = base
        node_id = config.broker.node_id
        self.server: NatsServer | None = None
        self.jetstream = JetStream(connection_settings(config))
        self.registers = Registers(self.jetstream, clock)
        self.lease = Lease(self.registers, clock, events)
        self.cell_log = JetStreamLog(self.jetstream, node_id)
        self._tasks = Tasks(_failed)

    async def start(self) -> CellRecord:
        """Have everything there, however long that takes; the node's record, with the epoch of its cell.

        Raises ``NatsServerFault``, ``NotStarted`` and ``StoreFault``.
        """
        config = self._config
        nats = config.cluster.nats
        # For its owner only, which the NATS server would not see to when it makes its own directory in there.
        await asyncio.to_thread(make_directory, self._directory)
        if not nats.urls:
            routes = await routes_of(config)
            settings = server_settings(config, self._directory, self._base, routes)
            self.server = await self._keeper.have(settings)
        await self.jetstream.connect()
        if nats.urls:
            self._check_server()
        node_id = config.broker.node_id
        own = self._own_server()
        await ensure_streams(self.jetstream, node_id, nats.replicas, own)
        self._tasks.start("leaders", Leaders(self.jetstream, node_id, own).run())
        return await self.lease.acquire(self._record(), self._empty)

    async def stop(self) -> None:
        """Give up the lease and end all of it but the NATS server."""
        await self.lease.release()
        await self._tasks.stop()
        await self.registers.stop()
        await self.jetstream.close()

    def problems(self) -> list[str]:
        """What is wrong below the node, for the operator."""
        found = [] if self.server is None else self.server.problems()
        if not self.jetstream.connected:
            found.append("there is no connection to NATS")
        return found

    def _check_server(self) -> None:
        """Raise ``NotStarted`` where a server of somebody else cannot keep what must last."""
        replicas = self._config.cluster.nats.replicas
        faults = server_faults(self.jetstream.server_told, self.jetstream.where, replicas)
        if faults:
            raise NotStarted("; ".join(faults))
        if self._config.cluster.nats.login == "none":
            log.warning(
                "nats_sync_unknown",
                server=self.jetstream.where,
                reason="NATS does not tell: without sync_interval: always in the jetstream block of each server, "
                "what was acknowledged last may be lost with the power",
            )

    def _own_server(self) -> str | None:
        """What the server of this machine calls itself; ``None`` where nothing but the node's name says that."""
        nats = self._config.cluster.nats
        return None if nats.urls and nats.login == "none" else self.jetstream.server_name

    def _record(self) -> CellRecord:
        config = self._config
        node_id = config.broker.node_id
        return CellRecord(
            node_id=node_id,
            holder=node_id,
            boot=f"{chance():08x}",
            address=advertised(config.cluster, config.broker.grpc_port, socket.gethostname()),
            server_reference=reference_of(config),
            version=__version__,
        )

    async def _empty(self) -> None:
        """Let go of what another node has adopted, as soon as the log has a leader to do it."""
        while True:
            try:
                await self.cell_log.empty()
            except LogUnavailable as fault:
                log.info("log_not_emptied", reason=str(fault))
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return


def reference_of(config: Config) -> str:
    """Where clients reach this node, as other nodes tell them.

    It is ``host:port`` of its first TCP listener, or else of the first with TLS; empty where it has neither.
    """
    host = host_of(advertised(config.cluster, 1, socket.gethostname()))
    for wanted in ("tcp", "tls"):
        for listener in config.active_listeners:
            if listener.type == wanted:
                return f"{host}:{listener.port}"
    return ""


def _failed(name: str, error: BaseException) -> None:
    log.error("task_failed", task=name, exc_info=error)
