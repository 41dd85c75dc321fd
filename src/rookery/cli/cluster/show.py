"""``rookery cluster status`` and ``topology``."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rookery.cli.cluster.folder import DEFAULT_DIRECTORY
from rookery.cli.cluster.reports import UNKNOWN, Report, reports_of
from rookery.cli.cluster.targets import ConfigFile, Nodes, Overrides, targets_of
from rookery.cli.cluster.up import Directory, faults_told
from rookery.cli.tables import columns

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ITSELF = "."


def status(
    directory: Directory = DEFAULT_DIRECTORY,
    nodes: Nodes = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Tell of each node whether it runs, is ready, and what it has.

    Asked are the nodes of --nodes, else those of 'cluster up' in the directory,
    else the one that the configuration is of.

    Exit codes: 0, all are ready; 1, some are not; 2, wrong command line.
    """
    with faults_told():
        reports = reports_of(targets_of(directory, nodes, config, overrides))
    if as_json:
        typer.echo(json.dumps({"nodes": [report.to_json() for report in reports]}))
    else:
        typer.echo(_status_text(reports))
    if not all(report.ready for report in reports):
        raise typer.Exit(1)


def topology(
    directory: Directory = DEFAULT_DIRECTORY,
    nodes: Nodes = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Tell which nodes are linked with which, as each of them sees it.

    Exit codes: 0, every node was asked and has a link to every other that it
    knows as a living member; 1, not so; 2, wrong command line.
    """
    with faults_told():
        reports = reports_of(targets_of(directory, nodes, config, overrides))
    if as_json:
        typer.echo(json.dumps(_topology_json(reports)))
    else:
        typer.echo(_topology_text(reports))
    if not all(map(_linked, reports)):
        raise typer.Exit(1)


def _status_text(reports: Sequence[Report]) -> str:
    header = ("node", "process", "pid", "ready", "state", "epoch", "links", "sessions", "routes")
    rows = []
    for report in reports:
        state = report.target.state
        pid = UNKNOWN if state is None or state.process is None else state.process.pid
        told = (report.told(key) for key in ("sessions", "routes"))
        ready = "yes" if report.ready else "no"
        rows.append(
            (
                report.node_id,
                report.process,
                pid,
                ready,
                report.told("state"),
                report.told("epoch"),
                _link_count(report),
                *told,
            )
        )
    lines = [columns(header, rows)]
    for report in reports:
        reasons = () if report.readiness is None else report.readiness.reasons
        lines += [f"{report.node_id} is not ready: {reason}" for reason in reasons]
        if report.problem is not None and report.problem not in reasons:
            lines.append(f"{report.node_id}: {report.problem}")
    return "\n".join(lines)


def _link_count(report: Report) -> str:
    if report.cluster is None:
        return UNKNOWN
    links = report.links()
    return f"{sum(link == 'up' for link in links.values())}/{len(links)}"


def _linked(report: Report) -> bool:
    if report.cluster is None:
        return False
    living = {
        str(member["node_id"])
        for member in report.members()
        if member.get("state") not in ("dead", "left", "adopted")
    }
    return all(link == "up" for name, link in report.links().items() if name in living)


def _names(reports: Sequence[Report]) -> list[str]:
    """All nodes that answered or were heard of."""
    names = [report.node_id for report in reports]
    for report in reports:
        names += [str(member["node_id"]) for member in report.members()]
    return list(dict.fromkeys(names))


def _leaders(reports: Sequence[Report]) -> dict[str, str]:
    """Who leads which stream, as far as the nodes tell."""
    leaders: dict[str, str] = {}
    for report in reports:
        told = {} if report.cluster is None else report.cluster.get("leaders", {})
        if isinstance(told, dict):
            leaders |= {str(stream): str(leader) for stream, leader in told.items()}
    return leaders


def _topology_json(reports: Sequence[Report]) -> dict[str, Any]:
    return {
        "nodes": _names(reports),
        "links": {report.node_id: report.links() for report in reports if report.cluster},
        "members": {report.node_id: report.members() for report in reports if report.cluster},
        "leaders": _leaders(reports),
        "problems": {report.node_id: report.problem for report in reports if report.problem},
    }


def _topology_text(reports: Sequence[Report]) -> str:
    names = _names(reports)
    rows = []
    for report in reports:
        links = report.links()
        cells = [ITSELF if name == report.node_id else links.get(name, UNKNOWN) for name in names]
        rows.append((report.node_id, report.told("state"), report.told("epoch"), *cells))
    lines = [columns(("link from", "state", "epoch", *(f"to {name}" for name in names)), rows)]
    leaders = _leaders(reports)
    if leaders:
        lines += ["", columns(("stream", "leader"), sorted(leaders.items()))]
    lines += [f"{report.node_id}: {report.problem}" for report in reports if report.problem]
    return "\n".join(lines)
