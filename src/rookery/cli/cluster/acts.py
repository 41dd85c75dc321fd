"""``rookery cluster leave``, ``evacuate``, ``force-leave`` and ``rebalance``: asked of a node on this machine."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rookery.cli.cluster.asking import Answer, Unreachable, get, post
from rookery.cli.cluster.folder import DEFAULT_DIRECTORY
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

NodeOption = Annotated[
    str | None,
    typer.Option("--node", metavar="NODE", help="Which node; needed where there are several."),
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, max=3_600, help="Seconds to wait for the answer.")
]
SECONDS = 60.0


def leave(
    node: NodeOption = None,
    directory: Directory = DEFAULT_DIRECTORY,
    nodes: Nodes = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    timeout: Timeout = SECONDS,
    as_json: AsJson = False,
) -> None:
    """Have a node hand over all it has, and leave the cluster.

    Exit codes: 0, it was done; 1, it was not; 2, wrong command line.
    """
    act = _Act("leave", directory, nodes, config, overrides, timeout, as_json=as_json)
    act.ask(act.target(node), {})


def evacuate(
    node: NodeOption = None,
    directory: Directory = DEFAULT_DIRECTORY,
    nodes: Nodes = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    timeout: Timeout = SECONDS,
    as_json: AsJson = False,
) -> None:
    """Have a node send its clients to the others; it stays a member.

    Exit codes: 0, it was done; 1, it was not; 2, wrong command line.
    """
    act = _Act("evacuate", directory, nodes, config, overrides, timeout, as_json=as_json)
    act.ask(act.target(node), {})


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
    """Have nodes with more clients than others send some of them there. Every node is asked that is known here.

    Exit codes: 0, it was done; 1, some node was not asked or would not do it; 2, wrong command line.
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
        """Have every node act, whatever becomes of the others, and print what each says."""
        answers = []
        faults = []
        for target in self._targets:
            try:
                answer = self._answer(target, {})
            except _NotDone as fault:
                faults.append(str(fault))
                continue
            answers.append({"asked": _name(target), **answer.data})
            if not self._as_json:
                _tell(target, answer)
        if self._as_json:
            typer.echo(json.dumps(answers))
        if faults:
            raise _failed("\n".join(faults))

    def _answer(self, target: Target, arguments: dict[str, Any]) -> Answer:
        path = f"/cluster/{self._action}"
        try:
            answer = post(target.address, path, self._secret, arguments, self._seconds_max)
        except Unreachable as fault:
            raise _NotDone(f"{_where(target)}: {fault}") from None
        if answer.status_code != 200:
            raise _NotDone(f"{_where(target)} will not do it: {answer.error}")
        return answer


class _NotDone(Exception):
    """A node could not be asked, or will not act; the text says why."""


def _tell(target: Target, answer: Answer) -> None:
    typer.echo(f"{_where(target)} did it")
    for key, value in answer.data.items():
        text = value if isinstance(value, str) else json.dumps(value)
        typer.echo(f"  {key.replace('_', ' ')}: {text}")


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
