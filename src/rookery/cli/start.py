"""``rookery start``: one node in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rookery.cli.options import ConfigFile, Overrides, load_or_exit

if TYPE_CHECKING:
    from rookery.app import Node
    from rookery.config import Loaded
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
    from rookery.config import store_directory, warnings
    from rookery.net.listening import ListenFault
    from rookery.net.tls import TlsFileFault
    from rookery.observe.http import ListenError
    from rookery.store.faults import StoreFault

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    node = Node(loaded.config, store_directory(loaded))
    loop.add_signal_handler(signal.SIGHUP, _reload, loaded, logs, node)
    try:
        await node.start()
    except (FileFault, ListenFault, ListenError, StoreFault, TlsFileFault) as error:
        typer.echo(f"rookery: {error}", err=True)
        return 1
    _banner(node, loaded, warnings(loaded.config))
    tune_interpreter()
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), LOG_FLUSH_SECONDS)
        except TimeoutError:
            logs.flush()
    await node.stop()
    return 0


def _reload(loaded: Loaded, logs: Logs, node: Node) -> None:
    """Read the configuration again and apply what can change while the node runs: the log level."""
    import os

    import structlog

    from rookery.config import ConfigErrors, load

    log = structlog.get_logger("rookery.cli")
    try:
        fresh = load(loaded.source, os.environ, loaded.overrides)
    except ConfigErrors as errors:
        log.error("config_refused", errors=[str(error) for error in errors.errors])
        return
    logs.set_level(fresh.config.log.level)
    node.broker.bind_log()
    running, wanted = loaded.config.model_dump(), fresh.config.model_dump()
    waiting = sorted(key for key in wanted if key != "log" and wanted[key] != running[key])
    log.warning("config_reloaded", log_level=logs.level, needs_restart=waiting)
    detail = f"log level {logs.level}"
    if waiting:
        detail += f"; these wait for a restart: {', '.join(waiting)}"
    node.note("config reload", str(loaded.source or "the defaults"), detail)


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
