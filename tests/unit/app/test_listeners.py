"""Listeners of each kind, by configuration."""

import asyncio
import ssl

from rookery.app import Node
from tests.support.certificates import make_certificates
from tests.support.engine import connect
from tests.support.node import TCP, Client, dial, run


def test_tls(tmp_path):
    made = make_certificates(tmp_path)
    tls = {
        "certificate": str(made.server.certificate),
        "private_key": str(made.server.private_key),
    }

    async def work(node: Node) -> None:
        context = ssl.create_default_context(cafile=str(made.ca))
        client = await dial(node, ssl=context, server_hostname="localhost")
        assert await client.ask(connect("a")) == ["CONNACK"]
        await client.close()

    node = run(work, listeners=[TCP | {"type": "tls", "tls": tls}])
    assert node.addresses[0].startswith("tls://")


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "s")

    async def work(node: Node) -> None:
        client = Client(*await asyncio.open_unix_connection(path))
        assert await client.ask(connect("a")) == ["CONNACK"]
        await client.close()

    node = run(work, listeners=[{"type": "unix", "name": "u", "path": path}])
    assert node.ports == {}
