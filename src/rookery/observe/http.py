"""The metrics port: ``/metrics`` for Prometheus, ``/health`` for whoever watches the node, ``/cluster``.

It runs in the node's own loop, so an answer proves that the loop turns. It knows no users and tells
nothing about clients; bind it to an address that only your monitoring reaches.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rookery.observe.cluster import ClusterAdmin, cluster_routes
from rookery.observe.health import Health, HealthReport

STOP_SECONDS_MAX: Final = 1
"""How long answers under way may take to finish when the server stops."""
CONNECTIONS_MAX: Final = 100
"""Beyond these, a request is answered with 503."""

_NOT_STORED: Final = {"Cache-Control": "no-store"}


class ListenError(OSError):
    """The metrics port could not be opened; the text names it and says why."""


def observe_app(
    registry: CollectorRegistry,
    health: Health,
    cluster: ClusterAdmin | None = None,
    secret: str | None = None,
) -> Starlette:
    """The application behind the metrics port."""

    # The endpoints are coroutines so that they run on the loop, where the counters are written;
    # plain functions would run in threads.
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type, headers=_NOT_STORED)

    routes: list[BaseRoute] = [Route("/metrics", metrics)]
    for path, report in (
        ("/health", health.everything),
        ("/health/live", health.live),
        ("/health/ready", health.ready),
        ("/health/startup", health.startup),
    ):
        routes.append(_health_route(path, report))
    routes += cluster_routes(cluster, secret)
    return Starlette(routes=routes)


def _health_route(path: str, report: Callable[[], HealthReport]) -> Route:
    async def answer(_request: Request) -> Response:
        outcome = report()
        return JSONResponse(
            outcome.to_json(), status_code=200 if outcome.ok else 503, headers=_NOT_STORED
        )

    return Route(path, answer)


class ObserveServer:
    """Serves the metrics port in the running loop."""

    def __init__(
        self,
        registry: CollectorRegistry,
        health: Health,
        cluster: ClusterAdmin | None = None,
        secret: str | None = None,
    ) -> None:
        """``secret`` is what whoever acts on the cluster must know."""
        self._app = observe_app(registry, health, cluster, secret)
        self._server: uvicorn.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Open the port, 0 for any, and return its number. Raises ``ListenError``."""
        assert self._server is None
        listening = await _listen(host, port)
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=STOP_SECONDS_MAX,
        )
        config.load()
        server = uvicorn.Server(config)
        # Its serve() would take the process's signals and wake ten times a second to look for
        # them; starting and stopping are all that is wanted of it.
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listening])
        self._server = server
        bound: int = listening.getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the port, after the answers under way."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.shutdown()


async def _listen(host: str, port: int) -> socket.socket:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # The protocol number must not be left out: asyncio sends at once (TCP_NODELAY) only on
        # sockets that say they are TCP, and else each answer waits 40 ms for an acknowledgement.
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(CONNECTIONS_MAX)
        except OSError:
            listening.close()
            raise
        return listening
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(
            error.errno, f"cannot listen on {host}:{port} for metrics and health: {reason}"
        ) from error
