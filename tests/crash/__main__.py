"""``make crash``: kill the broker with SIGKILL, round after round, and see whether it kept its word.

``make crash ARGS='--rounds 300 --seed 7 --durability fsync'``; ``--help`` tells the rest. It ends with 1 at
the first broken promise and says which; then the store and the log of the broker stay where they are.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash.broker import BrokerFault, BrokerProcess, rookery_command
from tests.crash.run import Outcome, Run


def arguments_of(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="how many kills")
    parser.add_argument("--seed", type=int, default=1, help="decides all that happens")
    parser.add_argument("--first", type=int, default=1, help="the number of the first round")
    parser.add_argument("--reckon", type=int, default=5, help="reckon after so many rounds")
    parser.add_argument("--durability", choices=("memory", "os", "fsync"), default="fsync")
    parser.add_argument(
        "--command",
        help="another broker's command line, with {port} and {directory} where they belong",
    )
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run; the exit code."""
    arguments = arguments_of(given)
    directory = Path(tempfile.mkdtemp(prefix="rookery-crash-"))
    broker = BrokerProcess(arguments.command or rookery_command(arguments.durability), directory)
    run = Run(broker, arguments.seed, time.monotonic())
    fault = ""
    last = arguments.first
    try:
        run.begin()
        for last in range(arguments.first, arguments.first + arguments.rounds):
            show_round(run.round(last))
            is_last = last == arguments.first + arguments.rounds - 1
            if run.ledger.violations or is_last or last % arguments.reckon == 0:
                run.reckon()
            if run.ledger.violations:
                break
        run.stop()
    except BrokerFault as error:
        fault = str(error)
    except OSError as error:
        fault = f"no connection ({error}): {broker.last_words()}"
    finally:
        run.close()
    show_table(run, broker, arguments, last)
    if not run.ledger.violations and not fault:
        shutil.rmtree(directory)
        return 0
    show_violations(run, fault, arguments, last)
    say(f"The store and the log of the broker: {directory}")
    return 1


def show_round(outcome: Outcome) -> None:
    """One line of progress."""
    counts, plan = outcome.counts, outcome.plan
    say(
        f"round {plan.number:4}  killed after {plan.kill_seconds:.2f} s"
        f"{' and in its start' if plan.startup_kill_seconds is not None else ''}"
        f"  acknowledged {counts.acknowledged}  arrived {counts.arrived}"
        f"  again {counts.repeated[1]} at QoS 1, {counts.repeated[2]} at QoS 2"
        f"  restart {outcome.restart_seconds:.2f} s"
    )


def show_table(run: Run, broker: BrokerProcess, arguments: argparse.Namespace, last: int) -> None:
    """The run in figures."""
    counts, kinds = run.ledger.counts, Counter(each.kind for each in run.ledger.violations)
    restarts = run.restarts_seconds or [0.0]
    rows = {
        "durability": "of the command" if arguments.command else arguments.durability,
        "seed": arguments.seed,
        "rounds": f"{arguments.first} to {last}",
        "messages sent": counts.sent,
        "acknowledged": counts.acknowledged,
        "sent again after a crash": counts.resent,
        "refused": counts.refused,
        "arrivals": counts.arrived,
        "again at QoS 1 (allowed)": counts.repeated[1],
        "again at QoS 2": counts.repeated[2],
        "QoS 2 twice in a share group": counts.repeated_in_group,
        "restart until CONNACK": f"{statistics.median(restarts):.2f} s, at most {max(restarts):.2f} s",
        "store on disk": f"{broker.bytes_on_disk() / 1e6:.1f} MB",
        "lost": kinds.pop("lost", 0),
    }
    say("")
    for name, value in {**rows, **kinds}.items():
        say(f"{name:30} {value}")


def show_violations(run: Run, fault: str, arguments: argparse.Namespace, last: int) -> None:
    """What went wrong first, and how to see it again."""
    begin = max(arguments.first, (last - 1) // arguments.reckon * arguments.reckon + 1)
    say("")
    if fault:
        say(f"BROKER  {fault}")
    violations = run.ledger.violations
    first_of_kind = {each.kind: each for each in reversed(violations)}
    for violation in sorted(first_of_kind.values(), key=violations.index):
        mark = "FIRST" if violation is violations[0] else "then"
        say(f"{mark:6}  {violation.kind}: {violation.account}")
    say(
        f"\nAgain: python -m tests.crash --seed {arguments.seed} --first {begin} "
        f"--rounds {last - begin + 1} --reckon {arguments.reckon} --durability {arguments.durability}"
    )


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
