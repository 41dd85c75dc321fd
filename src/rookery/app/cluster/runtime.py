"""One node's part in its cluster: who the others are, what happens when they come and go, and to this node itself.

A node whose lease is over acknowledges nothing that must last and serves nobody until it is valid again. When another
node has taken its cell, what it has in memory is that node's: it must begin anew, with an empty cell.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from rookery.app.cluster.admin import ClusterDesk
from rookery.app.cluster.adopting import Adopter
from rookery.app.cluster.ground import Ground
from rookery.cluster.links import Links
from rookery.cluster.membership import Membership
from rookery.cluster.nats_server import NatsServerFault
from rookery.cluster.security import LinkFault, LinkSecurity, LinkTls
from rookery.engine.peers.hub import Hub
from rookery.ports import NotStarted
from rookery.store.replicated import ReplicatedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rookery.app.cluster.keeper import ServerKeeper
    from rookery.cluster.cells import CellRecord
    from rookery.config.models import Config
    from rookery.engine.broker import Broker
    from rookery.ports import Clock, Store

log: Final = structlog.get_logger("rookery.app")

LOOK_SECONDS: Final = 0.2
TELL_SECONDS: Final = 5.0
JOIN_SECONDS_MAX: Final = 15.0
"""How long a node may be without links to living members before it leaves its cell to them."""
APART_SECONDS: Final = 6.0
"""How long a node stays away so that others take its cell: longer than they wait for it."""
STILL_SECONDS: Final = 3.5
"""When a node stood still for so long, its NATS server probably did as well, and calls for elections in a moment."""
NO_LEASE: Final = "this node has no lease: a majority of the cluster cannot be reached"
JOINING: Final = "this node is joining its cluster"


class ClusterRuntime:
    """Put together by ``prepare``, which must be called before the node is made."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        clock: Clock,
        begin_anew: Callable[[str, float], None],
        keeper: ServerKeeper,
        base: Path,
    ) -> None:
        """``begin_anew`` is told why this process can go on only with a new node, and after how many seconds.

        ``keeper`` has the NATS server for this node and the next. ``base`` is where relative paths start.
        """
        self.node_id = config.broker.node_id
        self.name = config.cluster.name
        self.ready = False
        self._config = config
        self._directory = directory
        self._clock = clock
        self._begin_anew = begin_anew
        self._keeper = keeper
        self._ground = Ground(config, directory, clock, self, keeper, base)
        self._members: dict[str, CellRecord] = {}
        """The cells whose sessions are with their own node, or not yet with another."""
        self._living: dict[str, CellRecord] = {}
        self.broker: Broker
        self.hub: Hub
        self._links: Links
        self._membership: Membership
        self._adopter: Adopter
        self.admin: ClusterDesk

    @property
    def epoch(self) -> int:
        """That of the node's cell."""
        return self._ground.lease.record.epoch

    @property
    def state(self) -> str:
        """The node's state, as the registers know it."""
        return self._ground.lease.record.state

    async def prepare(self) -> None:
        """Start what lies below and get the node's cell. Raises ``NotStarted``."""
        try:
            await self._ground.start()
        except NatsServerFault as fault:
            raise NotStarted(str(fault)) from fault
        except BaseException:
            await self._ground.stop()
            raise

    def make_store(self) -> Store:
        """The store on the cell's log."""
        return ReplicatedStore(
            self._directory,
            self._ground.cell_log,
            self._config.store.bytes_max,
            self._clock,
            self.node_id,
            self.epoch,
            self._fenced,
        )

    def attach(self, broker: Broker) -> None:
        """Give the broker its peers; before it recovers what its store holds."""
        record = self._ground.lease.record
        self.broker = broker
        broker.closed_for = JOINING
        self.hub = Hub(broker, self.node_id, record.epoch)
        broker.peers = self.hub
        cluster = self._config.cluster
        secret = None if cluster.secret is None else cluster.secret.get_secret_value().encode()
        tls = cluster.tls
        security = LinkSecurity(
            secret,
            None
            if tls is None
            else LinkTls(Path(tls.certificate_file), Path(tls.key_file), Path(tls.ca_file)),
        )
        self._links = Links(
            self.node_id,
            f"{record.epoch}-{record.boot}",
            cluster.name,
            security,
            f"{cluster.host}:{self._config.broker.grpc_port}",
            self.hub,
            self._clock,
        )
        self._membership = Membership(self._ground.registers, self._ground.lease, self._clock, self)
        self._adopter = Adopter(
            broker, self.hub, self._ground.jetstream, self._directory, self._clock
        )
        self._adopter.membership = self._membership
        self.admin = ClusterDesk(self)

    async def join(self) -> None:
        """Link to all others, and wait until each has told what its sessions ask for, or is gone."""
        try:
            await self._links.start()
        except LinkFault as fault:
            raise NotStarted(str(fault)) from fault
        self._membership.start()
        began = told = self._clock.monotonic()
        await self._membership.poll()
        while missing := self._missing():
            now = self._clock.monotonic()
            if now - told >= TELL_SECONDS:
                told = now
                log.warning("waiting_for_members", missing=missing, seconds=round(now - began))
            if now - began >= JOIN_SECONDS_MAX and any(
                self.is_living(name) and not self.hub.is_linked(name) for name in missing
            ):
                self._begin_anew(f"no links to {', '.join(missing)}", APART_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)
        self.ready = True
        self._open()
        self._ground.lease.tell(state="up", sees=self._sees())
        self.broker.tasks.start("cluster_watch", self._watch())
        log.info("cluster_joined", name=self.name, epoch=self.epoch, members=sorted(self._members))

    async def leave_links(self) -> None:
        """Tell the others nothing more; after the last commit."""
        await self._membership.stop()
        await self._links.stop()

    async def stop(self) -> None:
        """End what lies below; after the store is closed."""
        await self._ground.stop()

    def leave(self) -> None:
        """End this node for good: its cell goes to another."""
        self._ground.lease.tell(state="leaving")
        self._begin_anew("", 0.0)

    def empty(self, reason: str) -> None:
        """Have clients connect to other nodes from now on, which are told so; sessions here are served through them."""
        self.broker.emptied_for = reason
        self._ground.lease.tell(emptied=True)

    def clients_max(self) -> int:
        """As many clients as there can be here: those of sessions here, and those relayed to other nodes."""
        return self.broker.registry.attached + self.hub.relays.count

    def clients_elsewhere(self) -> list[int]:
        """How many clients are connected to each other node that takes some."""
        return self.hub.clients_elsewhere([each.node_id for each in self._open_to_clients()])

    def is_reached(self, node_id: str) -> bool:
        """Whether a node is this one, or there is a link to it."""
        return node_id == self.node_id or self.hub.is_linked(node_id)

    def is_living(self, node_id: str) -> bool:
        """Whether a node is alive."""
        return node_id in self._living

    def cells(self) -> list[str]:
        """The names of all nodes there are, or were."""
        return self._membership.cells()

    def cell(self, node_id: str) -> CellRecord | None:
        """What the registers say of a node's cell; ``None`` where they know none of this name."""
        return self._membership.record_of(node_id)

    def records(self) -> list[CellRecord]:
        """All members, this node among them."""
        known = {**self._members, self.node_id: self._ground.lease.record}
        return [known[name] for name in sorted(known)]

    def check(self) -> tuple[bool, str]:
        """Whether the node may serve, for ``/health/ready``."""
        if not self.ready:
            return False, f"waiting for {', '.join(self._missing()) or 'the others'}"
        if not self._ground.lease.valid(self._clock.monotonic()):
            return False, NO_LEASE
        closed = self.broker.closed_for or self.broker.emptied_for
        if closed:
            return False, closed
        problems = [*self._ground.problems(), *self._links.problems()]
        return True, "; ".join([f"{len(self._living) + 1} nodes, epoch {self.epoch}", *problems])

    # --- Metrics --------------------------------------------------------------------------------

    def nodes_running(self) -> int:
        """How many members are alive, this node among them."""
        return len(self._living) + 1

    def links(self) -> Mapping[str, bool]:
        """By the name of each other member: whether there is a link to it."""
        return {name: self.hub.is_linked(name) for name in self._members if name != self.node_id}

    def forward_queue(self) -> int:
        """What was told to other nodes and is not acknowledged."""
        return self.hub.waiting_items()

    def lease_held(self) -> bool:
        """Whether the node may acknowledge what must last."""
        return self._ground.lease.valid(self._clock.monotonic())

    def cell_epoch(self) -> int:
        """That of the node's cell."""
        return self.epoch

    # --- The lease ------------------------------------------------------------------------------

    def lease_lost(self) -> None:
        """Serve nobody: another node may have our clients in a moment."""
        self._close(NO_LEASE)

    def lease_regained(self) -> None:
        """Serve again: nobody took our cell."""
        if self.ready:
            self._open()

    def lease_taken(self, record: CellRecord) -> None:
        """What is in memory here is another node's now."""
        self._close(NO_LEASE)
        self._begin_anew(f"its cell was taken by {record.holder}", 0.0)

    def step_down(self) -> None:
        """The others are linked to each other and not to us: let them have our clients."""
        self._close(NO_LEASE)
        self._begin_anew("it has no links to the others, who have them", APART_SECONDS)

    def _fenced(self, reason: str) -> None:
        self._close(NO_LEASE)
        # Whoever wrote into our log has claimed our cell before: nobody has to be waited for.
        self._begin_anew(reason, 0.0)

    def _close(self, reason: str) -> None:
        broker = self.broker if hasattr(self, "broker") else None
        if broker is not None:
            broker.closed_for = reason
            broker.send_away(self.clients_max(), brought_as_well=True)

    def _open(self) -> None:
        if self._ground.lease.valid(self._clock.monotonic()):
            self.broker.closed_for = ""

    # --- The others -----------------------------------------------------------------------------

    def cell_joined(self, record: CellRecord) -> None:
        """A node is there."""
        self._living[record.node_id] = record
        self._members[record.node_id] = record
        self._members_changed()

    def cell_changed(self, record: CellRecord) -> None:
        """Something of it has changed."""
        self.cell_joined(record)

    def cell_dead(self, record: CellRecord) -> None:
        """It is gone; its cell is a member until another has it."""
        self._living.pop(record.node_id, None)
        self._members_changed()

    def cell_adopted(self, record: CellRecord) -> None:
        """Its sessions are with another node."""
        if record.node_id not in self._living:
            self._members.pop(record.node_id, None)
        self._members_changed()

    def adopt(self, record: CellRecord) -> None:
        """Take over a cell."""
        if self.ready:
            self._adopter.begin(record)
        else:
            self._membership.abandon(record.node_id)

    def _members_changed(self) -> None:
        addresses = {record.node_id: record.address for record in self._living.values()}
        self._links.set_members(addresses)
        self.hub.set_members(
            {name: record.epoch for name, record in self._members.items()},
            [name for name, record in self._members.items() if record.state == "joining"],
        )
        others = sorted(
            record.server_reference for record in self._open_to_clients() if record.server_reference
        )
        configured = self.broker.settings.behaviour.server_reference
        self.broker.other_servers = others if configured is None else [configured]

    def _open_to_clients(self) -> list[CellRecord]:
        """The other nodes that clients may be sent to."""
        return [each for each in self._living.values() if each.state == "up" and not each.emptied]

    def _sees(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._living if self.hub.is_linked(name)))

    def _missing(self) -> list[str]:
        """The members that have not told all their sessions ask for."""
        return self.hub.not_synced()

    async def _watch(self) -> None:
        own = self._ground.lease.record.address
        while True:
            before = self._clock.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
            if self._clock.monotonic() - before > STILL_SECONDS:
                await self._keeper.start_afresh()
            self.hub.look()
            sees = self._sees()
            if sees != self._ground.lease.record.sees:
                self._ground.lease.tell(sees=sees)
            if not sees and not self.lease_held():
                others = [each.address for each in self._members.values()]
                await self._keeper.sit_out([each for each in others if each != own])
