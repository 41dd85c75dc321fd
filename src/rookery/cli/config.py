"""``rookery config``: look at a configuration without starting a node."""

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rookery.cli.options import ConfigFile, Overrides, load_or_exit

if TYPE_CHECKING:
    from rookery.config import Row

app = typer.Typer(no_args_is_help=True, help="Check and explain the configuration.")

COLUMNS = ("Setting", "Value", "Origin")


@app.command()
def check(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Tell all errors and warnings; exit with 0 when there are no errors, else with 1."""
    from rookery.cli.access import stored_users
    from rookery.config import warnings

    loaded = load_or_exit(config, overrides)
    for warning in warnings(loaded.config, stored_users(loaded)):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{loaded.source or 'the configuration without a file'}: no errors")


@app.command()
def show(
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell every value and where it came from; secrets appear as ***."""
    from rookery.config import explain

    loaded = load_or_exit(config, overrides)
    rows = explain(loaded)
    if as_json:
        source = None if loaded.source is None else str(loaded.source)
        values = {row.name: {"value": row.value, "origin": str(row.origin)} for row in rows}
        typer.echo(json.dumps({"source": source, "values": values}, indent=2))
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        _print_columns(rows)


@app.command()
def reference() -> None:
    """Print the reference of all settings, in Markdown."""
    from rookery.config.reference import reference as page

    typer.echo(page(), nl=False)


def _cells(row: "Row") -> tuple[str, str, str]:
    return row.name, json.dumps(row.value, ensure_ascii=False), str(row.origin)


def _print_table(rows: list["Row"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in rows:
        style = "dim" if row.origin.kind == "default" else ""
        table.add_row(*(Text(cell, style, overflow="fold") for cell in _cells(row)))
    # Bold and dim are no colors to rich, but who sets NO_COLOR wants none of the codes.
    Console(color_system=None if os.environ.get("NO_COLOR") else "auto").print(table)


def _print_columns(rows: list["Row"]) -> None:
    cells = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    for setting, value, origin in cells:
        typer.echo(f"{setting:{widths[0]}}  {value:{widths[1]}}  {origin}")
