"""Which server leads which stream: a node's log is led by its own server, the registers by three different ones.

So the death of a server takes no leader from what a living node writes to, and one register at most from all. JetStream
moves leaders as it likes when servers come and go; each node therefore looks every few seconds whether something that
its own server should lead is led by another, and calls it home once its replica has everything.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any, Final

import structlog

from rookery.cluster import names
from rookery.cluster.jetstream import JetStream, NoAnswer, Refusal
from rookery.cluster.streams import stream_info

log: Final = structlog.get_logger("rookery.cluster")

LOOK_SECONDS: Final = 2.0
STEP_DOWN_SECONDS_MAX: Final = 2.0


class Leaders:
    """Calls home what a node's own server should lead, and the connection as well."""

    def __init__(self, jetstream: JetStream, node_id: str, server: str | None = None) -> None:
        """``server`` is the name of the node's own server, where that is not made from the node's."""
        self._jetstream = jetstream
        self._server = names.server_name(node_id) if server is None else server
        self._own = (names.log_stream(node_id), names.snapshot_stream(node_id))
        self._registers = tuple(names.register_stream(index) for index in range(names.REGISTERS))

    async def run(self) -> None:
        """Look again and again; a background task of the node."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> bool:
        """Look once, and call home what is elsewhere; whether everything is where it should be."""
        if self._jetstream.connected and not self._jetstream.at_home:
            await self._jetstream.go_home()
        try:
            found = {
                stream: (await stream_info(self._jetstream, stream)).get("cluster", {})
                for stream in (*self._own, *self._registers)
            }
        except (NoAnswer, Refusal):
            # A stream has no leader now. It is not the time to move others.
            return False
        wanted = dict.fromkeys(self._own, self._server)
        leaders = register_leaders([servers_of(found[stream]) for stream in self._registers])
        wanted |= dict(zip(self._registers, leaders, strict=True))
        settled = True
        for stream, server in wanted.items():
            if found[stream].get("leader", server) != server:
                settled = False
                if server == self._server and has_everything(found[stream], server):
                    await self._call_home(stream)
        return settled

    async def _call_home(self, stream: str) -> None:
        try:
            await self._jetstream.api(
                f"STREAM.LEADER.STEPDOWN.{stream}",
                {"placement": {"preferred": self._server}},
                STEP_DOWN_SECONDS_MAX,
            )
        except (NoAnswer, Refusal) as error:
            log.info("leader_stays", stream=stream, reason=str(error))
        else:
            log.info("leader_called_home", stream=stream)


def servers_of(cluster: Mapping[str, Any]) -> set[str]:
    """The servers that keep a stream, as its leader tells; none where there is one server in all."""
    found = {str(replica["name"]) for replica in cluster.get("replicas", ())}
    return found | {str(cluster["leader"])} if cluster.get("leader") else found


def has_everything(cluster: Mapping[str, Any], server: str) -> bool:
    """Whether a server's replica could lead at once."""
    return any(
        replica["name"] == server and replica.get("current") and not replica.get("offline")
        for replica in cluster.get("replicas", ())
    )


def register_leaders(servers: Sequence[Collection[str]]) -> tuple[str, ...]:
    """Who should lead each register, given the servers that keep it: as many different ones as can be.

    Everybody who knows the same comes to the same; empty names where nothing is known.
    """
    choices = product(*(sorted(each) or [""] for each in servers))
    return max(choices, key=lambda choice: len(set(choice)))
