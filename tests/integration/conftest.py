"""One node with every kind of listener, for clients that no one here wrote."""

import itertools
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import RunningBroker, broker_with
from tests.support.certificates import Certificates, make_certificates

__all__ = ["broker_with"]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Node:
    """A running node and how to reach it."""

    broker: RunningBroker
    certificates: Certificates
    unix_path: Path

    def address(self, listener: str) -> tuple[str, int]:
        """Host and port of ``tcp``, ``tls``, ``ws`` or ``wss``."""
        return self.broker.listener(listener)

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts the node's authority."""
        return ssl.create_default_context(cafile=self.certificates.ca)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def node(certificates: Certificates) -> Iterator[Node]:
    tls = {
        "certificate": str(certificates.server.certificate),
        "private_key": str(certificates.server.private_key),
    }
    folder = Path(tempfile.mkdtemp())  # A unix socket's path must be short.
    path = folder / "mqtt.sock"
    local = {"host": "127.0.0.1", "port": 0}
    listeners = [
        {"type": "tcp", "name": "tcp", **local},
        {"type": "tls", "name": "tls", "tls": tls, **local},
        {"type": "ws", "name": "ws", **local},
        {"type": "wss", "name": "wss", "tls": tls, **local},
        {"type": "unix", "name": "unix", "path": str(path)},
    ]
    with RunningBroker({"listeners": listeners}) as broker:
        yield Node(broker, certificates, path)
    shutil.rmtree(folder)


@pytest.fixture
def name() -> str:
    """A topic name, and the beginning of client ids, that no other test uses."""
    return f"i{next(_numbers)}"


@pytest.fixture(scope="module")
def module_broker_with() -> Iterator[Callable[..., RunningBroker]]:
    """As ``broker_with``, for a broker that the tests of one file share."""
    with ExitStack() as stack:

        def start(**overrides: Any) -> RunningBroker:
            return stack.enter_context(RunningBroker(overrides))

        yield start
