"""One node, put together.

``Node`` is one broker process as an object: made from a configuration, started and stopped in a running
event loop. The command line runs one; tests run many.
"""

from __future__ import annotations

import asyncio
import gc
import platform
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from rookery import __version__
from rookery.actors.clock import SystemClock
from rookery.app.audit import AuditTrail
from rookery.app.authentication import make_authenticator
from rookery.app.authorization import Authorization, Origins
from rookery.app.bans import BanKeeper, make_guard
from rookery.app.listeners import quota_of, spec_of, transport_of
from rookery.app.mountpoints import Mountpoints
from rookery.app.overload import OverloadWatch, make_overload
from rookery.app.reload import Reload
from rookery.app.store import make_store
from rookery.app.tls import NodeTls, same_but_tls
from rookery.auth.access.file import AccessFile
from rookery.auth.access.watch import AccessWatch
from rookery.auth.banned import NODE
from rookery.auth.guard import NotBanned
from rookery.auth.watch import FileFault, FileWatch
from rookery.config.listeners import Listener
from rookery.config.models import Config
from rookery.config.settings import to_settings
from rookery.engine.broker import Broker
from rookery.engine.gauges import BrokerGauges
from rookery.engine.overload import NORMAL
from rookery.engine.recovery import Recovery
from rookery.engine.stats import SHED_SYS
from rookery.engine.sys_topics import LoadAverages, sys_messages
from rookery.mqtt import link
from rookery.net.acceptor import Acceptor, Links
from rookery.net.listening import describe, listen
from rookery.net.poller import Poller
from rookery.observe.cluster import ClusterAdmin
from rookery.observe.cluster_metrics import ClusterCollector
from rookery.observe.health import Health
from rookery.observe.http import ObserveServer
from rookery.observe.lag import LagProbe
from rookery.observe.metrics import NodeCollector, node_registry

if TYPE_CHECKING:
    from rookery.app.cluster.runtime import ClusterRuntime

log: Final = structlog.get_logger("rookery.app")

SWITCH_SECONDS: Final = 0.0005
DRAIN_SECONDS_MAX: Final = 5.0
"""How long clients may take to read their last packets, and commits to finish, at a stop."""
LOAD_SECONDS: Final = 5.0
"""How often the load averages are fed."""
PROBLEM_SECONDS: Final = 0.5
"""How often the store is asked what is wrong with it: a disk that was full for a second is told, too."""


def compiled() -> bool:
    """Whether the core runs as machine code."""
    return not str(link.__file__).endswith(".py")


