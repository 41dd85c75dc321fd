"""``rookery start``: one node in the foreground."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

from rookery.cli.options import ConfigFile, Overrides, load_or_exit

if TYPE_CHECKING:
    import asyncio

    from rookery.app import Node
    from rookery.config import Config, Loaded
    from rookery.observe.logs import Logs

LOG_FLUSH_SECONDS = 10.0


def start(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Start a node and serve until SIGTERM or SIGINT."""
    import os

    import uvloop

    from rookery.actors.clock import SystemClock
    from rookery.observe.logs import configure

    loaded = load_or_exit(config, overrides)
    settings = loaded.config.log
    logs = configure(
        level=settings.level,
        line_format=settings.format,
        repeat_limit_per_minute=settings.repeat_limit_per_minute,
        clock=SystemClock().monotonic,
        environ=os.environ,
    )
    try:
        code = uvloop.run(_serve(loaded, logs))
    finally:
        logs.close()
    raise typer.Exit(code)


async def _serve(loaded: Loaded, logs: Logs) -> int:
    import asyncio
    import signal

    from rookery.app import Node, tune_interpreter
    from rookery.auth.watch import FileFault
    from rookery.cli.access import stored_users
    from rookery.config import base_directory, store_directory, warnings
    from rookery.net.certificates.options import TlsFileFault
    from rookery.net.listening import ListenFault
    from rookery.observe.http import ListenError
    from rookery.store.faults import StoreFault

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    node = Node(loaded.config, store_directory(loaded), base_directory(loaded), loaded.origins)
    node.reload_actions.add("log", partial(_reload_log, logs, node))
    reloading = asyncio.Lock()

    def reload_soon() -> None:
        node.broker.tasks.start("reload", _reload(loaded, logs, node, reloading))

    loop.add_signal_handler(signal.SIGHUP, reload_soon)
    try:
        await node.start()
    except (FileFault, ListenFault, ListenError, StoreFault, TlsFileFault) as error:
        typer.echo(f"rookery: {error}", err=True)
        return 1
    _banner(node, loaded, warnings(loaded.config, stored_users(loaded), loaded.references))
    tune_interpreter()
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), LOG_FLUSH_SECONDS)
        except TimeoutError:
            logs.flush()
    await node.stop()
    return 0


async def _reload(loaded: Loaded, logs: Logs, node: Node, reloading: asyncio.Lock) -> None:
    """Read the configuration and all it names again, and apply what can change in a running node.

    That is the log level, secrets and certificates, and all rules of who may publish and subscribe to what.
    """
    import asyncio
    import os

    import structlog

    from rookery.config import ConfigErrors, load

    log = structlog.get_logger("rookery.cli")
    async with reloading:  # The last one asked for must be the last one that is read.
        try:
            fresh = await asyncio.to_thread(load, loaded.source, os.environ, loaded.overrides)
        except ConfigErrors as errors:
            log.error("config_refused", errors=[str(error) for error in errors.errors])
            return
        waiting = await node.reload(fresh.config, fresh.origins)
    log.warning("config_reloaded", log_level=logs.level, needs_restart=waiting)
    detail = f"log level {logs.level}"
    if waiting:
        detail += f"; these wait for a restart: {', '.join(waiting)}"
    node.note("config reload", str(loaded.source or "the defaults"), detail)


def _reload_log(logs: Logs, node: Node, config: Config) -> list[str]:
    logs.set_level(config.log.level)
    node.broker.bind_log()
    return []


def _banner(node: Node, loaded: Loaded, warnings: list[str]) -> None:
    from rookery import __version__
    from rookery.app import compiled

    core = "compiled" if compiled() else "interpreted"
    source = "the defaults" if loaded.source is None else str(loaded.source)
    typer.echo(f"Rookery {__version__} ({core} core), node {loaded.config.broker.node_id}")
    for address in node.addresses:
        typer.echo(f"  listening on {address}")
    typer.echo(f"  configured by {source}; 'rookery config show' tells every value")
    for warning in warnings:
        typer.echo(f"  warning: {warning}")
