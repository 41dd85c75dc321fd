"""``make cluster-test``: break a cluster of real nodes in a dozen ways, and see whether it kept its word.

``make cluster-test ARGS='--scenario node_kill --seed 7'``; ``--help`` tells the rest. It ends with 1 where a promise
was broken or a limit exceeded, and says how to see it again; the logs and the data of the nodes are kept then.
Where the machine allows it the whole run takes place in a network namespace of its own.
"""

import argparse
import asyncio
import json
import math
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

import rookery.mqtt.link
from tests.cluster import network, shims
from tests.cluster.network import Loopback, Namespaces, Place
from tests.cluster.scenarios import SCENARIOS
from tests.cluster.stage import Outcome, Scenario, play

ACCOUNTS_MAX = 3
"""How many accounts of one kind of violation are shown."""
LOG_BYTES_MAX = 1_500


def arguments_of(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument(
        "--scenario",
        action="append",
        choices=sorted(SCENARIOS),
        help="one of them, repeatable; all without it",
    )
    parser.add_argument("--seed", type=int, default=1, help="decides all that is left to chance")
    parser.add_argument("--seconds", type=float, help="how long a fault lasts")
    parser.add_argument("--sessions", type=int, help="how many idle sessions there are")
    parser.add_argument("--nodes", type=int, help="how many nodes; 1 is a node without a cluster")
    parser.add_argument(
        "--set", action="append", default=[], help="a setting of all nodes, a.b=value"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the table")
    parser.add_argument("--keep", action="store_true", help="keep the nodes' files in any case")
    parser.add_argument(
        "--loopback", action="store_true", help="no namespaces, all nodes on the loopback interface"
    )
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run; the exit code."""
    arguments = arguments_of(given)
    lacking = "--loopback was asked for" if arguments.loopback else network.missing()
    inside = bool(os.environ.get(network.INSIDE))
    if not lacking and not inside:
        enter_namespace(given)
    say = tell if not arguments.json else complain
    core = "interpreted" if str(rookery.mqtt.link.__file__).endswith(".py") else "compiled"
    say(
        f"{core} core, seed {arguments.seed}, {f'on loopback ({lacking})' if lacking else 'in namespaces'}"
    )
    outcomes = []
    for name in arguments.scenario or SCENARIOS:
        outcome = run(SCENARIOS[name], arguments, lacking, say)
        outcomes.append(outcome)
        if not arguments.json:
            show(outcome, arguments)
    if arguments.json:
        tell(json.dumps([as_json(outcome) for outcome in outcomes], allow_nan=False))
    else:
        show_all(outcomes)
    return 0 if all(each.passed for each in outcomes) else 1


def enter_namespace(given: list[str] | None) -> None:
    """Begin again in a network namespace of our own; does not return."""
    arguments = sys.argv[1:] if given is None else given
    command = [*network.unshare(), sys.executable, "-m", "tests.cluster", *arguments]
    os.execvpe(command[0], command, {**os.environ, network.INSIDE: "1"})


def run(scenario: Scenario, arguments: argparse.Namespace, lacking: str, say: Any) -> Outcome:
    """Play one scenario, or say what it lacks."""
    outcome = Outcome(scenario.name, arguments.seed)
    say(f"{scenario.name}: {scenario.text}")
    if arguments.nodes is not None:
        scenario = Scenario(**{**scenario.__dict__, "nodes": arguments.nodes})
    if scenario.isolated and lacking:
        outcome.skipped = f"nodes cannot be cut off from each other: {lacking}"
    elif scenario.shim and shims.missing():
        outcome.skipped = f"clocks and disks cannot be tampered with: {shims.missing()}"
    if outcome.skipped:
        return outcome
    directory = Path(tempfile.mkdtemp(prefix=f"rookery-cluster-{scenario.name}-"))
    outcome.directory = str(directory)
    shim = shims.build(directory) if scenario.shim else None
    place: Place = Loopback() if lacking else Namespaces().__enter__()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            play(
                scenario,
                outcome,
                directory,
                place,
                sessions=arguments.sessions,
                seconds=arguments.seconds,
                settings=settings_of(arguments.set),
                shim=shim,
                say=say,
            )
        )
    if outcome.passed and not arguments.keep:
        shutil.rmtree(directory)
        outcome.directory = ""
    return outcome


def settings_of(given: list[str]) -> Mapping[str, Any]:
    """``store.durability=memory`` as sections."""
    sections: dict[str, dict[str, Any]] = {}
    for each in given:
        path, _, value = each.partition("=")
        section, _, name = path.partition(".")
        sections.setdefault(section, {})[name] = (
            json.loads(value) if value[:1] in '{[0123456789tfn"' else value
        )
    return sections


def again(outcome: Outcome, arguments: argparse.Namespace) -> str:
    """The command that plays the same again."""
    parts = ["python -m tests.cluster", f"--scenario {outcome.scenario}", f"--seed {outcome.seed}"]
    for name in ("seconds", "sessions", "nodes"):
        value = getattr(arguments, name)
        if value is not None:
            parts.append(f"--{name} {value:g}")
    parts += [f"--set {each}" for each in arguments.set]
    return " ".join(parts)


def show(outcome: Outcome, arguments: argparse.Namespace) -> None:
    """One scenario in figures."""
    if outcome.skipped:
        tell(f"  SKIPPED  {outcome.skipped}\n")
        return
    tell("")
    for each in outcome.measures:
        value = f"{each.value:g}" if isinstance(each.value, float | int) else each.value
        limit = (
            ""
            if each.limit is None
            else f"  (at most {each.limit:g}{'' if each.kept else ': EXCEEDED'})"
        )
        tell(f"  {each.name:44} {value} {each.unit}{limit}")
    if outcome.fault:
        tell(f"  BROKEN OFF  {outcome.fault}")
    kinds = Counter(each.kind for each in outcome.violations)
    for kind, count in kinds.items():
        tell(f"  VIOLATED  {kind}: {count} times")
        for each in [one for one in outcome.violations if one.kind == kind][:ACCOUNTS_MAX]:
            tell(f"      {each.account}")
    for note in outcome.notes:
        tell(f"  note: {note}")
    tell(f"  {'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.0f} s")
    if not outcome.passed:
        for log in sorted(Path(outcome.directory).glob("*/node.log")):
            tell(f"  the end of {log}:")
            tell(
                "      "
                + log.read_text(errors="replace")[-LOG_BYTES_MAX:].replace("\n", "\n      ")
            )
        tell(f"  Logs and data: {outcome.directory}\n  Again: {again(outcome, arguments)}")
    tell("")


def show_all(outcomes: list[Outcome]) -> None:
    """All scenarios, a line each."""
    for each in outcomes:
        verdict = "skipped" if each.skipped else "passed" if each.passed else "FAILED"
        broken = [each.fault[:60]] if each.fault else []
        broken += sorted({one.kind for one in each.violations})
        broken += [one.name for one in each.measures if not one.kept]
        tell(f"{each.scenario:16} {verdict:8} {each.seconds:5.0f} s  {', '.join(broken)}")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One scenario for programs; what is infinite is null."""
    return {
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "passed": outcome.passed,
        "skipped": outcome.skipped,
        "fault": outcome.fault,
        "seconds": round(outcome.seconds, 1),
        "measures": [
            {
                "name": each.name,
                "value": None if each.value == math.inf else each.value,
                "unit": each.unit,
                "limit": each.limit,
                "kept": each.kept,
            }
            for each in outcome.measures
        ],
        "violations": [{"kind": each.kind, "account": each.account} for each in outcome.violations],
        "notes": outcome.notes,
        "directory": outcome.directory,
    }


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """Write a line beside the result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
