"""The commands of ``rookery cluster`` together."""

import typer

from rookery.cli.cluster import up

app = typer.Typer(
    no_args_is_help=True,
    help="Run a cluster on this machine; look at the cluster a node is in, and change it.",
)
app.command()(up.up)
app.command()(up.down)
