"""``rookery start --workers``: several nodes that share this machine's port, and one process that looks after them.

That process runs the machine's NATS server, unless the configuration names others, and passes on what it is told by
signals. Its directory, that of the configured store, is one of ``rookery cluster up`` too: ``rookery cluster status``
reads it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from rookery.cli.cluster.folder import Folder, FolderFault, check_none_runs
from rookery.cli.cluster.plan import NodePlan, PlanFault
from rookery.cli.cluster.processes import Process, process_of, signal_to, start_worker
from rookery.cli.cluster.shares import (
    alone,
    bound,
    check_shareable,
    of_worker,
    planned_workers,
)
from rookery.cli.cluster.signals import Signals
from rookery.cli.cluster.supervisor import StartFault, Supervisor, Watched
from rookery.cli.cluster.targets import metrics_host
from rookery.cli.options import load_or_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rookery.app.cluster.machine import MachineNats
    from rookery.config import Loaded

LOOK_SECONDS: Final = 0.2
STEP_SECONDS: Final = 1.0


class Workers(Supervisor):
    """Nodes that read one configuration and write where this process does."""

    def __init__(
        self,
        folder: Folder,
        arguments: Mapping[NodePlan, Sequence[str]],
        monotonic: Callable[[], float],
        tell: Callable[[str], None],
        host: str,
    ) -> None:
        """``arguments`` are the options of each node's ``rookery start``."""
        super().__init__(folder, list(arguments), (), monotonic, tell, host)
        self._arguments = arguments

    def reload(self) -> None:
        """Have all read the configuration again."""
        for node in self.nodes:
            if node.process is not None:
                signal_to(node.process, signal.SIGHUP)

    def _launched(self, node: Watched) -> Process:
        return start_worker(self._arguments[node.plan])

    def _log_end(self, node: Watched) -> str:
        return f"what {node.node_id} said stands above"


def start_workers(count: int, config: Path | None, overrides: list[str]) -> int:
    """Run so many workers until SIGTERM or SIGINT; the exit code."""
    loaded = load_or_exit(config, overrides)
    directory = _directory(loaded)
    folder = Folder(directory, own_files=False)
    try:
        check_shareable(loaded.config)
        folder.lock()
        try:
            return _locked(count, loaded, overrides, folder)
        finally:
            folder.unlock()
    except (PlanFault, FolderFault, StartFault, OSError) as fault:
        typer.echo(f"rookery: {fault}", err=True)
        return 1


def _locked(count: int, loaded: Loaded, overrides: list[str], folder: Folder) -> int:
    """The same, as the only one who starts nodes in this directory."""
    from rookery.actors.clock import SystemClock
    from rookery.app.cluster.machine import MachineNats
    from rookery.config import access_directory, base_directory

    check_none_runs(folder.path, folder.read())
    common = list(overrides)
    if not loaded.config.cluster.enabled:
        _check_unused(folder.path)
        folder.make_secret()
        common += alone(folder.secret_file)
    machine = load_or_exit(loaded.source, common)
    plans = planned_workers(count, machine.config)
    access = access_directory(loaded).absolute()
    arguments: dict[NodePlan, list[str]] = {}
    for index, plan in enumerate(plans):
        own = common + of_worker(plan, index, machine, folder.path, access)
        load_or_exit(loaded.source, own)
        source = [] if loaded.source is None else ["-c", str(loaded.source)]
        arguments[plan] = source + [part for each in own for part in ("--set", each)]
    folder.make_directories(plans)
    _check_free(machine, plans)
    _configure_logs(machine)
    host = metrics_host(machine.config)
    workers = Workers(folder, arguments, SystemClock().monotonic, typer.echo, host)
    workers.myself = process_of(os.getpid())
    nats = None
    if not machine.config.cluster.nats.urls:
        nats = MachineNats(machine.config, folder.path, base_directory(machine))
    return _served(workers, nats)


def _served(workers: Workers, nats: MachineNats | None) -> int:
    with Signals(reloads_on_hangup=True) as signals:
        if nats is not None:
            nats.start()
        try:
            if nats is None or _nats_listens(nats, signals):
                workers.start()
                _watch(workers, signals)
            told = signals.stops
            good = workers.stop(lambda: signals.stops > told)
        except BaseException:
            workers.stop(lambda: False)
            raise
        finally:
            if nats is not None:
                nats.stop()
    return 0 if good else 1


def _nats_listens(nats: MachineNats, signals: Signals) -> bool:
    """Wait for the NATS server; false where a signal came first. Raises ``StartFault``."""
    while not nats.listening:
        if nats.fault:
            raise StartFault(nats.fault)
        if signals.stops:
            return False
        signals.wait(LOOK_SECONDS)
    return True


def _watch(workers: Workers, signals: Signals) -> None:
    """Look after the workers until a signal says stop."""
    told, reloads = False, signals.reloads
    while not signals.stops:
        workers.step()
        if workers.all_ready and not told:
            told = True
            typer.echo(f"all {len(workers.nodes)} workers are ready")
        if signals.reloads != reloads:
            reloads = signals.reloads
            workers.reload()
        signals.wait(STEP_SECONDS if told else LOOK_SECONDS)


def _directory(loaded: Loaded) -> Path:
    from rookery.config import store_directory

    return store_directory(loaded).absolute()


def _check_unused(directory: Path) -> None:
    """Sessions of a node that was alone are not found by workers: say so before they are missed."""
    from rookery.store.database import FILE

    if (directory / FILE).exists():
        raise FolderFault(
            f"{directory / FILE} is the store of a node without workers, whose sessions and retained messages "
            "workers would not see: give store.directory another place, or move that file away"
        )


def _check_free(machine: Loaded, plans: list[NodePlan]) -> None:
    """Say which ports are taken before anything is started: nobody is told later that a port is shared."""
    from rookery.net.listening import ListenFault, TcpSpec, listen

    faults = []
    for name, host, port in bound(machine.config, plans):
        try:
            for sock in listen(TcpSpec(name, host, port)):
                sock.close()
        except ListenFault as fault:
            faults.append(str(fault))
    if faults:
        raise FolderFault("\n".join(faults))


def _configure_logs(machine: Loaded) -> None:
    from rookery.actors.clock import SystemClock
    from rookery.observe.logs import configure

    settings = machine.config.log
    configure(
        level=settings.level,
        line_format=settings.format,
        repeat_limit_per_minute=settings.repeat_limit_per_minute,
        clock=SystemClock().monotonic,
        environ=os.environ,
    )
