"""``rookery start``: one node in the foreground."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rookery.cli.options import ConfigFile, Overrides, load_or_exit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from pathlib import Path

    from rookery.app import Node
    from rookery.app.cluster.keeper import ServerKeeper
    from rookery.config import Config, Loaded
    from rookery.observe.logs import Logs

LOG_FLUSH_SECONDS = 10.0
WORKERS_MAX = 128


def start(
    config: ConfigFile = None,
    overrides: Overrides = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=WORKERS_MAX,
            help="Start N nodes that share the listeners' ports, for a machine with several cores.",
        ),
    ] = None,
) -> None:
    """Start a node and serve until SIGTERM or SIGINT.

    With --workers this process only looks after the nodes: it starts one again
    that ends, and passes SIGHUP on. 'rookery cluster status -d' with the
    directory of the store tells how they are.
    """
    import os

    if workers is not None:
        from rookery.cli.cluster.workers import start_workers

        raise typer.Exit(start_workers(workers, config, overrides or []))

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


class Ending:
    """What ends a node: a signal, or its cluster, which may want it to begin anew."""

    def __init__(self) -> None:
        import asyncio

        self.event = asyncio.Event()
        self.reason = ""
        """Why a new node is to follow; empty where none is."""
        self.pause_seconds = 0.0
        """How long before it does."""
        self._starting: asyncio.Task[Any] | None = None

    def begin_anew(self, reason: str, pause_seconds: float = 0.0) -> None:
        """End the node; another one follows after a pause, if there is a reason."""
        self.reason = reason
        self.pause_seconds = pause_seconds
        self.event.set()
        if self._starting is not None:
            self._starting.cancel()

    def stop(self) -> None:
        """End the node for good."""
        self.begin_anew("")

    async def unless(self, starting: Coroutine[Any, Any, Node]) -> Node | None:
        """The node once it is started; ``None`` where it is to end before."""
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        self._starting = task
        try:
            return await starting
        except asyncio.CancelledError:
            if not self.event.is_set():
                raise
            task.uncancel()
            return None
        finally:
            self._starting = None


async def _serve(loaded: Loaded, logs: Logs) -> int:
    """Run a node, and another one after it where the cluster wants that this one begins anew."""
    if not loaded.config.cluster.enabled:
        return await _serve_all(loaded, logs, None)
    from rookery.app.cluster.keeper import ServerKeeper

    keeper = ServerKeeper()
    try:
        return await _serve_all(loaded, logs, keeper)
    finally:
        await keeper.end()


async def _serve_all(loaded: Loaded, logs: Logs, keeper: ServerKeeper | None) -> int:
    """Run one node after the other; the exit code of the last."""
    import asyncio
    import signal

    import structlog

    loop = asyncio.get_running_loop()
    while True:
        ending = Ending()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, ending.stop)
        code = await _serve_once(loaded, logs, ending, keeper)
        if code or not ending.reason:
            return code
        structlog.get_logger("rookery.cli").warning("node_begins_anew", reason=ending.reason)
        if await _stopped_within(ending):
            return 0


async def _stopped_within(ending: Ending) -> bool:
    """Wait for the pause before the next node; whether a signal came meanwhile."""
    import asyncio

    pause_seconds = ending.pause_seconds
    ending.event.clear()
    try:
        await asyncio.wait_for(ending.event.wait(), pause_seconds)
    except TimeoutError:
        return False
    return True


async def _serve_once(
    loaded: Loaded, logs: Logs, ending: Ending, keeper: ServerKeeper | None
) -> int:
    """Run one node until it ends; its exit code."""
    import asyncio
    import signal

    from rookery.app import tune_interpreter
    from rookery.app.faults import START_FAULTS
    from rookery.cli.access import stored_users
    from rookery.config import warnings

    loop = asyncio.get_running_loop()
    try:
        node = await ending.unless(_started(loaded, ending, keeper))
    except START_FAULTS as error:
        typer.echo(f"rookery: {error}", err=True)
        return 1
    if node is None:
        return 0
    node.reload_actions.add("log", partial(_reload_log, logs, node))
    reloading = asyncio.Lock()

    def reload_soon() -> None:
        node.broker.tasks.start("reload", _reload(loaded, logs, node, reloading))

    loop.add_signal_handler(signal.SIGHUP, reload_soon)
    _banner(node, loaded, warnings(loaded.config, stored_users(loaded), loaded.references))
    tune_interpreter()
    while not ending.event.is_set():
        try:
            await asyncio.wait_for(ending.event.wait(), LOG_FLUSH_SECONDS)
        except TimeoutError:
            logs.flush()
    await node.stop()
    return 0


async def _started(loaded: Loaded, ending: Ending, keeper: ServerKeeper | None) -> Node:
    """A node that serves; one of a cluster waits for the others first."""
    from rookery.app import Node
    from rookery.config import access_directory, base_directory, store_directory

    directory, base = store_directory(loaded), base_directory(loaded)
    cluster: ClusterRuntime | None = None
    if keeper is not None:
        from rookery.actors.clock import SystemClock
        from rookery.app.cluster.runtime import ClusterRuntime

        _check_left_behind(loaded, directory)
        clock = SystemClock()
        cluster = ClusterRuntime(loaded.config, directory, clock, ending.begin_anew, keeper, base)
        await cluster.prepare()
    node = Node(loaded.config, directory, base, loaded.origins, cluster, access_directory(loaded))
    await node.start()
    return node


def _check_left_behind(loaded: Loaded, directory: Path) -> None:
    """Say before it is missed that a store from before this node had a name of its own is not this one's.

    A single node needs no name and a member of a cluster does, and the name is in the default directory.
    """
    from rookery.config import unnamed_directory
    from rookery.ports import NotStarted
    from rookery.store.database import FILE

    before = unnamed_directory(loaded)
    if before is None or not (before / FILE).exists() or (directory / FILE).exists():
        return
    raise NotStarted(
        f"{before} has the sessions, retained messages and users of this machine's node from before it was called "
        f"{loaded.config.broker.node_id}, and none of them would be seen here: set store.directory to it, and they "
        "begin this node's part of the cluster; or move it away"
    )


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
