"""The ``rookery`` command.

Modules of commands import the rest of Rookery inside their functions, so that ``rookery --help`` and each
command load no more than they need. A command ends with one of these codes: 0, it was done; 1, it was not,
and standard error says why; 2, the command line itself is wrong; and of ``sub`` 27, its time was up.
"""

from typing import Annotated

import typer

from rookery import __version__
from rookery.cli import acl, audit, backup, ban, check, config, pub, start, store, sub, tls, user
from rookery.cli.cluster import app as cluster

app = typer.Typer(
    name="rookery",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # Its tracebacks show the values of variables, passwords too.
    epilog="Exit codes: 0 done, 1 failed (standard error says why), 2 wrong command line.",
)
app.add_typer(config.app, name="config")
app.add_typer(store.app, name="store")
app.add_typer(backup.app, name="backup")
app.add_typer(user.app, name="user")
app.add_typer(tls.app, name="tls")
app.add_typer(acl.app, name="acl")
app.add_typer(ban.app, name="ban")
app.add_typer(audit.app, name="audit")
app.add_typer(cluster.app, name="cluster")
app.add_typer(check.app, name="check")
app.command()(start.start)
app.command()(pub.pub)
app.command()(sub.sub)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rookery {__version__}")
        raise typer.Exit


@app.callback()
def rookery(
    version_wanted: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Rookery, an MQTT 3.1, 3.1.1 and 5.0 broker."""


def main() -> None:
    """Run the command line; the console script of the package."""
    app()
