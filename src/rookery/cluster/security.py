"""What makes a link one between nodes that may trust each other: certificates, a shared secret, or one machine."""

import asyncio
import ipaddress
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import grpc
import structlog

from rookery.cluster.refusals import Reason, Refusal, shown

log: Final = structlog.get_logger("rookery.cluster")

SECRET_BYTES_MIN: Final = 16
"""Whoever can listen in may try secrets at leisure."""
FILES_READ_SECONDS: Final = 60.0


class LinkFault(Exception):
    """The links cannot be had as they are configured; the text says what, where, and what would be right."""


@dataclass(frozen=True, slots=True)
class LinkTls:
    """The PEM files of mutual TLS. The certificate has to be good for servers and for clients."""

    certificate: Path
    private_key: Path
    ca: Path
    names: Literal["address", "node"] = "address"
    """What a peer's certificate has to name: the host of its address, or its node id."""


@dataclass(frozen=True, slots=True)
class LinkSecurity:
    """How peers prove that they belong to the cluster. With a secret and certificates, both are asked for."""

    secret: bytes | None = field(default=None, repr=False)
    tls: LinkTls | None = None

    def fault(self, hosts: Iterable[str]) -> str | None:
        """Why a node that binds to these hosts must not start like this; ``None`` where it may."""
        if self.secret is not None and len(self.secret) < SECRET_BYTES_MIN:
            return f"the cluster's secret needs at least {SECRET_BYTES_MIN} bytes"
        if self.secret is None and self.tls is None:
            for host in hosts:
                if not is_loopback(host):
                    return (
                        f"a node that others reach at {host} needs certificates (certificate, "
                        "private key and CA) or a shared secret: without, anybody could join"
                    )
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files hold."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    ca: bytes
    dialling: ssl.SSLContext = field(repr=False, compare=False)
    """For connections to other nodes."""
    accepting: ssl.SSLContext = field(repr=False, compare=False)
    """For those from them."""


def read_pem(tls: LinkTls) -> Pem:
    """Read the files and see whether they fit together. It reads disks: off the loop.

    Raises:
        LinkFault: they cannot be used.
    """
    dialling = _context(tls, ssl.PROTOCOL_TLS_CLIENT)
    accepting = _context(tls, ssl.PROTOCOL_TLS_SERVER)
    accepting.verify_mode = ssl.CERT_REQUIRED
    return Pem(
        tls.certificate.read_bytes(),
        tls.private_key.read_bytes(),
        tls.ca.read_bytes(),
        dialling,
        accepting,
    )


def _context(tls: LinkTls, side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    try:
        context.load_verify_locations(tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise LinkFault(f"{tls.ca} cannot be used as the CA of the cluster: {error}") from None
    try:
        # The password keeps OpenSSL from asking for one at the terminal: gRPC takes no encrypted keys.
        context.load_cert_chain(tls.certificate, tls.private_key, password=b"")
    except (OSError, ssl.SSLError) as error:
        raise LinkFault(
            f"{tls.certificate} with {tls.private_key} cannot be used as the certificate and the "
            f"(unencrypted) private key of this node: {error}"
        ) from None
    return context


class Credentials:
    """The credentials of gRPC and of connections, of files that may be renewed while the node runs."""

    def __init__(self, tls: LinkTls, pem: Pem) -> None:
        self._tls = tls
        self._pem = pem

    def server(self) -> grpc.ServerCredentials:
        """Of the server; every handshake takes what is in force then."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), self._configuration, require_client_authentication=True
        )

    def channel(self) -> grpc.ChannelCredentials:
        """Of one new connection."""
        return grpc.ssl_channel_credentials(
            self._pem.ca, self._pem.private_key, self._pem.certificate
        )

    def dialling(self) -> ssl.SSLContext:
        """Of a connection to another node."""
        return self._pem.dialling

    def accepting(self) -> ssl.SSLContext:
        """Of a connection from another node."""
        return self._pem.accepting

    async def keep_fresh(self) -> None:
        """Look at the files now and then. What cannot be used is told of, and the last good stays."""
        while True:
            await asyncio.sleep(FILES_READ_SECONDS)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the files again."""
        try:
            pem = await asyncio.to_thread(read_pem, self._tls)
        except LinkFault as fault:
            log.error("cluster_certificate_not_renewed", reason=str(fault))
            return
        if pem != self._pem:
            self._pem = pem
            log.info("cluster_certificate_renewed", certificate=str(self._tls.certificate))

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        """Called by gRPC at every handshake as well, in a thread of its own."""
        pem = self._pem
        return grpc.ssl_server_certificate_configuration(
            [(pem.private_key, pem.certificate)], pem.ca
        )


def check_certificate(auth_context: Mapping[str, Iterable[bytes]], wanted: str, peer: str) -> None:
    """See whether the certificate a client showed names it. (gRPC itself checks those of servers.)

    Raises:
        Refusal: it names somebody else.
    """
    names = [
        name.decode(errors="replace")
        for name in auth_context.get("x509_subject_alternative_name", ())
    ] or [name.decode(errors="replace") for name in auth_context.get("x509_common_name", ())]
    if not any(name_matches(name, wanted) for name in names):
        raise Refusal(
            Reason.WRONG_CERTIFICATE,
            f"the certificate of node {shown(peer)} has to name {wanted}, "
            f"and names {shown(', '.join(names)) or 'nothing'}",
        )


def name_matches(pattern: str, wanted: str) -> bool:
    """Whether a name in a certificate, in which the first label may be ``*``, is of this host."""
    try:
        return ipaddress.ip_address(pattern) == ipaddress.ip_address(wanted)
    except ValueError:
        pattern, wanted = pattern.lower().rstrip("."), wanted.lower().rstrip(".")
    if pattern.startswith("*."):
        return bool(wanted.partition(".")[0]) and wanted.partition(".")[2] == pattern[2:]
    return pattern == wanted
