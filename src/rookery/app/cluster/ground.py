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
from rookery.cluster.cell_log import JetStreamLog
from rookery.cluster.cells import CellRecord
from rookery.cluster.discovery import Discovery
from rookery.cluster.jetstream import JetStream, JetStreamSettings
from rookery.cluster.leaders import Leaders
from rookery.cluster.lease import Lease, LeaseEvents
from rookery.cluster.nats_config import NatsServerSettings
from rookery.cluster.nats_server import NatsServer
from rookery.cluster.registers import Registers
from rookery.cluster.streams import ensure_streams
from rookery.config.cluster import advertised, host_of
from rookery.ports import LogUnavailable

if TYPE_CHECKING:
    from rookery.config.models import Config
    from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.app")

NATS_DIRECTORY: Final = "nats"
AGAIN_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 2.0
"""How often other nodes are looked up as long as too few are found."""
LOCAL_SECRET: Final = "loopback only"  # noqa: S105 - what stands in where no secret is needed
"""NATS has users all the same; without a secret nothing is reached from elsewhere."""


class Ground:
    """Started before the node's store is opened, ended after that is closed."""

    def __init__(self, config: Config, directory: Path, clock: Clock, events: LeaseEvents) -> None:
        """``directory`` is that of the node's store."""
        self._config = config
        self._directory = directory
        cluster = config.cluster
        node_id = config.broker.node_id
        secret = LOCAL_SECRET if cluster.secret is None else cluster.secret.get_secret_value()
        self.server: NatsServer | None = None
        self._own_server = not cluster.nats.urls
        self._secret = secret
        servers: tuple[str, ...] = cluster.nats.urls
        if not servers:
            servers = (f"127.0.0.1:{cluster.nats.port}",)
            self.jetstream = JetStream(JetStreamSettings(servers, secret, node_id))
        else:
            self.jetstream = JetStream(JetStreamSettings(servers, "", node_id))
        self.registers = Registers(self.jetstream, clock)
        self.lease = Lease(self.registers, clock, events)
        self.cell_log = JetStreamLog(self.jetstream, node_id)
        self._leaders = Leaders(self.jetstream, node_id)
        self._tasks = Tasks(_failed)

    async def start(self) -> CellRecord:
        """Have everything there, however long that takes; the node's record, with the epoch of its cell."""
        config = self._config
        if self._own_server:
            self.server = NatsServer(self._server_settings(await self._routes()))
            await self.server.start()
        await self.jetstream.connect()
        await ensure_streams(self.jetstream, config.broker.node_id, config.cluster.nats.replicas)
        self._tasks.start("leaders", self._leaders.run())
        return await self.lease.acquire(self._record(), self._empty)

    async def stop(self) -> None:
        """Give up the lease and end all of it."""
        await self.lease.release()
        await self._tasks.stop()
        await self.registers.stop()
        await self.jetstream.close()
        if self.server is not None:
            await self.server.stop()

    def problems(self) -> list[str]:
        """What is wrong below the node, for the operator."""
        found = [] if self.server is None else self.server.problems()
        if not self.jetstream.connected:
            found.append("there is no connection to NATS")
        return found

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

    async def _routes(self) -> tuple[str, ...]:
        """Where the other NATS servers are; those that are looked up are waited for."""
        config = self._config
        cluster = config.cluster
        if cluster.discovery == "static" or cluster.nats.routes:
            return config.nats_routes
        own = host_of(advertised(cluster, 1, socket.gethostname()))
        discovery = Discovery([seed_of(config)], cluster.nats.route_port, own, lambda _found: None)
        while True:
            await discovery.look()
            found = discovery.addresses
            if len(found) >= cluster.nats.replicas - 1:
                return found
            log.warning("waiting_for_others", found=found, problems=discovery.problems())
            await asyncio.sleep(LOOK_SECONDS)

    def _server_settings(self, routes: tuple[str, ...]) -> NatsServerSettings:
        config = self._config
        nats = config.cluster.nats
        own = host_of(advertised(config.cluster, 1, socket.gethostname()))
        return NatsServerSettings(
            node_id=config.broker.node_id,
            directory=self._directory / (nats.directory or NATS_DIRECTORY),
            secret=self._secret,
            client_port=nats.port,
            route_host=config.cluster.host,
            route_port=nats.route_port,
            routes=tuple(route for route in routes if route != f"{own}:{nats.route_port}"),
            cluster_name=config.cluster.name,
            binary=None if nats.binary is None else Path(nats.binary),
        )


def seed_of(config: Config) -> str:
    """Where the other nodes are looked up, as ``rookery.cluster.seeds`` writes it."""
    cluster = config.cluster
    if cluster.discovery == "kubernetes":
        return f"kubernetes:{cluster.service}.{config.broker.pod_namespace}"
    return f"{cluster.discovery}:{cluster.dns_name}"


def reference_of(config: Config) -> str:
    """Where clients reach this node, as other nodes tell them: ``host:port`` of its first TCP listener."""
    host = host_of(advertised(config.cluster, 1, socket.gethostname()))
    for listener in config.active_listeners:
        if listener.type == "tcp":
            return f"{host}:{listener.port}"
    return ""


def _failed(name: str, error: BaseException) -> None:
    log.error("task_failed", task=name, exc_info=error)
