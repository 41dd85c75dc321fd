"""The routes between NATS servers with real certificates: who is let in, and what becomes of renewed ones."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from rookery.cluster import names, nats_server
from rookery.cluster.nats_config import RouteTls
from rookery.cluster.streams import ensure_streams, stream_info
from tests.support.certificates import Authority, Pair
from tests.support.nats_cluster import NatsCluster, nats_cluster

WAIT_SECONDS_MAX = 40


def tls_of(pair: Pair, authority: Authority) -> RouteTls:
    return RouteTls(pair.certificate, pair.private_key, authority.certificate)


@contextlib.contextmanager
def route_port(servers: NatsCluster, index: int) -> Iterator[ssl.SSLSocket]:
    """A connection to the route port of a server, of somebody without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", servers.settings[index].route_port)
    with (
        socket.create_connection(address, WAIT_SECONDS_MAX) as plain,
        context.wrap_socket(plain) as encrypted,
    ):
        yield encrypted


def shown_by(servers: NatsCluster, index: int) -> bytes:
    with route_port(servers, index) as encrypted:
        return encrypted.getpeercert(binary_form=True) or b""


def test_servers_with_certificates_are_one_cluster_and_one_of_another_ca_is_not(tmp_path: Path):
    ca, stranger = Authority(tmp_path, "ca"), Authority(tmp_path, "stranger")
    tls = (
        *(tls_of(ca.node(f"s{index}"), ca) for index in range(3)),
        tls_of(stranger.node("s3"), ca),
    )
    with nats_cluster(4, tmp_path, tls=tls) as servers:

        async def main() -> None:
            async with asyncio.timeout(WAIT_SECONDS_MAX), servers.connected() as jetstream:
                await ensure_streams(jetstream, "n0", 3, jetstream.server_name)
                found = (await stream_info(jetstream, names.log_stream("n0")))["cluster"]
                keepers = {found["leader"], *(each["name"] for each in found["replicas"])}
                assert keepers == {"n0", "n1", "n2"}
                while "TLS route handshake error" not in log_of(servers, 0):
                    await asyncio.sleep(0.05)

        asyncio.run(main())
        with route_port(servers, 0) as nobody, pytest.raises(ssl.SSLError, match="certificate"):
            nobody.recv(1)


def log_of(servers: NatsCluster, index: int) -> str:
    return (servers.settings[index].directory / "nats-server.log").read_text()


def test_renewed_certificates_are_taken_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(nats_server, "FILES_READ_SECONDS", 0.05)
    ca = Authority(tmp_path, "ca")
    used, other, renewed = (ca.node(name) for name in ("used", "other", "renewed"))
    with nats_cluster(2, tmp_path, tls=(tls_of(used, ca), tls_of(other, ca))) as servers:
        pid, before = servers.pid(0), shown_by(servers, 0)
        shutil.copy(renewed.private_key, used.private_key)
        shutil.copy(renewed.certificate, used.certificate)

        async def main() -> None:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while shown_by(servers, 0) == before:
                    await asyncio.sleep(0.05)

        asyncio.run(main())
        wanted = ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())
        assert (shown_by(servers, 0), servers.pid(0)) == (wanted, pid)
