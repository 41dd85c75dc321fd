"""Takes all sessions of a dead node's cell into this node's own, all of them or none.

Three steps. ``Importer`` brings everything into our store and log, provisionally, beside live traffic. One commit
then makes it ours: from here on a crash keeps all of it, before it nothing but retained messages, which belong to
all nodes. At last the sessions become reachable: their subscriptions enter the router a few at a time while the
sessions are dormant, and at one moment, between two turns, all of them wake and can be claimed. Up to that moment
messages for them are kept elsewhere, as for any dead node; ``reachable`` is called in it, so that whoever keeps them
knows that from here on nobody has to. Where that moment lies in the log is a fact until every subscription says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from rookery.engine.peers.bequests import Bequests
from rookery.engine.peers.doubles import merge
from rookery.engine.peers.facts import (
    adopted_fact,
    adopted_value,
    reaching_fact,
    reaching_value,
)
from rookery.engine.peers.importing import SESSION_WORK, Importer, ReadBlocks
from rookery.engine.peers.slices import Slices
from rookery.engine.recovery import subscription_of
from rookery.engine.session_actor import SessionActor
from rookery.records import Loaded

if TYPE_CHECKING:
    from rookery.engine.broker import Broker


class Summary:
    """What an adoption brought."""

    def __init__(self, cell: str, epoch: int, importer: Importer) -> None:
        self.cell = cell
        self.epoch = epoch
        self.numbers: list[int] = [actor.number for actor in importer.sessions]
        """Of the sessions, as they are called here; ascending."""
        self.sessions: int = len(self.numbers)
        self.subscriptions: int = importer.subscriptions
        self.messages: int = importer.messages
        """Entries that were put into our log."""
        self.deliveries: int = importer.deliveries
        """How often one of them is owed to a session."""
        self.retained: int = importer.retained
        self.wills: int = importer.wills
        """Those still to come when the node died."""
        self.damaged: int = importer.damaged
        """Entries of the other log that could not be read."""
        self.passed_on: int = 0
        """Messages that it still kept for other nodes, or for us."""
        self.doubles: int = 0
        """Sessions whose client had one here already: that one stayed."""


class Adoption:
    """The adoption of one cell. An attempt that failed, or was cancelled, leaves nothing; make a new one."""

    def __init__(
        self,
        broker: Broker,
        cell: str,
        epoch: int,
        loaded: Loaded,
        read_blocks: ReadBlocks,
        reachable: Callable[[], None] | None = None,
    ) -> None:
        """``loaded`` and ``read_blocks`` are what the cell's store holds in this epoch; nobody writes there any more."""
        self.slices = Slices(broker, self._commit_failed)
        self._broker = broker
        self._cell = cell
        self._epoch = epoch
        peers = broker.peers
        self.bequests = None if peers is None else Bequests(peers, cell, epoch, loaded)
        """What the dead node had to tell others; also after the adoption, when more of it may come to light."""
        self._importer = Importer(broker, cell, loaded, read_blocks, self.slices, self.bequests)
        self._tell_reachable = reachable
        self._reached: int = 0
        """The position from which on the sessions' own subscriptions hold."""
        self._doubles: list[SessionActor] = []
        self._log = structlog.get_logger("rookery.engine").bind(cell=cell, epoch=epoch)

    async def run(self) -> Summary:
        """Adopt the cell. Raises ``CommitFailed``, or what ``read_blocks`` does, with nothing adopted."""
        trimmer = self._broker.trimmer
        trimmer.pauses += 1  # It walks reachable sessions only.
        adopted = False
        try:
            await self._importer.run()
            await self._commit()
            adopted = True
            await self._enter_router()
            self._wake()
        finally:
            trimmer.pauses -= 1
            if not adopted:
                await self._give_up()
        summary = Summary(self._cell, self._epoch, self._importer)
        if self.bequests is not None:
            summary.passed_on = self.bequests.passed_on
        for actor in self._importer.sessions:
            if not actor.dormant and not actor.ended:
                await self._settle(actor)
        for double in self._doubles:
            summary.doubles += await self._merge(double)
        self._broker.committer.group.facts[reaching_fact(self._cell)] = None
        self._broker.request_turn()
        self._log.info(
            "cell_adopted",
            sessions=summary.sessions,
            messages=summary.messages,
            retained=summary.retained,
            damaged=summary.damaged,
        )
        return summary

    async def _commit(self) -> None:
        facts = self._broker.committer.group.facts
        for name in self._importer.parts:
            facts[name] = None
        numbers = [actor.number for actor in self._importer.sessions]
        facts[adopted_fact(self._cell)] = adopted_value(self._epoch, numbers)
        facts[reaching_fact(self._cell)] = b""
        if self.bequests is not None:
            self.bequests.take_marks()
        self.slices.note(0)
        await self.slices.durable()

    def _commit_failed(self) -> None:
        """State is tried again without the messages that went with it: what is not whole stays provisional."""
        facts = self._broker.committer.group.facts
        facts.update(self._importer.parts)
        facts.pop(adopted_fact(self._cell), None)
        facts.pop(reaching_fact(self._cell), None)

    async def _give_up(self) -> None:
        self._log.warning("adoption_given_up", sessions=len(self._importer.sessions))
        await self._importer.give_up()
        facts = self._broker.committer.group.facts
        for name in (*self._importer.parts, adopted_fact(self._cell), reaching_fact(self._cell)):
            facts[name] = None
        self._broker.request_turn()

    async def _enter_router(self) -> None:
        router = self._broker.router
        for former in list(self._broker.registry.actors.values()):
            if former.adopted_from == self._cell:
                former.adopted_from = ""  # It came with an earlier adoption, and is our own by now.
        for actor in self._importer.sessions:
            actor.dormant = True
            for granted in actor.session.subscriptions.values():
                router.subscribe(actor, subscription_of(granted), granted.share)
                if self.slices.spend(1):
                    await self.slices.rest()
            if self.slices.spend(SESSION_WORK):
                await self.slices.rest()

    def _wake(self) -> None:
        """From here on clients may claim the sessions, and what is published reaches them."""
        broker = self._broker
        registry = broker.registry
        self._reached = broker.committer.end()
        broker.committer.group.facts[reaching_fact(self._cell)] = reaching_value(self._reached)
        for actor in self._importer.sessions:
            if actor.client_id in registry.actors:
                self._doubles.append(actor)
            else:
                actor.dormant = False
                registry.put(actor)
        if self._tell_reachable is not None:
            self._tell_reachable()
        broker.stats.observe_counts(registry.attached, len(registry.actors))
        broker.request_turn()

    async def _settle(self, actor: SessionActor) -> None:
        """Have the session's rows say from where on it is ours, and let its time run on."""
        broker = self._broker
        if actor.client is None:
            for when in (actor.will_at, actor.expires_at):
                if when is not None:
                    broker.timers.at(max(when, broker.now), actor)
        subscriptions = actor.session.subscriptions
        for written in list(subscriptions):
            granted = subscriptions.get(written)  # Its client may be back, and change them.
            if granted is not None and granted.share is None and granted.began < self._reached:
                granted.began = self._reached
                broker.subscribing.keep(actor, written, granted)
            if self.slices.spend(2):
                await self.slices.rest()
        if self.slices.spend(SESSION_WORK):
            await self.slices.rest()

    async def _merge(self, double: SessionActor) -> int:
        """Keep the session that the client has here, and give it what it was owed there."""
        broker = self._broker
        ours = broker.registry.actors.get(double.client_id)
        if ours is None:  # It has ended meanwhile.
            self._reached = broker.committer.end()
            double.dormant = False
            broker.registry.put(double)
            await self._settle(double)
            return 0
        moved = await merge(double, ours, self.slices)
        self._log.warning("adopted_session_doubled", client_id=double.label, messages_moved=moved)
        return 1
