"""``rookery audit``: who changed what, when."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rookery.cli.access import access_faults_told, access_or_exit, operator
from rookery.cli.options import ConfigFile, Overrides

app = typer.Typer(no_args_is_help=True, help="Tell who changed what, when.")


def note_act(directory: Path, action: str, target: str, detail: str = "") -> None:
    """Write an administrative act that changes nothing in the access database into its audit."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.file import AccessFile

    file = AccessFile(directory)
    with access_faults_told(), file.change(operator(), SystemClock().wall()) as change:
        change.audit(action, target, detail)


@app.command("list")
def list_acts(
    config: ConfigFile = None,
    overrides: Overrides = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="A time, 2026-01-31T12:00, or a duration before now, 2h.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--last", min=1, max=1_000_000, help="No more than the last so many.")
    ] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one a line.")] = False,
) -> None:
    """Tell the administrative acts, the oldest first."""
    from dataclasses import asdict

    from rookery.actors.clock import SystemClock
    from rookery.auth.access.audit import read_audit
    from rookery.cli.times import since_of, written

    since_wall = 0.0 if since is None else since_of(since, SystemClock().wall())
    file, _ = access_or_exit(config, overrides)
    with access_faults_told(), file.reading() as connection:
        lines = read_audit(connection, since_wall=since_wall, count_max=count)
    for line in lines:
        if as_json:
            typer.echo(json.dumps(asdict(line), ensure_ascii=False))
        else:
            text = f"{written(line.at_wall)}  {line.by}  {line.action}  {line.target}"
            typer.echo(text + (f"  {line.detail}" if line.detail else ""))
