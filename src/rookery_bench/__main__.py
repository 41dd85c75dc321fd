"""The command: ``python -m rookery_bench``."""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from rookery_bench import report, wire
from rookery_bench.cluster.__main__ import main as cluster_main
from rookery_bench.environment import describe, describe_disk
from rookery_bench.peers import PEER_NAMES, Peer, PeerError, find_peer
from rookery_bench.run import measure_all
from rookery_bench.scenarios import SCENARIOS, Scenario, choose

CLUSTER: Final = "cluster"
"""As the first word: the rows about several nodes, which have options of their own."""
DEFAULT_PEERS: Final = "rookery,mosquitto"
DURABLE_PEERS: Final = "rookery,rookery-os,rookery-memory,mosquitto"
BENCHES: Final = Path("benches")
BASELINE: Final = BENCHES / "baseline.json"
RESULTS: Final = BENCHES / "results"
_COLUMNS_MAX: Final = 300
"""Tables keep their natural width: a narrow terminal wraps lines, a file shows them whole."""
_VERSIONS: Final = {"3.1.1": wire.V3_1_1, "5.0": wire.V5}


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="rookery_bench",
        description="Measure Rookery's CPU per message, latency and memory next to other brokers.",
        epilog="Cases: "
        + ", ".join(scenario.name for scenario in SCENARIOS)
        + f". Several nodes: rookery_bench {CLUSTER} --help",
    )
    add = parser.add_argument
    add("--cases", metavar="A,B", help="which cases (default: all)")
    add(
        "--peers",
        metavar="A,B",
        help=f"which brokers, of {', '.join(PEER_NAMES)} (default: {DEFAULT_PEERS}, and in durable "
        f"cases {DURABLE_PEERS})",
    )
    add("--rounds", type=int, default=3, help="runs per case and broker (default: 3)")
    add("--seconds", type=float, default=4.0, help="length of a run (default: 4)")
    add("--quick", action="store_true", help="one round of one second: a look, not a measurement")
    add("--mqtt", choices=_VERSIONS, help="speak this version in all cases")
    add("--flashmq", metavar="PATH", help="the FlashMQ executable (default: the variable FLASHMQ)")
    add("--rookery-python", metavar="PATH", help="a Python with Rookery (default: this one)")
    add("--json", action="store_true", help="print JSON instead of tables")
    add("--save-baseline", action="store_true", help=f"write the result to {BASELINE}")
    add("--check", action="store_true", help="fail when a ratio fell clearly below the baseline")
    return parser.parse_args(given)


def peer_names(options: argparse.Namespace, scenario: Scenario) -> list[str]:
    """Name the brokers of a case: those asked for, else those that it is made to compare."""
    if options.peers:
        return str(options.peers).split(",")
    names = DEFAULT_PEERS if scenario.durable is None else DURABLE_PEERS
    return [*names.split(","), *(["flashmq"] if "FLASHMQ" in os.environ else [])]


def plan_of(options: argparse.Namespace) -> list[tuple[Scenario, list[Peer]]]:
    """Find the cases and their brokers.

    Raises:
        ValueError: a name that no case has.
        PeerError: a broker that is not there.
    """
    scenarios = choose(options.cases)
    if options.mqtt:
        scenarios = [scenario.with_version(_VERSIONS[options.mqtt]) for scenario in scenarios]
    names_of = [(scenario, peer_names(options, scenario)) for scenario in scenarios]
    found = {
        name: find_peer(name, options.rookery_python, options.flashmq)
        for name in dict.fromkeys(name for _, names in names_of for name in names)
    }
    return [(scenario, [found[name] for name in names]) for scenario, names in names_of]


def main(given: list[str]) -> int:
    """Measure, show and keep the result; 1 when a row is invalid or fell, 2 for a wrong call."""
    if given[:1] == [CLUSTER]:
        return cluster_main(given[1:])
    options = arguments(given)
    console, notes = Console(width=_COLUMNS_MAX), Console(stderr=True)
    try:
        plan = plan_of(options)
        if options.check and not BASELINE.exists():
            raise ValueError(f"there is no {BASELINE} to check against; make it: --save-baseline")
    except (ValueError, PeerError) as error:
        notes.print(f"rookery_bench: {error}", style="red", highlight=False)
        return 2
    rounds, seconds = (1, 1.0) if options.quick else (options.rounds, options.seconds)
    environment = describe({peer.name: peer for _, peers in plan for peer in peers}.values())
    if any(scenario.durable for scenario, _ in plan):
        environment["disk"] = describe_disk()
    environment["runs"] = f"{rounds} of {seconds:g} s, median"
    with notes.status("") as status:
        runs = measure_all(plan, rounds, seconds, status.update)
    found = report.build(runs, environment, _baseline())
    _keep(found, options.save_baseline)
    if options.json:
        sys.stdout.write(found.as_json() + "\n")
    else:
        for name, value in environment.items():
            console.print(f"{name}: {value}", highlight=False)
        for title, cells in report.tables(found):
            console.print(report.as_table(cells, title))
    for fault in found.faults:
        notes.print(f"invalid: {fault}", style="red", highlight=False)
    fell = options.check and any(row.fell for row in found.rows)
    return 1 if found.faults or fell else 0


def _baseline() -> dict[str, Any] | None:
    if not BASELINE.exists():
        return None
    content: dict[str, Any] = json.loads(BASELINE.read_text())
    return content


def _keep(found: report.Report, as_baseline: bool) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    (RESULTS / f"{name}.md").write_text(report.as_markdown(found))
    (RESULTS / f"{name}.json").write_text(found.as_json() + "\n")
    if as_baseline:
        BASELINE.write_text(found.as_json() + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
