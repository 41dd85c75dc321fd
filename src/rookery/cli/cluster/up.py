"""``rookery cluster up`` and ``down``: the nodes of a cluster on this machine."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

import typer

from rookery.cli.cluster.folder import DEFAULT_DIRECTORY, Folder, FolderFault, State, checked
from rookery.cli.cluster.generated import HOST
from rookery.cli.cluster.plan import NodePlan, PlanFault, packed, planned
from rookery.cli.cluster.processes import STOP_SECONDS_MAX, process_of, stop_processes
from rookery.cli.options import Overrides
from rookery.cli.tables import columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from rookery.cli.cluster.signals import Signals
    from rookery.cli.cluster.supervisor import Supervisor

NODES: Final = 3
NODES_MAX: Final = 16
STARTING_STEP_SECONDS: Final = 0.2
STEP_SECONDS: Final = 1.0

Directory = Annotated[
    Path,
    typer.Option("--directory", "-d", metavar="DIR", help="Where the nodes' data and logs are."),
]


def _port(service: str, usual: int) -> typer.models.OptionInfo:
    option = f"--{service}-port"
    made: typer.models.OptionInfo = typer.Option(
        option, min=1, max=65_535, help=f"The first node's; {usual} by default."
    )
    return made


def up(
    count: Annotated[
        int | None,
        typer.Argument(
            metavar="N",
            min=1,
            max=NODES_MAX,
            help="How many nodes; as many as there were before, else 3.",
        ),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Leave the nodes running; nobody starts one again that ends."
        ),
    ] = False,
    overrides: Overrides = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=3_600, help="Seconds until all nodes must be ready.")
    ] = 60.0,
    ports_from: Annotated[
        int | None,
        typer.Option(
            "--ports-from",
            metavar="PORT",
            min=1,
            max=65_535,
            help="Take all ports in one row from here, six for each node, instead of the usual ones.",
        ),
    ] = None,
    mqtt_port: Annotated[int | None, _port("mqtt", 1883)] = None,
    grpc_port: Annotated[int | None, _port("grpc", 8081)] = None,
    metrics_port: Annotated[int | None, _port("metrics", 8082)] = None,
    dashboard_port: Annotated[int | None, _port("dashboard", 18083)] = None,
    nats_port: Annotated[int | None, _port("nats", 4222)] = None,
    nats_route_port: Annotated[int | None, _port("nats-route", 6222)] = None,
) -> None:
    """Start N nodes on this machine as one cluster, until Ctrl-C.

    Nodes have the ports 1883, 1884, 1885.. for MQTT, 8081, 8083.. for gRPC,
    8082, 8084.. for metrics and 18083, 18084.. for the dashboard. A directory
    that had a cluster before goes on with its data. A node that ends by itself
    is started again, soon at first, then after longer waits. What --set gives
    goes to all nodes.

    Exit codes: 0, all nodes ran and were stopped (with --detach: they run);
    1, they could not be started, or some had to be killed at the end; 2, wrong
    command line.
    """
    firsts = {
        "mqtt": mqtt_port,
        "grpc": grpc_port,
        "metrics": metrics_port,
        "dashboard": dashboard_port,
        "nats": nats_port,
        "nats_route": nats_route_port,
    }
    given = {service: port for service, port in firsts.items() if port is not None}
    if given and ports_from is not None:
        raise typer.BadParameter("--ports-from and the ports of single services exclude each other")
    with faults_told():
        folder = Folder(directory)
        folder.lock()
        try:
            state = folder.read()
            plans = _plans(state, count, ports_from, given)
            checked(folder.path, state, plans)
            _check_ports(plans)
            folder.prepare(plans)
            done = _run(folder, plans, overrides or [], detach=detach, seconds_max=timeout)
        finally:
            folder.unlock()
    raise typer.Exit(0 if done else 1)


def down(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Stop the nodes of 'cluster up', with --detach or not; their data stays.

    Exit codes: 0, no node runs any more, or none ran; 1, some did not end by
    themselves and were killed.
    """
    from rookery.actors.clock import SystemClock

    folder = Folder(directory)
    with faults_told():
        state = folder.read()
    if state is None:
        typer.echo(f"there is no cluster in {folder.path}")
        return
    monotonic = SystemClock().monotonic
    good = True
    if state.supervisor is not None:
        # It stops its nodes itself, and would start again what is stopped behind its back.
        longest = STOP_SECONDS_MAX * 2
        good = not stop_processes([state.supervisor], monotonic, seconds_max=longest)
    running = {node.process: node for node in state.running() if node.process is not None}
    killed = stop_processes(running, monotonic)
    for process, node in running.items():
        how = "did not end by itself and was killed" if process in killed else "is stopped"
        typer.echo(f"{node.plan.node_id} (pid {process.pid}) {how}")
    with faults_told():
        folder.write(state.stopped())
    if not running:
        typer.echo("the cluster is stopped" if state.supervisor else "no node was running")
    if killed or not good:
        raise typer.Exit(1)


