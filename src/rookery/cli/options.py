"""The options that commands with a configuration share, and its loading."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rookery.config import Loaded

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The YAML file to read instead of $ROOKERY_CONFIG or ./rookery.yaml.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set one value, as limits.inflight_max=100; wins over file and environment. Repeatable.",
    ),
]


def load_or_exit(file: Path | None, overrides: list[str] | None) -> "Loaded":
    """Load the configuration; print all its errors and exit with 1 when there are any."""
    from rookery.config import ConfigErrors, find_file, load

    try:
        return load(find_file(file, os.environ), os.environ, overrides or [])
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(1) from None
