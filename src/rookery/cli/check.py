"""``rookery check``: whether running nodes do what they should."""

import json
from typing import Annotated

import typer

from rookery.cli import remote
from rookery.cli.tables import columns

app = typer.Typer(no_args_is_help=True, help="See for yourself that running nodes work.")

DEFAULT_NODES = "localhost:1883,localhost:1884,localhost:1885"
COUNT_MAX = 100_000
TOPIC_BYTES_MAX = 1_000
"""There must be room for what is put after it, below the limits of a node."""


@app.callback()
def check() -> None:
    """See for yourself that running nodes work."""


@app.command("cross-node")
def cross_node(
    nodes: Annotated[
        str,
        typer.Option("--nodes", metavar="HOST:PORT,..", help="The MQTT addresses of the nodes."),
    ] = DEFAULT_NODES,
    qos: remote.Qos = 1,
    count: Annotated[
        int, typer.Option(min=1, max=COUNT_MAX, help="Messages from each node to each other.")
    ] = 10,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3_600, help="Seconds each message may take.")
    ] = 5.0,
    topic: Annotated[
        str, typer.Option("--topic", "-t", help="Topics begin with this.")
    ] = "rookery/check",
    username: remote.Username = None,
    password: remote.Password = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Publish on each node and receive on each other, and tell how long it takes.

    Every ordered pair of nodes is tried. First one message is sent until it
    arrives, which shows how soon a new subscription is known on the other node
    ('known'); then all others must arrive, each once, with their times from
    publishing to receiving.

    Exit codes: 0, all arrived; 1, some did not or a node was not reached; 2,
    wrong command line.
    """
    import asyncio
    import os

    from rookery.cli.cross_node import Plan, run
    from rookery.mqtt.topics import validate_topic_name

    addresses = _addresses(nodes)
    if (
        len(topic.encode()) > TOPIC_BYTES_MAX
        or not validate_topic_name(topic)
        or topic.startswith("$")
    ):
        raise typer.BadParameter(f"{topic!r} is no topic name", param_hint="--topic")
    secret = password if password is not None else os.environ.get(remote.FROM_ENVIRONMENT)
    plan = Plan(
        addresses=addresses,
        qos=qos,
        count=count,
        seconds_max=timeout,
        topic=topic,
        username=username,
        password=None if secret is None or username is None else secret.encode(),
    )
    try:
        outcomes = asyncio.run(run(plan))
    except KeyboardInterrupt:
        raise typer.Exit(remote.INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps({"pairs": [outcome.to_json() for outcome in outcomes]}))
    else:
        header = (
            "from",
            "to",
            "sent",
            "received",
            "known ms",
            "min ms",
            "median ms",
            "max ms",
            "result",
        )
        typer.echo(columns(header, [outcome.row() for outcome in outcomes]))
    if not all(outcome.good for outcome in outcomes):
        raise typer.Exit(1)


def _addresses(nodes: str) -> list[tuple[str, int]]:
    found = []
    for part in nodes.split(","):
        host, _, port = part.strip().rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
            raise typer.BadParameter(f"{part.strip()!r} is not host:port", param_hint="--nodes")
        found.append((host.strip("[]"), int(port)))
    if len(found) < 2:
        raise typer.BadParameter("needs two nodes or more", param_hint="--nodes")
    return found
