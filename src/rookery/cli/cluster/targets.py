"""Which nodes a command of ``rookery cluster`` is about, and with which secret it may act on them.

The nodes that ``--nodes`` lists by their metrics ports; else those of ``cluster up`` in the directory; else, where no
cluster was ever started there, the node of the configuration: in a container that is the container's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rookery.cli.cluster.folder import Folder, NodeState, State
from rookery.cli.cluster.generated import HOST
from rookery.cli.options import ConfigFile, Overrides, load_or_exit

if TYPE_CHECKING:
    from rookery.config import Config, Loaded

Nodes = Annotated[
    str | None,
    typer.Option(
        "--nodes",
        metavar="HOST:PORT,..",
        help="Ask at these metrics ports, and not the nodes of the directory or the configuration.",
    ),
]
__all__ = ["ConfigFile", "Nodes", "Overrides", "Target", "addresses_of", "secret_of", "targets_of"]


@dataclass(frozen=True)
class Target:
    """One node to be asked."""

    node_id: str | None
    """``None`` where only the node itself knows."""
    address: str
    """Its metrics port, as ``host:port``."""
    state: NodeState | None = None
    """What the state file says of it."""


def targets_of(
    directory: Path, nodes: str | None, config: Path | None, overrides: list[str] | None
) -> list[Target]:
    """The nodes to be asked."""
    if nodes is not None:
        return [Target(None, address) for address in addresses_of(nodes)]
    state = _state(directory, config, overrides)
    if state is not None:
        return [
            Target(node.plan.node_id, f"{HOST}:{node.plan.ports.metrics}", node)
            for node in state.nodes
        ]
    return [_configured(load_or_exit(config, overrides))]


def secret_of(
    directory: Path, nodes: str | None, config: Path | None, overrides: list[str] | None
) -> str | None:
    """The cluster's secret: of the directory, else of the configuration."""
    folder = Folder(directory)
    state = None if nodes is not None else _state(directory, config, overrides)
    if (
        state is not None and folder.secret_file.exists()
    ):  # Workers may have that of their configuration.
        return folder.secret()
    secret = load_or_exit(config, overrides).config.cluster.secret
    return None if secret is None else secret.get_secret_value()


def addresses_of(nodes: str) -> list[str]:
    """A list of ``host:port``; a wrong command line where it is none."""
    found = [part.strip() for part in nodes.split(",") if part.strip()]
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
            raise typer.BadParameter(f"{address!r} is not host:port", param_hint="--nodes")
    if not found:
        raise typer.BadParameter("is empty", param_hint="--nodes")
    return found


def _state(directory: Path, config: Path | None, overrides: list[str] | None) -> State | None:
    """The state of the directory, unless a configuration is asked for by name."""
    return Folder(directory).read() if config is None and not overrides else None


def metrics_host(settings: Config) -> str:
    """Where a node's metrics port is asked on this machine."""
    host = settings.metrics.host
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  (what listens everywhere listens here)
        host = HOST if host != "::" else "[::1]"
    elif ":" in host:
        host = f"[{host}]"
    return host


def _configured(loaded: Loaded) -> Target:
    settings = loaded.config
    address = f"{metrics_host(settings)}:{settings.broker.metrics_port}"
    return Target(settings.broker.node_id, address)