@contextmanager
def faults_told() -> Iterator[None]:
    """Tell what goes wrong on standard error and exit with 1."""
    from rookery.cli.cluster.supervisor import StartFault

    try:
        yield
    except PlanFault as fault:
        raise typer.BadParameter(str(fault)) from None
    except (FolderFault, StartFault, OSError) as fault:
        typer.echo(f"rookery: {fault}", err=True)
        raise typer.Exit(1) from None


def _plans(
    state: State | None, wanted: int | None, ports_from: int | None, given: dict[str, int]
) -> list[NodePlan]:
    """The nodes asked for. Where no ports were asked for, a cluster that was there keeps its own."""
    known = [] if state is None else [node.plan for node in state.nodes]
    count = wanted or len(known) or NODES
    if ports_from is not None:
        return packed(count, ports_from)
    if given or not known:
        return planned(count, given)
    if count <= len(known):
        return known[:count]
    return known + planned(count, known[0].ports.firsts())[len(known) :]


def _check_ports(plans: Sequence[NodePlan]) -> None:
    """Say which ports are taken before anything is started."""
    taken = []
    for plan in plans:
        for service, port in plan.ports.each():
            host = "0.0.0.0" if service == "mqtt" else HOST  # noqa: S104  (as the node's listener)
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((host, port))
                    sock.listen()
                except OSError as error:
                    why = "is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
                    taken.append(f"port {port}, {service} of {plan.node_id}, {why}")
    if taken:
        raise FolderFault("\n".join([*taken, "--ports-from and --mqtt-port etc. choose others"]))


def _run(
    folder: Folder,
    plans: Sequence[NodePlan],
    overrides: Sequence[str],
    *,
    detach: bool,
    seconds_max: float,
) -> bool:
    """Start the nodes, and look after them unless they are left alone; whether all went well."""
    from rookery.actors.clock import SystemClock
    from rookery.cli.cluster.signals import Signals
    from rookery.cli.cluster.supervisor import StartFault, Supervisor

    monotonic = SystemClock().monotonic
    with Signals() as signals, _Progress(len(plans)) as progress:
        supervisor = Supervisor(folder, plans, overrides, monotonic, progress.tell)
        supervisor.myself = None if detach else process_of(os.getpid())
        try:
            supervisor.start()
            _wait_until_ready(supervisor, signals, progress, monotonic() + seconds_max)
            if not signals.stops:
                typer.echo(_table(folder, supervisor))
                if detach:
                    typer.echo(f"stop them with: rookery cluster down --directory {folder.path}")
                    return True
                typer.echo("Ctrl-C stops all nodes")
            while not signals.stops:
                supervisor.step()
                signals.wait(STEP_SECONDS)
        except (StartFault, OSError):  # A full disk, or nobody who reads what is written here.
            progress.end()
            supervisor.stop(lambda: signals.stops > 0)
            raise
        return _stopped(supervisor, signals)


def _wait_until_ready(
    supervisor: Supervisor, signals: Signals, progress: _Progress, deadline: float
) -> None:
    from rookery.actors.clock import SystemClock
    from rookery.cli.cluster.supervisor import StartFault

    monotonic = SystemClock().monotonic
    while not supervisor.all_ready and not signals.stops:
        if monotonic() >= deadline:
            raise StartFault(f"the time is up\n{supervisor.missing()}")
        supervisor.step()
        progress.show(supervisor)
        signals.wait(STARTING_STEP_SECONDS)
    progress.end()


def _stopped(supervisor: Supervisor, signals: Signals) -> bool:
    typer.echo("stopping all nodes; once more Ctrl-C kills them")
    told = signals.stops
    good = supervisor.stop(lambda: signals.stops > told)
    typer.echo("all nodes are stopped")
    return good


def _table(folder: Folder, supervisor: Supervisor) -> str:
    header = ("node", "MQTT", "gRPC", "metrics", "dashboard", "pid", "ready", "log")
    rows = []
    for node in supervisor.nodes:
        ports = node.plan.ports
        pid = "" if node.process is None else node.process.pid
        ready = "yes" if node.ready else "no"
        services = (ports.mqtt, ports.grpc, ports.metrics, ports.dashboard)
        rows.append((node.node_id, *services, pid, ready, folder.log_file(node.node_id)))
    return columns(header, rows)


class _Progress:
    """What is told while the nodes start: one line that changes on a terminal, else a line for each thing."""

    def __init__(self, count: int) -> None:
        self._end: Callable[[], None] | None = None
        self._update: Callable[[str], None] | None = None
        self._count = count

    def __enter__(self) -> Self:
        from rich.console import Console

        console = Console()  # It knows NO_COLOR.
        if console.is_terminal:
            status = console.status(f"starting {self._count} nodes")
            status.start()
            self._update, self._end = status.update, status.stop
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def tell(self, line: str) -> None:
        """Something became of a node."""
        if self._update is None:
            typer.echo(line)

    def show(self, supervisor: Supervisor) -> None:
        """How far the start is."""
        if self._update is not None:
            states = [
                f"{node.node_id} {'ready' if node.ready else 'starting'}"
                for node in supervisor.nodes
            ]
            self._update(", ".join(states))

    def end(self) -> None:
        """From now on, lines."""
        if self._end is not None:
            self._end()
        self._end = self._update = None
