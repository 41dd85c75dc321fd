"""Takes over the cells of nodes that are dead or have left, one after the other.

The registers say that the cell is ours to take. Its image is read from any replica and adopted by the engine; its clients
are served from that moment on. Until its log has a leader again, some seconds later, a last record may come to
light: so the log is followed until it could be sealed, and what is found is told to the sessions that came from it.
At last the registers say that the cell was adopted; its node comes back with an empty one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from rookery.cluster.cell_log import JetStreamLog
from rookery.engine.peers.adoption import Adoption
from rookery.engine.peers.slices import CommitFailed
from rookery.ports import LogFenced, LogUnavailable
from rookery.records import Group
from rookery.store.faults import StoreFault
from rookery.store.foreign import ForeignCell, open_foreign

if TYPE_CHECKING:
    from pathlib import Path

    from rookery.cluster.cells import CellRecord
    from rookery.cluster.jetstream import JetStream
    from rookery.cluster.membership import Membership
    from rookery.engine.broker import Broker
    from rookery.engine.peers.bequests import Bequests
    from rookery.engine.peers.hub import Hub
    from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.app")

AGAIN_SECONDS: Final = 0.25
"""How long before what did not succeed is tried again."""
MARKS_MAX: Final = 240
"""How often it is tried to say that a cell is adopted: a minute."""
TRIES_MAX: Final = 3
"""How often one claimed cell is tried before another node may."""


class Adopter:
    """Adopts cells for one node."""

    def __init__(
        self, broker: Broker, hub: Hub, jetstream: JetStream, directory: Path, clock: Clock
    ) -> None:
        self.membership: Membership | None = None
        """Told when a cell is adopted, or will not be."""
        self._broker = broker
        self._hub = hub
        self._jetstream = jetstream
        self._directory = directory
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    def begin(self, record: CellRecord) -> None:
        """Adopt a cell that the registers have given to us."""
        self._broker.tasks.start(f"adopt {record.node_id}", self._adopt(record))

    async def _adopt(self, record: CellRecord) -> None:
        membership = self.membership
        assert membership is not None
        taken: tuple[ForeignCell, Bequests] | None = None
        async with self._one_at_a_time:
            for _ in range(TRIES_MAX):
                taken = await self._tried(record)
                if taken is not None:
                    break
                await asyncio.sleep(AGAIN_SECONDS)
        if taken is None:
            membership.abandon(record.node_id)
            return
        await self._follow(record.node_id, *taken)
        for _ in range(MARKS_MAX):
            if await membership.adopted(record.node_id):
                return
            await asyncio.sleep(AGAIN_SECONDS)
        membership.abandon(record.node_id)

    async def _tried(self, record: CellRecord) -> tuple[ForeignCell, Bequests] | None:
        """Read the cell and take its sessions over; what its log may still tell, ``None`` where that failed."""
        cell, epoch = record.node_id, record.epoch
        began = self._clock.monotonic()
        cell_log = JetStreamLog(self._jetstream, cell)
        try:
            foreign = await open_foreign(cell_log, self._directory, cell, epoch, self._clock)
        except (StoreFault, LogUnavailable, LogFenced) as fault:
            log.warning("cell_unreadable", cell=cell, reason=str(fault))
            return None
        read_seconds = self._clock.monotonic() - began
        adoption = Adoption(
            self._broker,
            cell,
            epoch,
            foreign.loaded,
            foreign.read_blocks,
            lambda: self._hub.departed.adopted_here(cell, epoch),
        )
        assert adoption.bequests is not None, "a cluster has peers"
        try:
            summary = await adoption.run()
        except CommitFailed as fault:
            log.warning("cell_not_adopted", cell=cell, reason=str(fault))
            await foreign.close()
            return None
        log.info(
            "cell_taken_over",
            cell=cell,
            epoch=epoch,
            sessions=summary.sessions,
            messages=summary.messages,
            read_seconds=round(read_seconds, 3),
            seconds=round(self._clock.monotonic() - began, 3),
        )
        return foreign, adoption.bequests

    async def _follow(self, cell: str, foreign: ForeignCell, bequests: Bequests) -> None:
        """Find what may still come to light, until nothing can."""
        try:
            while foreign.sealed is None:
                try:
                    for group in await foreign.follow():
                        self._late(cell, group, bequests)
                    if await foreign.seal(self._hub.node_id):
                        break
                except LogFenced as fence:
                    log.info("log_is_anothers", cell=cell, reason=str(fence))
                    break
                except (LogUnavailable, StoreFault) as fault:
                    log.debug("log_not_sealed", cell=cell, reason=str(fault))
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await foreign.close()
            self._hub.departed.sealed(cell)
        log.info("cell_sealed", cell=cell)

    def _late(self, cell: str, group: Group, bequests: Bequests) -> None:
        """A group that its node had committed and no replica knew of when the cell was read."""
        log.warning(
            "group_came_late",
            cell=cell,
            entries=len(group.entries),
            sessions=len(group.sessions),
            subscriptions=len(group.subscriptions),
        )
        for entry in bequests.take_late(group):
            self._hub.departed.deliver(cell, entry)
        self._broker.request_turn()
