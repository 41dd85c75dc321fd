"""The cluster on the metrics port: ``GET /cluster`` tells its state, ``POST /cluster/<action>`` changes it.

Looking needs no more than the metrics do. Acting needs to come from this machine and to know the cluster's
secret: whoever may read the metrics may not send a node's clients away.
"""

import hmac
import ipaddress
import json
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

ACTIONS: Final = ("leave", "evacuate", "force-leave", "rebalance")
ARGUMENTS_BYTES_MAX: Final = 65_536
NO_CLUSTER: Final = "this node is on its own: cluster.enabled is false"

_NOT_STORED: Final = {"Cache-Control": "no-store"}


class ClusterRefusal(Exception):
    """What was asked for will not be done, or not now; the text says why."""


class ClusterAdmin(Protocol):
    """What the cluster tells of itself and does on request."""

    def status(self) -> dict[str, Any]:
        """The state of this node and of the others as it sees them, as JSON has it."""

    async def act(self, action: str, arguments: dict[str, Any], address: str) -> dict[str, Any]:
        """Do one of ``ACTIONS`` for who asks from this address, and tell what was done; raises ``ClusterRefusal``."""


class _Answered(Exception):
    """The request ends here, with an error."""

    def __init__(self, status_code: int, text: str) -> None:
        super().__init__(text)
        self.status_code = status_code


def cluster_routes(admin: ClusterAdmin | None, secret: str | None) -> list[BaseRoute]:
    """The addresses of the cluster; without one they say so."""

    async def status(_request: Request) -> Response:
        if admin is None:
            return _error(404, NO_CLUSTER)
        return JSONResponse(admin.status(), headers=_NOT_STORED)

    async def act(request: Request) -> Response:
        try:
            if admin is None:
                raise _Answered(404, NO_CLUSTER)
            address = _checked_caller(request, secret)
            action = request.path_params["action"]
            if action not in ACTIONS:
                raise _Answered(404, f"unknown action; there are {', '.join(ACTIONS)}")
            done = await admin.act(action, await _arguments(request), address)
        except _Answered as answer:
            return _error(answer.status_code, str(answer))
        except ClusterRefusal as refusal:
            return _error(409, str(refusal))
        return JSONResponse(done, headers=_NOT_STORED)

    return [
        Route("/cluster", status),
        Route("/cluster/{action}", act, methods=["POST"]),
    ]


def _checked_caller(request: Request, secret: str | None) -> str:
    """The address of who asks and may."""
    # The secret alone would do, were it not that it would cross a network in clear.
    if request.client is None or not _is_here(request, request.client.host):
        raise _Answered(403, "this is for commands on the node's own machine")
    if secret is None:
        raise _Answered(403, "cluster.secret is not set, so nobody can show that they know it")
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    known = hmac.compare_digest(token.encode("latin-1"), secret.encode())
    if kind.lower() != "bearer" or not known:
        raise _Answered(401, "the cluster's secret is needed, as Authorization: Bearer <secret>")
    return request.client.host


def _is_here(request: Request, host: str) -> bool:
    """Whether the request comes from this machine: from a loopback address, or the one it came to."""
    server = request.scope.get("server")
    return _is_loopback(host) or (server is not None and server[0] == host)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


async def _arguments(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > ARGUMENTS_BYTES_MAX:
            raise _Answered(413, f"the arguments have more than {ARGUMENTS_BYTES_MAX} bytes")
    try:
        arguments = json.loads(body or b"{}")
    except ValueError:
        raise _Answered(400, "the arguments are no JSON") from None
    if not isinstance(arguments, dict):
        raise _Answered(400, "the arguments must be a JSON object")
    return arguments


def _error(status_code: int, text: str) -> Response:
    headers = dict(_NOT_STORED)
    if status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": text}, status_code=status_code, headers=headers)