def tune_interpreter() -> None:
    """Set Python up for the traffic of a node.

    Messages live and die by reference counting; what the cycle collector finds is the rare cycle. So its
    young collections are spread far apart, and what the start left behind is not looked at again.
    The store's threads wait for the interpreter at every statement: a busy loop hands it over sooner
    than after the default 5 ms, or a commit would take several of these.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
    sys.setswitchinterval(SWITCH_SECONDS)


class Node:
    """One node."""

    def __init__(
        self,
        config: Config,
        directory: Path | None = None,
        base: Path | None = None,
        origins: Origins | None = None,
        cluster: ClusterRuntime | None = None,
        access_directory: Path | None = None,
    ) -> None:
        """``directory`` is where the store lies, and the access database where ``access_directory`` is ``None``.

        Durability ``memory`` needs none; without either there is no access database. ``base`` is where relative
        paths of files start that authentication and authorization read; at ``None`` the working directory.
        ``origins`` tell where each setting was given. ``cluster`` is the node's part in one, prepared.
        """
        self.config = config
        self.ports: dict[str, int] = {}
        """The TCP port each listener got, by its name, and ``metrics`` for the metrics port."""
        self.addresses: list[str] = []
        """Where the node listens, for people."""
        self.health = Health()
        self._cluster = cluster
        clock = SystemClock()
        self._clock = clock
        access = access_directory or directory
        access_file = None if access is None else AccessFile(access)
        self._access = AccessWatch(access_file)
        """What users, rules and bans are read from while the node runs: each subscribes to its part."""
        self._watch = FileWatch(self._request_turn)
        self._watch.add(self._access)
        self._authenticator = make_authenticator(
            config, clock, self._access, self._watch, base or Path()
        )
        self._store = (
            make_store(config, directory, clock) if cluster is None else cluster.make_store()
        )
        self._authorization = Authorization(
            config.authorization, origins or {}, base or Path(), clock
        )
        self.broker = Broker(
            to_settings(config),
            self._store,
            self._authenticator,
            self._authorization.authorizer,
            clock,
        )
        if cluster is not None:
            cluster.attach(self.broker)
        self._authorization.watch(self._watch, self._access)
        guard = make_guard(config, clock, self.broker.stats)
        self.broker.bans = guard
        self.broker.authorizer = NotBanned(self.broker.authorizer, guard)
        self._bans = BanKeeper(guard, access_file, self._access, clock, config.bans.automatic_max)
        self._audit = AuditTrail(access_file, self._access, clock)
        self.broker.mountpoint_of = Mountpoints(config.active_listeners).of
        self._gauges = BrokerGauges(self.broker)
        self._lag = LagProbe(self.broker.stats)
        self.broker.overload = make_overload(config, self.broker)
        self._overload = OverloadWatch(self.broker, self._lag)
        self._loads = LoadAverages(self.broker.stats, self.broker.now)
        self._links = Links(self.broker)
        self._tls = NodeTls(clock)
        self.reload_actions = Reload(config)
        """What takes up which part of a configuration that is read again."""
        self.reload_actions.add("listeners", self._reload_listeners)
        self.reload_actions.add("authorization", self._reload_authorization)
        self._acceptors: list[Acceptor] = []
        self._problems: set[str] = set()
        """What was wrong with the store when last looked."""
        self._poller: Poller | None = None
        self._observer: ObserveServer | None = None

    async def start(self) -> None:
        """Open everything; on failure close what was opened and raise."""
        poller = Poller(self.broker, asyncio.get_running_loop())
        self._poller = poller
        try:
            await self._watch.load()
            await self._authenticator.start()
            await self._authorization.start()
            if self._cluster is not None and self.config.metrics.enabled:
                await self._start_observer(poller)  # A node that waits for others can be looked at.
            await self._recover()
            if self._cluster is not None:
                poller.start()
                await self._cluster.join()
            for listener in self.config.active_listeners:
                self._open(listener, poller)
            if self._cluster is None and self.config.metrics.enabled:
                await self._start_observer(poller)
        except BaseException:
            await self.stop()
            raise
        self._lag.start()
        if self._cluster is None:
            poller.start()
        if self.config.mqtt.sys_interval_seconds:
            self.broker.tasks.start("sys_topics", self._publish_sys())
        self.broker.tasks.start("load_averages", self._observe_load())
        self.broker.tasks.start("store_problems", self._watch_store())
        self.broker.tasks.start("watch_files", self._watch.run())
        if self._tls.reloader.listeners:
            self.broker.tasks.start("tls_reload", self._tls.reloader.run())
            self.health.add_check("certificates", self._tls.check)
        self.broker.tasks.start("keep_bans", self._bans.run())
        self.broker.tasks.start("watch_overload", self._overload.run())
        self.health.add_check("listeners", self._check_listeners)
        self.health.add_check("commits", self._check_commits)
        self.health.add_check("overload", self._overload.check)
        if self._cluster is not None:
            self.health.add_check("cluster", self._cluster.check)
        self.health.mark_started()
        log.info(
            "node_started",
            node_id=self.config.broker.node_id,
            version=__version__,
            compiled=compiled(),
            python=platform.python_version(),
            listeners=self.addresses,
        )

    async def stop(self) -> None:
        """Drain: accept no more, send the clients away, finish the commits, close."""
        for acceptor in self._acceptors:
            acceptor.close()
        await self._drained()  # What was taken in is answered before anybody is sent away.
        self.broker.drain()
        self.broker.request_turn()
        await self._drained()
        for io in list(self._links.open):
            io.abort()
        self.broker.committer.finish(self.broker.now)
        await self._drained()
        self._lag.stop()
        if self._cluster is not None:
            await self._cluster.leave_links()
        await self.broker.tasks.stop()
        if self._observer is not None:
            await self._observer.stop()
        if self._poller is not None:
            self._poller.stop()
            self._poller = None
        await self._store.close()
        if self._cluster is not None:
            await self._cluster.stop()
        self._watch.close()
        await self._authenticator.stop()
        await self._authorization.stop()
        log.info("node_stopped", node_id=self.config.broker.node_id)

    async def _recover(self) -> None:
        """Open the store and bring back what it holds."""
        began = self._clock.monotonic()
        recovery = Recovery(self.broker, await self._store.open())
        await recovery.run()
        self._tell_problems()
        log.info(
            "store_opened",
            durability=self._store.durability,
            sessions=len(self.broker.registry.actors),
            retained=self.broker.retained.count,
            entries=recovery.entries,
            damaged=recovery.damaged,
            seconds=round(self._clock.monotonic() - began, 3),
        )

    def note(self, action: str, target: str, detail: str = "", by: str = NODE) -> None:
        """Have an administrative act of the node's own, or that was asked of it, noted in the audit."""
        self.broker.tasks.start("audit", self._audit.note(action, target, detail, by))

    def _request_turn(self) -> None:
        self.broker.request_turn()  # The poller sets it only later.

    async def _drained(self) -> None:
        deadline = self._clock.monotonic() + DRAIN_SECONDS_MAX
        while any(io.has_output() for io in self._links.open) or not self.broker.committer.idle():
            if self._clock.monotonic() >= deadline:
                log.warning("drain_incomplete", links=len(self._links.open))
                return
            await asyncio.sleep(0.01)

    def _open(self, listener: Listener, poller: Poller) -> None:
        assert listener.name is not None
        transport = transport_of(listener, self._tls.open(listener))
        quota = quota_of(listener, self.broker.now)
        for sock in listen(spec_of(listener)):
            acceptor = Acceptor(
                sock, listener.name, transport, poller, self.broker, self._links, quota
            )
            self._acceptors.append(acceptor)
            self.addresses.append(describe(sock, listener.type))
            if sock.family != socket.AF_UNIX:
                self.ports[listener.name] = sock.getsockname()[1]

    async def reload(self, config: Config, origins: Origins) -> list[str]:
        """Take up what can change while the node runs; the names of what needs a restart."""
        try:
            await self._authorization.reload(config.authorization, origins)
        except FileFault as fault:
            log.error("config_refused", errors=[str(fault)])
        waiting = self.reload_actions.apply(config)
        await self._watch.look()
        self.broker.request_turn()
        return waiting

    def _reload_authorization(self, config: Config) -> list[str]:
        """Its rules are in force already."""
        same = config.authorization.denied == self.config.authorization.denied
        return [] if same else ["authorization.denied"]

    def _reload_listeners(self, config: Config) -> list[str]:
        self._tls.reload(config)
        running, wanted = self.config.active_listeners, config.active_listeners
        same = len(running) == len(wanted) and all(map(same_but_tls, running, wanted))
        return [] if same else ["listeners"]

    async def _start_observer(self, poller: Poller) -> None:
        collector = NodeCollector(
            self.broker.stats, self._gauges, self._lag, self._clock, __version__, compiled()
        )
        registry = node_registry(collector)
        registry.register(self._tls.collector(poller))
        admin: ClusterAdmin | None = None
        if self._cluster is not None:
            registry.register(ClusterCollector(self._cluster))
            self._cluster.admin.note = self.note
            admin = self._cluster.admin
        secret = self.config.cluster.secret
        self._observer = ObserveServer(
            registry,
            self.health,
            admin,
            None if secret is None else secret.get_secret_value(),
        )
        host = self.config.metrics.host
        port = await self._observer.start(host, self.config.broker.metrics_port)
        self.ports["metrics"] = port
        self.addresses.append(f"http://{host}:{port}/metrics")

    def _check_listeners(self) -> tuple[bool, str]:
        if self.broker.draining:
            return False, "the node is shutting down"
        return True, f"{len(self._acceptors)} open"

    def _check_commits(self) -> tuple[bool, str]:
        problems = self._store.problems()
        if self.broker.committer.failing:
            return False, "; ".join(["the last commit failed", *problems])
        return True, "; ".join([f"durability {self._store.durability}", *problems])

    async def _publish_sys(self) -> None:
        while True:
            if self.broker.overload.level == NORMAL:
                for topic, payload in self._sys_messages():
                    self.broker.publish(topic, payload, True)
            else:
                self.broker.overload.shed(SHED_SYS)
            await asyncio.sleep(self.config.mqtt.sys_interval_seconds)

    def _sys_messages(self) -> Iterable[tuple[str, bytes]]:
        return sys_messages(
            self.broker.stats,
            self._gauges,
            self._loads,
            node_id=self.config.broker.node_id,
            version=__version__,
            now=self._clock.monotonic(),
            wall=self._clock.wall(),
        )

    async def _observe_load(self) -> None:
        while True:
            await asyncio.sleep(LOAD_SECONDS)
            self._loads.observe(self.broker.stats, self._clock.monotonic())

    async def _watch_store(self) -> None:
        while True:
            await asyncio.sleep(PROBLEM_SECONDS)
            self._tell_problems()

    def _tell_problems(self) -> None:
        """Log what has newly gone wrong with the store, and what is right again."""
        problems = set(self._store.problems())
        for problem in problems - self._problems:
            log.warning("store_problem", problem=problem)
        for problem in self._problems - problems:
            log.info("store_problem_over", problem=problem)
        self._problems = problems
