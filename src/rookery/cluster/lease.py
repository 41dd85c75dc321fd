"""The right of a node to act for its cell: claimed at the start, renewed twice a second, over as soon as it is not.

It lasts a while from the *beginning* of the last renewal that succeeded, by our own clock. Nobody claims the cell of a
node that was heard of within a longer while, so two nodes never have one cell at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog

from rookery.actors.tasks import Tasks
from rookery.cluster.cells import CellRecord, Sighting
from rookery.cluster.jetstream import NoAnswer
from rookery.cluster.registers import Registers
from rookery.cluster.views import SILENCE_SECONDS, Silences
from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.cluster")

LEASE_SECONDS: Final = 2.0
RENEW_SECONDS: Final = 0.5
WATCH_SECONDS: Final = 0.05
"""How late at most the end of a lease is told of; ``valid`` is exact."""
ACQUIRE_SECONDS: Final = 0.25
"""How often it is tried to get the cell, at the start."""
TELL_SECONDS: Final = 5.0
ABANDONED_SECONDS: Final = 10.0
"""When a node that began to take our cell over and died has been dead so long, and no other went on, we take it back."""


class LeaseEvents(Protocol):
    """Who is told what becomes of a lease. Called on the loop."""

    def lease_lost(self) -> None:
        """It is over, and may come back."""

    def lease_regained(self) -> None:
        """It is valid again, and nobody else had the cell meanwhile."""

    def lease_taken(self, record: CellRecord) -> None:
        """Another has the cell now: it does not come back."""


class Lease:
    """The lease of one node on its own cell."""

    def __init__(self, registers: Registers, clock: Clock, events: LeaseEvents) -> None:
        self._registers = registers
        self._clock = clock
        self._events = events
        self._tasks = Tasks(self._failed)
        self._record: CellRecord | None = None
        self._until = float("-inf")
        self._lost = False
        self._over = False
        self._foreign: tuple[tuple[int, int], ...] = ()
        self._foreign_since = 0.0

    @property
    def record(self) -> CellRecord:
        """What the registers are told of us."""
        assert self._record is not None, "there is no lease yet"
        return self._record

    def valid(self, now: float) -> bool:
        """Whether we may act for the cell now."""
        return now < self._until

    async def acquire(self, record: CellRecord, empty: Callable[[], Awaitable[None]]) -> CellRecord:
        """Get the node's own cell, as long as that takes, and go on renewing it; the record as it stands.

        ``record`` is how the node describes itself; epoch, term and beat are those of the registers. Where the cell was
        adopted, ``empty`` is called first: to let go of what was in it, log and files, which may happen twice.
        """
        silences = Silences()
        loop = asyncio.get_running_loop()
        began = told = loop.time()
        while True:
            reason = await self._try(record, silences, empty)
            if not reason:
                break
            if loop.time() - told >= TELL_SECONDS:
                told = loop.time()
                log.warning("waiting_for_cell", reason=reason, seconds=round(told - began))
            await asyncio.sleep(ACQUIRE_SECONDS)
        self._tasks.start("lease-renewal", self._go_on_renewing())
        self._tasks.start("lease-watch", self._watch())
        return self.record

    def tell(self, **changed: Any) -> None:
        """Let the registers know from the next renewal on: ``state``, ``sees``, addresses."""
        self._record = replace(self.record, **changed)

    async def release(self) -> None:
        """Stop acting for the cell, and say so."""
        self._until = float("-inf")
        await self._tasks.stop()
        if self._record is not None and not self._over:
            self._over = True
            self._record = replace(self._record, state="left", beat=self._record.beat + 1)
            await self._registers.renew(self._record)

    async def renew(self) -> None:
        """Renew once; a task does so again and again."""
        began = self._clock.monotonic()
        self._record = replace(self.record, beat=self.record.beat + 1)
        renewal = await self._registers.renew(self._record)
        if renewal.succeeded:
            self._extend(began)
        if renewal.higher is not None:
            await self._examine()

    def look(self, now: float) -> None:
        """Tell, once, when the lease is over; a task does so again and again."""
        if not self._lost and not self._over and not self.valid(now):
            self._lost = True
            log.error("lease_lost", cell=self.record.node_id)
            self._events.lease_lost()

    async def _try(
        self,
        record: CellRecord,
        silences: Silences,
        empty: Callable[[], Awaitable[None]],
    ) -> str:
        """Try to get the cell; empty where that succeeded, else why not."""
        began = self._clock.monotonic()
        try:
            sightings = await self._registers.read_all()
        except NoAnswer as error:
            return str(error)
        silences.look(sightings, began, self._clock.monotonic())
        seen = sightings.get(record.node_id)
        reason = obstacle(seen, record, silences)
        if reason:
            return reason
        if seen is not None:
            if seen.record.state == "adopted":
                log.warning("cell_was_adopted", cell=record.node_id, by=seen.record.holder)
                await empty()
            record = replace(record, epoch=seen.record.epoch, beat=seen.record.beat)
        began = self._clock.monotonic()
        won = await self._registers.claim(
            record.node_id, seen, replace(record, beat=record.beat + 1)
        )
        if won is None:
            return "the registers did not take the claim"
        self._record = won
        self._until = began + LEASE_SECONDS
        log.info("cell_claimed", cell=won.node_id, epoch=won.epoch, term=won.term)
        return ""

    async def _go_on_renewing(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._over:
            due = max(due + RENEW_SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())
            await self.renew()

    async def _watch(self) -> None:
        while not self._over:
            self.look(self._clock.monotonic())
            await asyncio.sleep(WATCH_SECONDS)

    def _extend(self, began: float) -> None:
        self._until = began + LEASE_SECONDS
        if self._lost and self.valid(self._clock.monotonic()):
            self._lost = False
            log.info("lease_regained", cell=self.record.node_id)
            self._events.lease_regained()

    async def _examine(self) -> None:
        """A register has a claim that is not ours: it won, or failed and stands in our way."""
        began = self._clock.monotonic()
        try:
            seen = (await self._registers.read_all())[self.record.node_id]
        except NoAnswer:
            return
        if seen.confirmed and seen.record.term > self.record.term:
            if seen.record.claim[1:] != self.record.claim[1:]:
                self._take_leave(seen.record)
            else:
                # A claim of ours that succeeded after we had given it up.
                self._record = replace(self.record, term=seen.record.term)
            return
        foreign = tuple(
            (index, entry.sequence)
            for index, entry in enumerate(seen.entries)
            if entry and entry.record and entry.record.term > self.record.term
        )
        if foreign != self._foreign:
            self._foreign, self._foreign_since = foreign, self._clock.monotonic()
        elif began - self._foreign_since >= SILENCE_SECONDS:
            await self._claim_again(seen)

    async def _claim_again(self, seen: Sighting) -> None:
        """Pass a claim that failed, so that all registers take our renewals again."""
        if seen.may_be_held_by_others(self.record.node_id):
            return
        began = self._clock.monotonic()
        won = await self._registers.claim(self.record.node_id, seen, self.record)
        if won is not None:
            # What was told meanwhile is not in the record that was written.
            self._record = replace(self.record, term=won.term)
            self._extend(began)

    def _take_leave(self, record: CellRecord) -> None:
        self._until = float("-inf")
        self._over = True
        log.error("cell_taken", cell=record.node_id, by=record.holder, boot=record.boot)
        self._events.lease_taken(record)

    def _failed(self, name: str, error: BaseException) -> None:
        # Without renewals it ends by itself; only that must be told still.
        log.error("lease_task_failed", task=name, exc_info=error)
        self._until = float("-inf")
        self.look(self._clock.monotonic())


def obstacle(seen: Sighting | None, own: CellRecord, silences: Silences) -> str:
    """Why a node may not claim its own cell now; empty where it may."""
    if seen is None or seen.record.state == "adopted":
        return ""
    cell, by = own.node_id, seen.record.holder
    if seen.contested_by_others(cell, own.boot) and silences.of(cell) < SILENCE_SECONDS:
        return "another claim may be on its way"
    if (seen.confirmed and by == cell) or not seen.may_be_held_by_others(cell):
        return ""
    if min(silences.of(cell), silences.of(by)) >= ABANDONED_SECONDS:
        return ""
    return f"{by} is taking over what this node had"
