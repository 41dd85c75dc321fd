"""The NATS server of a node, or of all nodes of one machine, as the configuration asks for it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from rookery.cluster.discovery import Discovery
from rookery.cluster.jetstream import JetStreamSettings
from rookery.cluster.nats_config import NatsServerSettings, RouteTls
from rookery.config.cluster import advertised, host_of

if TYPE_CHECKING:
    from rookery.config.cluster import ClusterTls
    from rookery.config.models import Config

log: Final = structlog.get_logger("rookery.app")

NATS_DIRECTORY: Final = "nats"
LOOK_SECONDS: Final = 2.0
"""How often other nodes are looked up as long as too few are found."""
LOCAL_SECRET: Final = "loopback only"  # noqa: S105 - what stands in where no secret is needed
"""NATS has users all the same; without a secret nothing is reached from elsewhere."""


def secret_of(config: Config) -> str:
    """What the passwords of the NATS servers are made from."""
    secret = config.cluster.secret
    return LOCAL_SECRET if secret is None else secret.get_secret_value()


def connection_settings(config: Config) -> JetStreamSettings:
    """Where the node finds JetStream, and who it says it is."""
    nats = config.cluster.nats
    servers = nats.urls or (f"127.0.0.1:{nats.port}",)
    known = not nats.urls or nats.login == "secret"
    return JetStreamSettings(servers, secret_of(config) if known else "", config.broker.node_id)


def server_settings(
    config: Config, directory: Path, base: Path, routes: tuple[str, ...]
) -> NatsServerSettings:
    """How the server is run; ``directory`` is that of the store, ``routes`` are those of the others.

    ``base`` is where a relative path in the configuration starts.
    """
    nats, tls = config.cluster.nats, config.cluster.tls
    own = host_of(advertised(config.cluster, 1, socket.gethostname()))
    return NatsServerSettings(
        node_id=config.broker.node_id,
        directory=directory / NATS_DIRECTORY if nats.directory is None else base / nats.directory,
        secret=secret_of(config),
        client_port=nats.port,
        route_host=config.cluster.host,
        route_port=nats.route_port,
        routes=tuple(route for route in routes if route != f"{own}:{nats.route_port}"),
        route_tls=None if tls is None else route_tls(tls),
        cluster_name=config.cluster.name,
        binary=None if nats.binary is None else Path(nats.binary),
    )


def route_tls(tls: ClusterTls) -> RouteTls:
    """The certificates of the nodes' streams, for the servers' routes."""
    files = (tls.certificate_file, tls.key_file, tls.ca_file)
    return RouteTls(*(Path(file) for file in files))


async def routes_of(config: Config) -> tuple[str, ...]:
    """Where the other NATS servers are; those that are looked up are waited for."""
    cluster = config.cluster
    if cluster.discovery == "static" or cluster.nats.routes:
        return config.nats_routes
    own = host_of(advertised(cluster, 1, socket.gethostname()))
    discovery = Discovery([seed_of(config)], cluster.nats.route_port, own, lambda _found: None)
    while True:
        await discovery.look()
        found = discovery.addresses
        if len(found) >= cluster.nats.replicas - 1:
            if cluster.tls is not None and cluster.discovery != "srv":
                # A certificate that does not name them is refused, which only the log of the NATS server tells.
                log.info(
                    "certificates_must_name",
                    addresses=found,
                    because="the servers are found by these",
                )
            return found
        log.warning("waiting_for_others", found=found, problems=discovery.problems())
        await asyncio.sleep(LOOK_SECONDS)


def seed_of(config: Config) -> str:
    """Where the other nodes are looked up, as ``rookery.cluster.seeds`` writes it."""
    cluster = config.cluster
    if cluster.discovery == "kubernetes":
        return f"kubernetes:{cluster.service}.{config.broker.pod_namespace}"
    return f"{cluster.discovery}:{cluster.dns_name}"
