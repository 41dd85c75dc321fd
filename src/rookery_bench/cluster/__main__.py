"""The command: ``python -m rookery_bench.cluster``."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

from rookery_bench.cluster import results, traffic
from rookery_bench.cluster.durable import durable
from rookery_bench.cluster.join import Routes, joining
from rookery_bench.cluster.loss import losing
from rookery_bench.cluster.nats import Nats, find_nats_server
from rookery_bench.cluster.nodes import Command, Nodes, find_command
from rookery_bench.cluster.rabbitmq import RabbitMq, find_rabbitmq
from rookery_bench.cluster.results import Result
from rookery_bench.cluster.systems import System
from rookery_bench.environment import describe, describe_disk
from rookery_bench.offline.plan import Plan
from rookery_bench.peers import PeerError
from rookery_bench.report import as_table

RESULTS: Final = Path("benches/results")
ROWS: Final = ("qos0", "qos1", "latency", "durable", "fanout", "join", "loss")
_SIDE_BY_SIDE: Final = ROWS[:5]
"""Rows for which all systems run beside each other; the others have the machine to themselves."""
PEERS: Final = ("nats", "rabbitmq")
DEFAULT_PEERS: Final = "nats"
NO_PEERS: Final = "none"
_NODES: Final = 3
Opened = Callable[[Path], Nats | RabbitMq]
"""Makes another cluster, which keeps what it has in a folder."""
_COLUMNS_MAX: Final = 300


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float
    durable_rounds: int
    tries: int
    join_rounds: int
    loss_rounds: int
    routes: Routes
    plan: Plan


FULL: Final = Size(3, 2.5, 2, 5, 2, 2, Routes(1_000, 100), Plan(10_000, 2_000))
SHORT: Final = Size(1, 0.7, 1, 3, 1, 1, Routes(100, 20), Plan(300, 60))


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="rookery_bench.cluster",
        description="Measure a cluster of three nodes next to one node and to others' clusters.",
        epilog="Rows: " + ", ".join(ROWS),
    )
    add = parser.add_argument
    add("--rows", metavar="A,B", help="which rows (default: all)")
    add("--short", action="store_true", help="a look in less than two minutes, not a measurement")
    add(
        "--peers",
        metavar="A,B",
        default=DEFAULT_PEERS,
        help=f"which other clusters, of {', '.join(PEERS)}, or {NO_PEERS} (default: {DEFAULT_PEERS})",
    )
    add("--rookery-python", metavar="PATH", help="a Python with Rookery (default: this one)")
    add("--interpreted", action="store_true", help="nodes run the source folder, interpreted")
    add("--directory", metavar="PATH", help="on this disk (default: the temporary folder)")
    add("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(given)


def rows_of(names: str | None) -> list[str]:
    """Return the rows asked for, in their order.

    Raises:
        ValueError: a name that no row has.
    """
    wanted = list(ROWS) if names is None else names.split(",")
    unknown = [name for name in wanted if name not in ROWS]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return [name for name in ROWS if name in wanted]


def peers_of(names: str) -> list[Opened]:
    """Find the other clusters asked for.

    Raises:
        ValueError: a name that none has.
        PeerError: one that is not on this machine.
    """
    found: list[Opened] = []
    for name in [] if names == NO_PEERS else names.split(","):
        match name:
            case "nats":
                found.append(partial(Nats, find_nats_server(), _NODES))
            case "rabbitmq":
                found.append(partial(RabbitMq, find_rabbitmq(), _NODES))
            case _:
                raise ValueError(f"no cluster {name}; there are {', '.join(PEERS)}")
    return found


def main(given: list[str]) -> int:
    """Measure, show and keep the result; 1 when a row is invalid, 2 for a wrong call."""
    options = arguments(given)
    console, notes = Console(width=_COLUMNS_MAX), Console(stderr=True)
    try:
        rows = rows_of(options.rows)
        command = find_command(options.rookery_python, interpreted=options.interpreted)
        peers = peers_of(options.peers)
    except (ValueError, PeerError) as error:
        notes.print(f"rookery_bench.cluster: {error}", style="red", highlight=False)
        return 2
    size = SHORT if options.short else FULL
    environment = {**describe([]), "rookery": command.version, "disk": describe_disk()}
    environment["runs"] = f"{size.rounds} of {size.seconds:g} s, median"
    found: list[Result] = []
    name = datetime.now(UTC).strftime("cluster-%Y-%m-%d-%H%M%S")
    with (
        _cleared_away(),
        TemporaryDirectory(prefix="bench-cluster-", dir=options.directory) as folder,
        notes.status("") as status,
    ):
        measured = _Measuring(command, peers, size, Path(folder), status.update, environment)
        try:
            for result in measured.rows(rows):
                # At once: a run that is ended has then kept what it found.
                found.append(result)
                _keep(name, found, environment)
        except PeerError as error:
            notes.print(f"rookery_bench.cluster: {error}", style="red", highlight=False)
            return 2
    if options.json:
        sys.stdout.write(results.as_json(found, environment) + "\n")
    else:
        _show(console, found, environment)
    faults = [fault for result in found for fault in result.faults]
    for fault in faults:
        notes.print(f"invalid: {fault}", style="red", highlight=False)
    return 1 if faults else 0


@contextmanager
def _cleared_away() -> Iterator[None]:
    """Have SIGTERM end processes and folders as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Measuring:
    """The rows of one call."""

    def __init__(
        self,
        command: Command,
        peers: Sequence[Opened],
        size: Size,
        folder: Path,
        tell: Callable[[str], None],
        environment: dict[str, str],
    ) -> None:
        self._command = command
        self._peers = peers
        self._size = size
        self._folder = folder
        self._tell = tell
        self._environment = environment

    def rows(self, names: Sequence[str]) -> Iterator[Result]:
        """Measure row by row."""
        together = [name for name in names if name in _SIDE_BY_SIDE]
        if together:
            yield from self._side_by_side(together)
        size, command = self._size, self._command
        if "join" in names:
            yield joining(command, size.routes, size.join_rounds, self._folder, self._tell)
        if "loss" in names:
            yield losing(command, size.plan, size.loss_rounds, self._folder, self._tell)

    def _side_by_side(self, names: Sequence[str]) -> Iterator[Result]:
        size = self._size
        with ExitStack() as stack:
            self._tell("starting a cluster of three nodes and a node alone")
            cluster = stack.enter_context(
                Nodes(self._command, "rookery", _NODES, self._folder / "cluster")
            )
            alone = stack.enter_context(Nodes(self._command, "alone", 1, self._folder / "alone"))
            others: list[System] = []
            for peer in self._peers:
                system = peer(self._folder)
                self._tell(f"starting {system.name}")
                self._environment[system.name] = system.version
                try:
                    stack.enter_context(system)
                except PeerError as error:
                    # The others' figures are good without it.
                    self._environment[system.name] = f"{system.version}, not measured: {error}"
                else:
                    others.append(system)
            stage = traffic.Stage(cluster, alone, others, size.rounds, size.seconds, self._tell)
            for name in names:
                yield self._row(name, stage)

    def _row(self, name: str, stage: traffic.Stage) -> Result:
        size = self._size
        match name:
            case "qos0" | "qos1":
                return traffic.between_nodes(stage, int(name[-1]))
            case "latency":
                return traffic.added_latency(stage, 200, 2_000)
            case "fanout":
                return traffic.fan_out(stage, 50)
            case _:
                several = [stage.cluster, *stage.others]
                return durable(
                    several, 50, size.durable_rounds, size.tries, size.seconds, self._tell
                )


def _show(console: Console, found: Sequence[Result], environment: dict[str, str]) -> None:
    for name, value in environment.items():
        console.print(f"{name}: {value}", highlight=False)
    for title, cells in results.tables(found):
        console.print(as_table(cells, title))
    for result in found:
        for remark in result.remarks:
            console.print(f"{result.title}: {remark}", highlight=False)


def _keep(name: str, found: Sequence[Result], environment: dict[str, str]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.md").write_text(results.as_markdown(found, environment))
    (RESULTS / f"{name}.json").write_text(results.as_json(found, environment) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
