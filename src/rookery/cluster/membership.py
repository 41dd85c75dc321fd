"""Watches the registers: tells who comes and goes, claims the cells of the dead, and says when to step down."""

import asyncio
from dataclasses import replace
from typing import Final, Protocol

import structlog

from rookery.actors.tasks import Tasks
from rookery.cluster.cells import CellRecord, Sighting
from rookery.cluster.jetstream import NoAnswer
from rookery.cluster.lease import Lease
from rookery.cluster.registers import Registers
from rookery.cluster.views import SILENCE_SECONDS, Event, Views
from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.cluster")

POLL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 0.25


class MembershipEvents(Protocol):
    """Who is told of the other cells. Called on the loop."""

    def cell_joined(self, record: CellRecord) -> None:
        """A node is there that was not, or was dead."""

    def cell_changed(self, record: CellRecord) -> None:
        """More has changed of a living node than its beat."""

    def cell_dead(self, record: CellRecord) -> None:
        """A node is not there any more: it left, went silent, or lost its cell."""

    def cell_adopted(self, record: CellRecord) -> None:
        """All that was in a cell is with ``record.holder`` now."""

    def adopt(self, record: CellRecord) -> None:
        """A dead node's cell is ours: take over what is in it, then call ``Membership.adopted``."""

    def step_down(self) -> None:
        """We have no links to the others, who have them: give up the lease."""


class Membership:
    """One node's watch. ``start`` after its lease was acquired."""

    def __init__(
        self,
        registers: Registers,
        lease: Lease,
        clock: Clock,
        events: MembershipEvents,
    ) -> None:
        self._registers = registers
        self._lease = lease
        self._clock = clock
        self._events = events
        self._views = Views(lease.record.node_id)
        self._tasks = Tasks(self._failed)
        self._adopting: dict[str, CellRecord] = {}
        self._was_valid = True
        self._looked = clock.monotonic()
        self._stepped_down = False

    def start(self) -> None:
        """Begin to watch."""
        self._tasks.start("membership", self._watch())

    async def stop(self) -> None:
        """Watch no longer."""
        await self._tasks.stop()

    def living(self) -> list[CellRecord]:
        """The records of the nodes that are alive, ours with them, by name."""
        return self._views.living()

    def record_of(self, cell: str) -> CellRecord | None:
        """What was last seen of a cell."""
        seen = self._views.sightings.get(cell)
        return None if seen is None else seen.record

    def cells(self) -> list[str]:
        """The names of all cells that were ever claimed, ours with them."""
        return sorted({*self._views.sightings, self._lease.record.node_id})

    async def adopted(self, cell: str) -> bool:
        """Say that all that was in a cell is with us, its log sealed; waits until the registers have it.

        The cell's node may come back then, and empties its log. The answer is no where another has claimed the cell.
        """
        claimed = self._adopting[cell]
        record = replace(claimed, state="adopted", epoch=claimed.epoch + 1, beat=claimed.beat + 1)
        while True:
            renewal = await self._registers.renew(record)
            if renewal.succeeded:
                break
            seen = self._views.sightings[cell]
            if seen.confirmed and seen.record.term > record.term:
                break
            await asyncio.sleep(RETRY_SECONDS)
        self._adopting.pop(cell, None)
        log.info("cell_adopted", cell=cell, epoch=record.epoch, taken_away=not renewal.succeeded)
        return renewal.succeeded

    def abandon(self, cell: str) -> None:
        """Give an adoption up that failed; the cell is claimed again, by us or by another."""
        self._adopting.pop(cell, None)

    async def poll(self) -> None:
        """Look once; a task does so again and again."""
        began = self._clock.monotonic()
        try:
            sightings = await self._registers.read_all()
        except NoAnswer as error:
            log.debug("registers_unreadable", reason=str(error))
            return
        ended = self._clock.monotonic()
        valid = self._lease.valid(ended)
        if not (valid and self._was_valid) or began - self._looked > SILENCE_SECONDS:
            # As long as we could not renew, or did not run, others may not have either: silence means nothing.
            self._views.begin_again(ended)
        self._was_valid = valid
        self._looked = ended
        for event in self._views.look(sightings, began, ended):
            self._tell(event)
        if self._views.must_step_down() and not self._stepped_down:
            self._stepped_down = True
            log.error("node_steps_down", reason="it has no links to the nodes that have them")
            self._events.step_down()
        for seen in self._views.to_adopt(self._adopting) if valid else ():
            await self._claim(seen)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self.poll()
            await asyncio.sleep(max(0.0, began + POLL_SECONDS - loop.time()))

    async def _claim(self, seen: Sighting) -> None:
        mine = self._lease.record
        cell = seen.record.node_id
        wanted = replace(
            seen.record,
            holder=mine.node_id,
            boot=mine.boot,
            state="adopting",
            beat=seen.record.beat + 1,
        )
        won = await self._registers.claim(cell, seen, wanted)
        if won is None or not self._lease.valid(self._clock.monotonic()):
            return
        log.warning("cell_claimed_for_adoption", cell=cell, term=won.term)
        self._adopting[cell] = won
        self._events.adopt(won)

    def _tell(self, event: Event) -> None:
        log.info(
            "cell_seen", change=event.kind, cell=event.record.node_id, state=event.record.state
        )
        tell = {
            "joined": self._events.cell_joined,
            "changed": self._events.cell_changed,
            "dead": self._events.cell_dead,
            "adopted": self._events.cell_adopted,
        }
        tell[event.kind](event.record)

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("membership_task_failed", task=name, exc_info=error)
