"""``make power``: cut the power at many moments of a store's lives, and see what is left on the disk.

``make power ARGS='--lives 300 --cuts 200 --seed 7 --durability os'``; ``--help`` tells the rest. The seed
decides the groups, the faults of the disk and the moments. It ends with 1 when a promise was broken, and says
which and when.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.power.run import LIVES_PER_DISK, Options, Run, Violation
from tests.power.shim import NoCompiler, library

MEMORY = Path("/dev/shm")
"""Where the disks are made, if it is there: what is synced is reckoned, not measured."""
SHOWN_MAX = 5


def arguments_of(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument("--lives", type=int, default=300, help="how many processes")
    parser.add_argument("--first", type=int, default=1, help="the number of the first one")
    parser.add_argument("--cuts", type=int, default=100, help="moments in each of them")
    parser.add_argument("--groups", type=int, default=60, help="commits in each of them")
    parser.add_argument("--seed", type=int, default=1, help="decides all that happens")
    parser.add_argument("--durability", choices=("os", "fsync"), default="fsync")
    parser.add_argument("--without-faults", action="store_true", help="the disk never fails")
    parser.add_argument(
        "--synchronous",
        choices=("OFF", "NORMAL"),
        default="",
        help="take syncs away from SQLite, to see that it would be noticed",
    )
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run; the exit code."""
    arguments = arguments_of(given)
    try:
        library()
    except NoCompiler as reason:
        say(f"Nothing was checked: {reason}.")
        return 2
    options = Options(
        seed=arguments.seed,
        durability=arguments.durability,
        cuts=arguments.cuts,
        groups=arguments.groups,
        faults=not arguments.without_faults,
        synchronous=arguments.synchronous,
    )
    memory = MEMORY if MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="rookery-power-", dir=memory))
    try:
        run = Run(options, folder)
        began = time.monotonic()
        last = arguments.first
        for last in range(arguments.first, arguments.first + arguments.lives):
            run.life(last)
            say(f"life {last:4}  {summary(run)}  {time.monotonic() - began:.0f} s")
            if run.violations:
                break
    finally:
        shutil.rmtree(folder)
    show_table(run, arguments, last)
    for violation in run.violations[:SHOWN_MAX]:
        show(violation)
    if run.violations:
        show_again(arguments, last)
    return 1 if run.violations else 0


def summary(run: Run) -> str:
    """A line of progress."""
    counts = run.counts
    return (
        f"groups {counts['groups']}  faults {counts['faults']}  kills {counts['kill']}"
        f"  cuts {counts['cut']}  lost {counts['lost by kill']} by kills,"
        f" {counts['lost by cut']} by cuts"
    )


def show_table(run: Run, arguments: argparse.Namespace, last: int) -> None:
    """The run in figures."""
    counts = run.counts
    rows = {
        "durability": arguments.durability,
        "seed": arguments.seed,
        "lives": f"{arguments.first} to {last}",
        "groups acknowledged": counts["groups"],
        "operations that failed": counts["faults"],
        "kills": counts["kill"],
        "power cuts": counts["cut"],
        "acknowledged and lost by a kill": counts["lost by kill"],
        "acknowledged and lost by a cut": counts["lost by cut"],
        "broken promises": len(run.violations),
    }
    say("")
    for name, value in rows.items():
        say(f"{name:34} {value}")


def show(violation: Violation) -> None:
    """What went wrong."""
    say(f"\nLIFE {violation.life}, {violation.place}: {violation.text}")


def show_again(arguments: argparse.Namespace, last: int) -> None:
    """How to see it again: from the life that began with an empty disk."""
    begin = (last - 1) // LIVES_PER_DISK * LIVES_PER_DISK + 1
    say(
        f"\nAgain: python -m tests.power --seed {arguments.seed} --first {begin}"
        f" --lives {last - begin + 1} --cuts {arguments.cuts} --groups {arguments.groups}"
        f" --durability {arguments.durability}"
        f"{' --without-faults' if arguments.without_faults else ''}"
        f"{f' --synchronous {arguments.synchronous}' if arguments.synchronous else ''}"
    )


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
