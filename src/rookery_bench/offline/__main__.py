"""The command: ``python -m rookery_bench.offline``."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

from rookery_bench import wire
from rookery_bench.environment import describe, describe_disk
from rookery_bench.offline.figures import Figures
from rookery_bench.offline.plan import Plan
from rookery_bench.offline.proof import ENDS, Proof
from rookery_bench.peers import (
    DURABILITIES,
    Peer,
    PeerError,
    find_mosquitto,
    find_rookery,
    source_folder,
)
from rookery_bench.report import as_table

PEERS: Final = ("rookery", "rookery-interpreted", "mosquitto")
RESULTS: Final = Path("benches/results")
_COLUMNS_MAX: Final = 200
"""The table keeps its natural width: a narrow terminal wraps lines, a file shows them whole."""


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="rookery_bench.offline",
        description="Let thousands of persistent sessions miss a million messages, end the broker, "
        "and see that each gets its own: how much memory, how fast, how exactly.",
    )
    add = parser.add_argument
    add("--sessions", type=int, default=10_000, help="persistent sessions (default: 10000)")
    add("--messages", type=int, default=1_000_000, help="QoS 1 messages (default: 1000000)")
    add(
        "--owners",
        type=int,
        default=1,
        metavar="N",
        help="sessions that each message is owed to: 1 gives each session a topic of its own "
        "(profile own), more let N sessions share a wildcard (profile groups) (default: 1)",
    )
    add("--peer", choices=PEERS, default="rookery", help="which broker (default: rookery)")
    add(
        "--durability",
        choices=DURABILITIES,
        default=DURABILITIES[0],
        help="of Rookery; memory needs --end none (default: fsync)",
    )
    add(
        "--end",
        choices=ENDS,
        default="kill",
        help="how the broker ends before the sessions return: by SIGKILL, by SIGTERM, or not "
        "(default: kill)",
    )
    add("--directory", metavar="PATH", help="on this disk (default: the temporary folder)")
    add("--under-way", type=int, default=64, help="sessions connected at once (default: 64)")
    add("--rookery-python", metavar="PATH", help="a Python with Rookery (default: this one)")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(given)


def find(options: argparse.Namespace) -> Peer:
    """Find the broker asked for.

    Raises:
        PeerError: it is not there.
    """
    if options.peer == "mosquitto":
        return find_mosquitto()
    source = source_folder() if options.peer == "rookery-interpreted" else None
    python = options.rookery_python or sys.executable
    return find_rookery(options.peer, python, source, options.durability)


def main(given: list[str]) -> int:
    """Prove, show and keep the result; 1 when a bound is missed, 2 when it came to no result."""
    options = arguments(given)
    notes = Console(stderr=True)
    try:
        plan = Plan(options.sessions, options.messages, options.owners)
        peer = find(options)
        with TemporaryDirectory(prefix="offline-", dir=options.directory) as folder:
            environment = describe([peer]) | {"disk": describe_disk(folder)}
            proof = Proof(plan, peer, Path(folder), options.end, options.under_way)
            with notes.status("") as status:
                figures = proof.run(status.update)
    except (ValueError, OSError, PeerError, wire.WireError) as error:
        notes.print(f"rookery_bench.offline: {error}", style="red", highlight=False, soft_wrap=True)
        return 2
    environment["profile"] = (
        f"{plan.profile}: {plan.sessions:,} sessions, {plan.messages:,} messages, each owed to "
        f"{plan.owners}; {options.under_way} sessions at once; end: {options.end}"
    )
    if options.peer != "mosquitto":
        environment["durability"] = options.durability
    _show(figures, environment, as_json=options.json)
    for fault in figures.shown_faults:
        notes.print(f"fault: {fault}", style="red", highlight=False, soft_wrap=True)
    return 0 if figures.met else 1


def _show(figures: Figures, environment: dict[str, str], *, as_json: bool) -> None:
    """Print the result, and keep it as JSON."""
    text = json.dumps({"environment": environment, **figures.as_dict()}, indent=1) + "\n"
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / datetime.now(UTC).strftime("offline-%Y-%m-%d-%H%M%S.json")
    kept.write_text(text)
    if as_json:
        sys.stdout.write(text)
        return
    console = Console(width=_COLUMNS_MAX)
    for name, value in environment.items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(as_table(figures.as_cells(), "Long offline"))
    console.print(f"kept as JSON in {kept}", highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
