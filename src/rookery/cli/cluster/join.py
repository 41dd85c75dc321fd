"""``rookery cluster join``: make a node's configuration one of a cluster's node."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from rookery.cli.options import ConfigFile

if TYPE_CHECKING:
    from rookery.config import Loaded

REACH_SECONDS_MAX: Final = 3.0


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; ``None`` and empty leave the file as it is."""

    seeds: tuple[str, ...]
    secret_file: Path | None = None
    node_id: str | None = None
    name: str | None = None
    host: str | None = None
    advertise: str | None = None
    routes: tuple[str, ...] = ()


def join(
    seeds: Annotated[
        list[str],
        typer.Option(
            "--seed",
            metavar="HOST:PORT",
            help="The gRPC address of a node that is in the cluster. Repeatable.",
        ),
    ],
    config: ConfigFile = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            "--secret-file",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The file that holds the cluster's secret; the configuration refers to it.",
        ),
    ] = None,
    node_id: Annotated[
        str | None, typer.Option("--node-id", help="This node's name in the cluster.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The cluster's name.")] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", help="The address to listen on for other nodes; 0.0.0.0 is all."),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option("--advertise", metavar="HOST:PORT", help="How others reach this node."),
    ] = None,
    routes: Annotated[
        list[str] | None,
        typer.Option(
            "--route",
            metavar="HOST:PORT",
            help="The route port of another node's NATS server, where it is not 6222 on a seed's "
            "host. Repeatable.",
        ),
    ] = None,
) -> None:
    """Write into a node's configuration that it belongs to a cluster.

    Nothing is started or stopped. The file is only changed when all of it is
    right afterwards; where it had settings of its own for the cluster, it is
    written anew, and the file as it was is kept beside it.

    Exit codes: 0, it is written; 1, it would not be right and is as it was;
    2, wrong command line.
    """
    from rookery.config import find_file
    from rookery.config.load import DEFAULT_FILE

    file = find_file(config, os.environ) or DEFAULT_FILE
    wanted = Wanted(tuple(seeds), secret_file, node_id, name, host, advertise, tuple(routes or ()))
    before = _read(file)
    text, whole = joined_text(before, wanted)
    loaded = _put(file, text, keep=whole and bool(before))
    typer.echo(f"{file}: node {loaded.config.broker.node_id} is one of a cluster now")
    if whole and before:
        typer.echo(f"the file as it was, with its comments, lies at {_kept(file)}")
    _tell_more(loaded)
    typer.echo(
        f"next: start the node with 'rookery start -c {file}'; stop it first where it runs already"
    )


def joined_text(before: str, wanted: Wanted) -> tuple[str, bool]:
    """The file's new text, and whether it was written anew rather than added to."""
    import yaml

    try:
        settings = yaml.safe_load(before) or {}
    except yaml.YAMLError:
        settings = None
    if not isinstance(settings, dict):
        return before, False  # Loading it will tell what is wrong and where.
    if not {"broker", "cluster"} & settings.keys():
        # What is added at the end leaves what people wrote above it as it is.
        text = before if before.endswith("\n") or not before else before + "\n"
        return text + _dump(joined({}, wanted)), False
    return _dump(joined(settings, wanted)), True


def joined(settings: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The settings with those of the cluster."""
    broker, cluster = _section(settings, "broker"), _section(settings, "cluster")
    peers = broker.get("peer_nodes") or []
    if isinstance(peers, str):
        peers = [part.strip() for part in peers.split(",") if part.strip()]
    broker["peer_nodes"] = list(dict.fromkeys([*peers, *wanted.seeds]))
    if wanted.node_id is not None:
        broker["node_id"] = wanted.node_id
    cluster["enabled"] = True
    for key in ("name", "host", "advertise"):
        value = getattr(wanted, key)
        if value is not None:
            cluster[key] = value
    if wanted.secret_file is not None:
        cluster["secret"] = f"${{file:{wanted.secret_file.absolute()}}}"
    if wanted.routes:
        cluster["nats"] = {**_section(cluster, "nats"), "routes": list(wanted.routes)}
    return {**settings, "broker": broker, "cluster": cluster}


def _section(settings: dict[str, Any], key: str) -> dict[str, Any]:
    found = settings.get(key)
    return dict(found) if isinstance(found, dict) else {}


def _dump(settings: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"rookery: {file} cannot be read: {error}", err=True)
        raise typer.Exit(1) from None


def _put(file: Path, text: str, *, keep: bool) -> Loaded:
    """Replace the file, once what it will be loads."""
    from rookery.config import ConfigErrors, load

    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        if file.exists():
            shutil.copymode(file, new)
        loaded = load(new, os.environ)
        if keep:
            shutil.copy2(file, _kept(file))
        new.replace(file)
    except ConfigErrors as errors:
        told = str(errors).replace(str(new), str(file))
        typer.echo(f"{told}\nrookery: {file} is as it was", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"rookery: {error.filename} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    return loaded


def _kept(file: Path) -> Path:
    return file.with_name(f"{file.name}.bak")


def _tell_more(loaded: Loaded) -> None:
    from rookery.config import warnings

    for warning in warnings(loaded.config, references=loaded.references):
        typer.echo(f"warning: {warning}")
    for seed in loaded.config.seeds:
        host, _, port = seed.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS_MAX).close()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            typer.echo(f"warning: {seed} does not answer now: {why}")
