"""What a cluster tells of itself on the metrics port, and does on request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from rookery.observe.cluster import ClusterRefusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from rookery.app.cluster.runtime import ClusterRuntime

log: Final = structlog.get_logger("rookery.app")

CLIENTS_PER_SECOND: Final = 500
STEP_SECONDS: Final = 0.1
NAME_CHARACTERS_MAX: Final = 255
NO_NAME: Final = "unnamed"
"""Who asked and did not say who that is."""
EVACUATED: Final = "this node is being emptied: clients go to another one"


class ClusterDesk:
    """``rookery.observe.cluster.ClusterAdmin`` of one node."""

    def __init__(self, runtime: ClusterRuntime) -> None:
        self._runtime = runtime
        self.note: Callable[[str, str, str, str], None] = _nowhere
        """Has an act noted in the audit: what, of which node, what for detail, and who asked."""

    def status(self) -> dict[str, Any]:
        """The state of this node and of the others as it sees them."""
        runtime = self._runtime
        broker = runtime.broker
        return {
            "node_id": runtime.node_id,
            "name": runtime.name,
            "state": runtime.state,
            "epoch": runtime.epoch,
            "ready": runtime.ready,
            "members": [
                {
                    "node_id": record.node_id,
                    "address": record.address,
                    "state": record.state,
                    "epoch": record.epoch,
                    "link": "up" if runtime.is_reached(record.node_id) else "down",
                }
                for record in runtime.records()
            ],
            "sessions": len(broker.registry.actors),
            "clients": broker.registry.attached,
            "routes": broker.router.filter_count,
        }

    async def act(self, action: str, arguments: dict[str, Any], address: str) -> dict[str, Any]:
        """Do something on the operator's request, who may be named by the argument ``by``.

        A name is what they say of themselves; the address is where they asked from.
        """
        named = action == "force-leave"
        target = _name_in(arguments, "node_id", "") if named else self._runtime.node_id
        by = _name_in(arguments, "by", NO_NAME)
        detail = f"asked at the metrics port from {address}, with the secret"
        self.note(f"cluster {action}", target, detail, by)
        if action == "evacuate":
            return await self._evacuate()
        if action == "leave":
            done = await self._evacuate()
            self._runtime.leave()
            return {**done, "state": "leaving"}
        if action == "rebalance":
            return await self._rebalance()
        return self._force_leave(target)

    async def _evacuate(self) -> dict[str, Any]:
        """Send all clients to other nodes, not all at once, and let nobody in but by those."""
        runtime = self._runtime
        if not runtime.broker.other_servers:
            raise ClusterRefusal("there is no other node that clients could go to")
        runtime.empty(EVACUATED)
        sent = await self._send_away(runtime.clients_max())
        return {"node_id": runtime.node_id, "clients_sent_away": sent}

    async def _rebalance(self) -> dict[str, Any]:
        """Send away what this node has beyond its even part of the clients."""
        runtime = self._runtime
        clients = runtime.hub.clients_here()
        counts = runtime.clients_elsewhere()
        takes_clients = not runtime.broker.emptied_for
        # Rounded up: nodes that differ by one are even, and nobody is sent away from them for nothing.
        even = -(-(clients + sum(counts)) // (len(counts) + 1)) if takes_clients else 0
        sent = await self._send_away(max(0, clients - even))
        return {"node_id": runtime.node_id, "clients_sent_away": sent, "even_part": even}

    async def _send_away(self, count: int) -> int:
        broker = self._runtime.broker
        sent = 0
        while sent < count:
            step = min(count - sent, int(CLIENTS_PER_SECOND * STEP_SECONDS))
            done = broker.send_away(step)
            if done == 0:
                break
            sent += done
            await asyncio.sleep(STEP_SECONDS)
        return sent

    def _force_leave(self, node_id: str) -> dict[str, Any]:
        """Say what becomes of a node that will not come back: others take its cell by themselves."""
        runtime = self._runtime
        if node_id == runtime.node_id or runtime.is_living(node_id):
            raise ClusterRefusal(f"{node_id} is alive: have it leave, with 'rookery cluster leave'")
        record = runtime.cell(node_id)
        if record is None:
            raise ClusterRefusal(
                f"no node of this cluster is called {node_id!r}: it knows {', '.join(runtime.cells())}"
            )
        if record.state == "adopted":
            return {"node_id": node_id, "state": "adopted", "by": record.holder}
        return {"node_id": node_id, "state": "adopting", "epoch": record.epoch}


def _name_in(arguments: dict[str, Any], key: str, missing: str) -> str:
    """One of the arguments, which is to stand in a line of the audit; raises ``ClusterRefusal``."""
    name = arguments.get(key, missing)
    if not isinstance(name, str) or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise ClusterRefusal(
            f"{key} must be a name of up to {NAME_CHARACTERS_MAX} printable characters"
        )
    return name


def _nowhere(_action: str, _target: str, _detail: str, _by: str) -> None:
    """Before there is an audit."""
