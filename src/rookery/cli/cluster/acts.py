"""``rookery cluster leave``, ``evacuate``, ``force-leave`` and ``rebalance``: asked of a node on this machine."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from rookery.cli.access import operator
from rookery.cli.cluster.asking import Answer, Unreachable, get, post
from rookery.cli.cluster.folder import DEFAULT_DIRECTORY
from rookery.cli.cluster.reports import UNKNOWN, reports_of
from rookery.cli.cluster.show import AsJson
from rookery.cli.cluster.targets import (
    ConfigFile,
    Nodes,
    Overrides,
    Target,
    addresses_of,
    secret_of,
    targets_of,
)
from rookery.cli.cluster.up import Directory, faults_told
from rookery.cli.tables import columns

NodeOption = Annotated[
    str | None,
    typer.Option("--node", metavar="NODE", help="Which node; needed where there are several."),
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, max=3_600, help="Seconds to wait for the answer.")
]
SECONDS = 60.0
SHOWN_APART = ("node_id", "metrics", "problem")
ELSEWHERE = "run this command on its machine, or name it with --nodes"
EXIT_CODES = "Exit codes: 0, it was done; 1, it was not; 2, wrong command line."


def _of_one_node(action: str, purpose: str) -> Callable[..., None]:
    """The command that has one node act. ``purpose`` is its help."""

    def command(
        node: NodeOption = None,
        directory: Directory = DEFAULT_DIRECTORY,
        nodes: Nodes = None,
        config: ConfigFile = None,
        overrides: Overrides = None,
        timeout: Timeout = SECONDS,
        as_json: AsJson = False,
    ) -> None:
        act = _Act(action, directory, nodes, config, overrides, timeout, as_json=as_json)
        act.ask(act.target(node), {})

    command.__doc__ = f"{purpose}\n\n{EXIT_CODES}"
    return command


leave = _of_one_node("leave", "Have a node hand over all it has, and leave the cluster.")
evacuate = _of_one_node(
    "evacuate",
    "Have a node send its clients to the others, which bring them to their sessions here; it stays a member.",
)


def force_leave(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node that is gone for good.")],
    directory: Directory = DEFAULT_DIRECTORY,
    nodes: Nodes = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    timeout: Timeout = SECONDS,
    as_json: AsJson = False,
) -> None:
    """Have the others give up a dead node that will not come back.

    Exit codes: 0, it was done; 1, it was not; 2, wrong command line.
    """
    act = _Act("force-leave", directory, nodes, config, overrides, timeout, as_json=as_json)
    act.ask(act.anyone(but=node), {"node_id": node})


def rebalance(
    directory: Directory = DEFAULT_DIRECTORY,
    nodes: Nodes = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    timeout: Timeout = SECONDS,
    as_json: AsJson = False,
) -> None:
    """Have nodes with more clients than others send some of them there.

    Asked is every node of --nodes, else of 'cluster up' in the directory, else
    the one that the configuration is of; members elsewhere are named.

    Exit codes: 0, all that were asked did it; 1, some did not; 2, wrong command line.
    """
    act = _Act("rebalance", directory, nodes, config, overrides, timeout, as_json=as_json)
    act.ask_all()


class _Act:
    """One request to the cluster."""

    def __init__(
        self,
        action: str,
        directory: Path,
        nodes: str | None,
        config: Path | None,
        overrides: list[str] | None,
        seconds_max: float,
        *,
        as_json: bool,
    ) -> None:
        self._action = action
        self._seconds_max = seconds_max
        self._as_json = as_json
        if nodes is not None:
            _check_local(addresses_of(nodes))
        with faults_told():
            self._targets = targets_of(directory, nodes, config, overrides)
            secret = secret_of(directory, nodes, config, overrides)
        if secret is None:
            raise _failed("cluster.secret is not set: the node acts only for who knows it")
        self._secret = secret
        self._by = operator()

    def target(self, node: str | None) -> Target:
        """The one with this name; without a name the only one there is."""
        names = [_name(target) for target in self._targets]
        if node is None:
            if len(self._targets) > 1:
                raise typer.BadParameter(
                    f"is missing: one of {', '.join(names)}", param_hint="--node"
                )
            return self._targets[0]
        for target, name in zip(self._targets, names, strict=True):
            if name == node:
                return target
        known = ", ".join(names)
        raise typer.BadParameter(f"there is no {node} here, only {known}", param_hint="--node")

    def anyone(self, but: str | None = None) -> Target:
        """The first one that answers."""
        faults = []
        for target in self._targets:
            if target.node_id is not None and target.node_id == but:
                continue
            try:
                get(target.address, "/health/live")
            except Unreachable as fault:
                faults.append(f"{_name(target)} ({target.address}): {fault}")
            else:
                return target
        raise _failed("\n".join(faults or [f"there is no node here but {but}"]))

    def ask(self, target: Target, arguments: dict[str, Any]) -> None:
        """Have the node act, and print what it says."""
        try:
            answer = self._answer(target, arguments)
        except _NotDone as fault:
            raise _failed(str(fault)) from None
        if self._as_json:
            typer.echo(json.dumps(answer.data))
        else:
            _tell(target, answer)

    def ask_all(self) -> None:
        """Have every node act, all at once, and print in one line for each what it says."""
        with ThreadPoolExecutor(len(self._targets)) as pool:
            outcomes = list(pool.map(self._outcome, self._targets))
        faults = [each["problem"] for each in outcomes if each["problem"]]
        unasked = self._unasked()
        outcomes += unasked
        if self._as_json:
            typer.echo(json.dumps({"nodes": outcomes}))
        else:
            told = dict.fromkeys(key for each in outcomes for key in each if key not in SHOWN_APART)
            rows = [
                (
                    each["node_id"],
                    "no" if each["problem"] else "yes",
                    *(_cell(each, k) for k in told),
                )
                for each in outcomes
            ]
            typer.echo(columns(("node", "done", *map(_words, told)), rows))
        for each in unasked:
            typer.echo(f"rookery: {each['problem']}", err=True)
        if faults:
            raise _failed("\n".join(faults))

    def _outcome(self, target: Target) -> dict[str, Any]:
        """What becomes of it at one node."""
        asked = {"node_id": _name(target), "metrics": target.address, "problem": None}
        try:
            return {**asked, **self._answer(target, {}).data}
        except _NotDone as fault:
            return {**asked, "problem": str(fault)}

    def _unasked(self) -> list[dict[str, Any]]:
        """The members of the cluster that could not be asked from here, as outcomes."""
        reports = reports_of(self._targets)
        if any(each.cluster is None and each.target.node_id is None for each in reports):
            return []  # A member that seems to be elsewhere may be the one that does not say its name.
        members = {str(each["node_id"]) for report in reports for each in report.members()}
        return [
            {"node_id": name, "metrics": None, "problem": f"{name} was not asked: {ELSEWHERE}"}
            for name in sorted(members - {report.node_id for report in reports})
        ]

    def _answer(self, target: Target, arguments: dict[str, Any]) -> Answer:
        path = f"/cluster/{self._action}"
        try:
            answer = post(
                target.address, path, self._secret, {**arguments, "by": self._by}, self._seconds_max
            )
        except Unreachable as fault:
            raise _NotDone(f"{_where(target)}: {fault}") from None
        if answer.status_code != 200:
            raise _NotDone(f"{_where(target)} will not do it: {answer.error}")
        return answer


class _NotDone(Exception):
    """A node could not be asked, or will not act; the text says why."""


def _tell(target: Target, answer: Answer) -> None:
    typer.echo(f"{_where(target)} did it")
    for key in answer.data:
        typer.echo(f"  {_words(key)}: {_cell(answer.data, key)}")


def _words(key: str) -> str:
    return key.replace("_", " ")


def _cell(data: dict[str, Any], key: str) -> str:
    value = data.get(key, UNKNOWN)
    return value if isinstance(value, str) else json.dumps(value)


def _check_local(addresses: list[str]) -> None:
    from rookery.config.sections import is_loopback

    for address in addresses:
        if not is_loopback(address.rpartition(":")[0].strip("[]")):
            raise typer.BadParameter(
                f"{address} may be another machine, to which the secret would go in clear; run this command "
                "there",
                param_hint="--nodes",
            )


def _where(target: Target) -> str:
    return f"{_name(target)} ({target.address})"


def _name(target: Target) -> str:
    return target.node_id or target.address


def _failed(text: str) -> typer.Exit:
    typer.echo(f"rookery: {text}", err=True)
    return typer.Exit(1)
