"""``rookery tls``: certificates for development, and what the configured ones say."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rookery.cli.options import ConfigFile, Overrides, load_or_exit

if TYPE_CHECKING:
    from rookery.config import Listener
    from rookery.net.certificates.development import Made
    from rookery.net.certificates.facts import CertificateFacts

app = typer.Typer(no_args_is_help=True, help="Make and look at certificates.")

PORT = 8883


@app.command("self-signed")
def self_signed(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where the files go.")
    ] = Path("rookery-tls"),
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME",
            help="A name or address that clients reach the node by, besides localhost. Repeatable.",
        ),
    ] = None,
    clients: Annotated[
        list[str] | None,
        typer.Option(
            "--client",
            metavar="NAME",
            help="Make a client certificate with this name, and require one. Repeatable.",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long they are good.")] = 365,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is there, the authority too.")
    ] = False,
) -> None:
    """Make an authority and a server certificate for development, and say how to use them."""
    from rookery.actors.clock import SystemClock
    from rookery.net.certificates.development import (
        is_client_name,
        is_host,
        make_development_certificates,
    )
    from rookery.net.certificates.options import TlsFileFault

    for host in hosts or []:
        if not is_host(host):
            raise typer.BadParameter(f"{host!r} is no host name or address", param_hint="--host")
    for client in clients or []:
        if not is_client_name(client):
            words = "a name has up to 60 letters, digits and . _ - and is not ca or server"
            raise typer.BadParameter(f"{client!r}: {words}", param_hint="--client")
    named = list(dict.fromkeys(clients or []))
    wall = SystemClock().wall()
    try:
        made = make_development_certificates(
            directory.absolute(), hosts or [], named, days, wall, force=force
        )
    except TlsFileFault as fault:
        typer.echo(f"rookery: {fault}", err=True)
        raise typer.Exit(1) from None
    typer.echo(_instructions(made))


def _instructions(made: "Made") -> str:
    import shlex

    from rookery.net.certificates.facts import day

    lines = [
        f"Certificates for {', '.join(made.hosts)}, good until {day(made.not_after)}.",
        "They are for development: nobody but who is given the authority's file trusts them.",
        "",
        "For rookery.yaml:",
        "",
        "listeners:",
        "  - type: tls",
        f"    port: {PORT}",
        "    tls:",
        f"      certificate: {json.dumps(str(made.server.certificate))}",
        f"      private_key: {json.dumps(str(made.server.private_key))}",
    ]
    command = ["mosquitto_sub", "-h", made.hosts[0].replace("*", "any"), "-p", str(PORT)]
    command += ["--cafile", str(made.ca.certificate)]
    if made.clients:
        lines += [
            f"      ca: {json.dumps(str(made.ca.certificate))}",
            "      client_certificate: required",
        ]
        client = made.clients[0]
        command += ["--cert", str(client.certificate), "--key", str(client.private_key)]
    command += ["-t", "#", "-v"]
    lines += ["", "Start the node, then try:", "", "  " + shlex.join(command)]
    return "\n".join(lines)


@app.command()
def show(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Tell the certificates that the configuration names; exit with 1 when some cannot be used."""
    from rookery.actors.clock import SystemClock
    from rookery.app.listeners import tls_options_of
    from rookery.net.certificates.context import server_context
    from rookery.net.certificates.options import TlsFileFault

    loaded = load_or_exit(config, overrides)
    wall = SystemClock().wall()
    good, seen = True, False
    for listener in loaded.config.active_listeners:
        options = tls_options_of(listener)
        if options is None:
            continue
        seen = True
        typer.echo(_title(listener))
        try:
            facts = server_context(options).facts
        except TlsFileFault as fault:
            good = False
            typer.echo(f"rookery: listener {listener.name}: {fault}", err=True)
            continue
        for fact in facts:
            typer.echo(_fact(fact, wall))
    if not seen:
        typer.echo("no listener has TLS")
    if not good:
        raise typer.Exit(1)


def _title(listener: "Listener") -> str:
    assert listener.tls is not None
    asked = listener.tls.client_certificate
    return (
        f"{listener.name} ({listener.type} on {listener.host}:{listener.port}, "
        f"TLS {listener.tls.minimum_version} and later, client certificates: {asked})"
    )


def _fact(fact: "CertificateFacts", wall: float) -> str:
    from rookery.net.certificates.facts import day

    left = fact.days_left(wall)
    when = f"in {left:.0f} days" if left >= 0 else f"{-left:.0f} days ago"
    lines = [f"  {fact.use}: {fact.subject}"]
    if fact.use != "crl":
        lines.append(f"    by      {fact.issuer}")
        lines.append(f"    serial  {fact.serial}")
    if fact.names:
        lines.append(f"    names   {', '.join(fact.names)}")
    if fact.not_after == float("inf"):
        lines.append("    ends    never")
    else:
        lines.append(f"    ends    {day(fact.not_after)}, {when}")
    lines.append(f"    file    {fact.file}")
    return "\n".join(lines)
