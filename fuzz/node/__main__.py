"""``make fuzz-node``: mutated and reordered packets against a running node, with live traffic beside them.

``make fuzz-node ARGS='--seconds 600 --seed 7'``. Over TCP and WebSocket, before and after CONNECT. It ends
with 1 when the node ended, had a fault of its own in its log, lost or reordered a message of the clients
that behave, or kept memory.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from fuzz.node.run import Report, fuzz


def arguments_of(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.node", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="decides what is sent")
    parser.add_argument("--at-once", type=int, default=32, help="hostile connections at a time")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run; the exit code."""
    arguments = arguments_of(given)
    began = time.monotonic()
    told_at = began

    def progress(report: Report) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now >= told_at + 10.0:
            told_at = now
            say(
                f"{now - began:.0f} s: {report.connections} hostile connections, "
                f"{report.exchanged} messages of bystanders, {report.rss_end_bytes >> 20} MB"
            )

    with tempfile.TemporaryDirectory(prefix="rookery-fuzz-") as directory:
        report = asyncio.run(
            fuzz(Path(directory), arguments.seed, arguments.seconds, arguments.at_once, progress)
        )
    say(f"hostile connections   {report.connections}")
    say(
        f"bystanders' messages  {report.exchanged}, all arrived in order"
        if not report.faults
        else f"bystanders' messages  {report.exchanged}"
    )
    say(
        f"memory                {report.rss_warm_bytes >> 20} MB warm, {report.rss_end_bytes >> 20} MB at the end"
    )
    for reason, count in report.refusals.most_common(12):
        say(f"refused               {count:>8}  {reason}")
    for fault in report.faults[:20]:
        say(f"FAULT  {fault}")
    say(
        "nothing found"
        if not report.faults
        else f"{len(report.faults)} faults; again with --seed {arguments.seed}"
    )
    return 1 if report.faults else 0


def say(text: str) -> None:
    """A line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
