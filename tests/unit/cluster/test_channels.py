"""gRPC as it is set up; most of it shows in the integration tests of links."""

import asyncio
import subprocess
import sys
from pathlib import Path

import grpc

from rookery.cluster.channels import SERVER_OPTIONS, open_channel
from rookery.cluster.security import Credentials, LinkTls, read_pem
from tests.support.certificates import Authority
from tests.support.command import FOLDER
from tests.support.cut_proxy import CutProxy
from tests.support.links import LinkNode, nodes, run


def test_each_channel_has_a_connection_of_its_own():
    """A connection that a network swallowed is not met again by the next attempt."""

    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses:
            port = int(addresses["n2"].split(":")[1])
            async with CutProxy("127.0.0.1", port) as proxy:
                channels = [open_channel(proxy.address, None) for _ in range(2)]
                for channel in channels:
                    await asyncio.wait_for(channel.channel_ready(), 5)
                assert proxy.connections == 2
                for channel in channels:
                    await channel.close()

    run(work())


def test_no_proxy_of_the_environment_is_used(monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        async with nodes(one, other):
            await one.told.said("up n2")

    run(work())


def test_a_certificate_may_be_asked_for_another_name_than_that_of_the_address(tmp_path: Path):
    async def work() -> None:
        authority = Authority(tmp_path)
        pair = authority.node("n2", hosts=("n2",))
        tls = LinkTls(pair.certificate, pair.private_key, authority.certificate)
        credentials = Credentials(tls, read_pem(tls))
        server = grpc.aio.server(options=SERVER_OPTIONS)
        port = server.add_secure_port("127.0.0.1:0", credentials.server())
        await server.start()
        for name, ready in (("n2", True), ("n3", False), (None, False)):
            channel = open_channel(f"127.0.0.1:{port}", credentials, name)
            try:
                await asyncio.wait_for(channel.channel_ready(), 5 if ready else 0.3)
                connected = True
            except TimeoutError:
                connected = False
            assert connected == ready, name
            await channel.close()
        await server.stop(None)

    run(work())


def test_grpc_itself_is_told_to_be_quiet():
    code = "import os, rookery.cluster.links; print(os.environ['GRPC_VERBOSITY'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": FOLDER},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("NONE\n", "")
