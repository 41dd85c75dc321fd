"""``rookery backup``: one file with all that a node keeps, and back."""

from pathlib import Path
from typing import Annotated

import typer

from rookery.cli.audit import note_act
from rookery.cli.options import ConfigFile, Overrides
from rookery.cli.store import access_or_exit, directory_or_exit, faults_told

app = typer.Typer(no_args_is_help=True, help="Back up the store of a node, and restore it.")

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@app.command()
def create(file: BackupFile, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Write a backup, whether the node runs or not: the store, and users, rules and bans beside it."""
    from rookery.auth.access.file import FILE
    from rookery.store.backup import create as copy

    directory = directory_or_exit(config, overrides)
    with faults_told():
        size = copy(directory, file, [FILE])
    typer.echo(f"{file}: {size} bytes")


@app.command()
def restore(
    file: BackupFile,
    config: ConfigFile = None,
    overrides: Overrides = None,
    force: Annotated[
        bool, typer.Option("--force", help="Set the store that is there aside, if there is one.")
    ] = False,
) -> None:
    """Make a backup the store of the node, which must not run."""
    from rookery.actors.clock import SystemClock
    from rookery.store.backup import restore as replace

    directory = directory_or_exit(config, overrides)
    with faults_told():
        aside = replace(file, directory, force=force, wall=SystemClock().wall())
    access = access_or_exit(config, overrides)
    note_act(access, "backup restore", str(directory), f"from {file}")
    typer.echo(f"{directory}: restored from {file}")
    if aside is not None:
        typer.echo(f"the store that was there lies at {aside}")
