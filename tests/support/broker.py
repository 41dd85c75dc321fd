"""A broker for tests: a whole node on its own event loop in a thread, on ports the system chooses.

``ROOKERY_TEST_BROKER=host:port`` makes the tests talk to that running broker instead, of whatever make;
tests which need a configuration of their own, or another listener than TCP, are skipped then.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, Self

import pytest
import uvloop

START_SECONDS_MAX = 10.0

SETTINGS: dict[str, Any] = {
    "listeners": [
        {"type": "tcp", "name": "tcp", "host": "127.0.0.1", "port": 0},
        {"type": "ws", "name": "ws", "host": "127.0.0.1", "port": 0},
    ],
    "metrics.enabled": False,
    "log.level": "warning",
}
"""What differs from a node's defaults in every test: loopback, ports the system chooses, few words."""


class Broker(Protocol):
    """What a test needs to know of a broker."""

    host: str

    @property
    def port(self) -> int: ...


class RunningBroker:
    """A node in a thread. Overrides are dotted configuration names with their values."""

    host = "127.0.0.1"

    def __init__(self, overrides: Mapping[str, Any] | None = None) -> None:
        self._settings = {**SETTINGS, **(overrides or {})}
        self._directory = TemporaryDirectory(prefix="rookery-test-")
        self._ports: dict[str, int] = {}
        self._started: Future[None] = Future()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="broker")

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(START_SECONDS_MAX)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port of the TCP listener."""
        return self._ports["tcp"]

    def listener(self, name: str) -> tuple[str, int]:
        """The address of the listener with this name."""
        return self.host, self._ports[name]

    def stop(self) -> None:
        """Stop the node in good order and wait for its thread."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._directory.cleanup()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        from rookery.app import Node
        from rookery.config.models import Config

        self._loop = asyncio.get_running_loop()
        node = Node(Config.model_validate(nested(self._settings)), Path(self._directory.name))
        await node.start()
        self._ports = dict(node.ports)
        self._started.set_result(None)
        try:
            await self._stopping.wait()
        finally:
            await node.stop()


class ExternalBroker:
    """A broker that somebody else runs."""

    def __init__(self, address: str) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``{"limits.receive_maximum": 20}`` into dictionaries within dictionaries."""
    tree: dict[str, Any] = {}
    for name, value in dotted.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return tree


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The broker with its default configuration, shared by all tests of the session."""
    if address := os.environ.get("ROOKERY_TEST_BROKER"):
        yield ExternalBroker(address)
        return
    with RunningBroker() as running:
        yield running


@pytest.fixture
def broker_with() -> Iterator[Callable[..., RunningBroker]]:
    """Start a broker of the test's own: ``broker_with(**{"limits.receive_maximum": 20})``."""
    with ExitStack() as stack:

        def start(**overrides: Any) -> RunningBroker:
            if "ROOKERY_TEST_BROKER" in os.environ:
                pytest.skip("needs a broker with its own configuration")
            return stack.enter_context(RunningBroker(overrides))

        yield start
