"""The commands of ``rookery cluster`` together."""

import typer

from rookery.cli.cluster import acts, join, show, up

app = typer.Typer(
    no_args_is_help=True,
    help="Run a cluster on this machine; look at the cluster a node is in, and change it.",
)
app.command()(up.up)
app.command()(up.down)
app.command()(show.status)
app.command()(show.topology)
app.command()(join.join)
app.command("leave")(acts.leave)
app.command("evacuate")(acts.evacuate)
app.command("force-leave")(acts.force_leave)
app.command()(acts.rebalance)
