"""``rookery store``: look at what a node keeps, running or not, and repair it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rookery.cli.audit import note_act
from rookery.cli.options import ConfigFile, Overrides, load_or_exit

app = typer.Typer(no_args_is_help=True, help="Look at the store of a node and repair it.")


def directory_or_exit(file: Path | None, overrides: list[str] | None) -> Path:
    """The directory of the configured store; exit with 1 where there is none."""
    from rookery.config import store_directory

    loaded = load_or_exit(file, overrides)
    if loaded.config.store.durability == "memory":
        typer.echo("store.durability is memory: there is no store on disk", err=True)
        raise typer.Exit(1)
    return store_directory(loaded)


def access_or_exit(file: Path | None, overrides: list[str] | None) -> Path:
    """The directory of the access database, whose audit tells what was done to the store."""
    from rookery.config import access_directory

    return access_directory(load_or_exit(file, overrides))


@contextmanager
def faults_told() -> Iterator[None]:
    """Tell what goes wrong on standard error and exit with 1."""
    from rookery.store.faults import StoreFault

    try:
        yield
    except StoreFault as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None


@app.command()
def stats(
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what the store holds, of a running node too."""
    from dataclasses import asdict

    from rookery.store.inspect import stats as count

    directory = directory_or_exit(config, overrides)
    with faults_told():
        found = count(directory)
    if as_json:
        typer.echo(json.dumps({"directory": str(directory), **asdict(found)}))
        return
    typer.echo(f"directory      {directory}")
    typer.echo(f"on disk        {found.file_bytes} bytes, {found.live_bytes} of them in use")
    typer.echo(f"sessions       {found.sessions}")
    typer.echo(f"subscriptions  {found.subscriptions}")
    typer.echo(f"retained       {found.retained}")
    typer.echo(
        f"messages       {found.messages}: {found.kept} alone, the others in {found.blocks} blocks"
    )
    typer.echo(f"owed           {found.owed} at most, to all sessions together")


@app.command()
def check(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Tell all that is damaged; exit with 0 when nothing is, else with 1."""
    from rookery.store.inspect import check as look

    directory = directory_or_exit(config, overrides)
    with faults_told():
        found = look(directory)
    for text in found:
        typer.echo(text, err=True)
    if found:
        typer.echo("stop the node and run 'rookery store repair'", err=True)
        raise typer.Exit(1)
    typer.echo(f"{directory}: nothing is damaged")


@app.command()
def repair(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Write all that can be read into a new database and set the old one aside. The node must not run."""
    from rookery.actors.clock import SystemClock
    from rookery.store.repair import repair as rebuild

    directory = directory_or_exit(config, overrides)
    with faults_told():
        salvage = rebuild(directory, SystemClock().wall())
    access = access_or_exit(config, overrides)
    note_act(access, "store repair", str(directory), f"the old one lies at {salvage.broken}")
    typer.echo(f"saved: {salvage.saved_text()}")
    typer.echo(f"lost: {salvage.lost_text()}")
    typer.echo(f"the old database lies at {salvage.broken}")


@app.command()
def export(
    config: ConfigFile = None,
    overrides: Overrides = None,
    retained: Annotated[bool, typer.Option("--retained", help="Only retained messages.")] = False,
    sessions: Annotated[bool, typer.Option("--sessions", help="Only sessions.")] = False,
) -> None:
    """Print the retained messages and the sessions with their subscriptions as JSON, one a line."""
    from rookery.store.inspect import export_retained, export_sessions

    directory = directory_or_exit(config, overrides)
    everything = retained == sessions
    with faults_told():
        if retained or everything:
            for row in export_retained(directory):
                typer.echo(json.dumps({"kind": "retained", **row}, ensure_ascii=False))
        if sessions or everything:
            for row in export_sessions(directory):
                typer.echo(json.dumps({"kind": "session", **row}, ensure_ascii=False))
