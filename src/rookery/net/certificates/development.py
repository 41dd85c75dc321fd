"""A small authority of one's own and what it certifies: for development, where nobody else certifies."""

import datetime as dt
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rookery.net.certificates.options import TlsFileFault

HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
CLIENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
"""A client's name is that of its files, too."""
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
KEY_MODE: Final = 0o600
CERTIFICATE_MODE: Final = 0o644
SKEW: Final = dt.timedelta(hours=1)
"""How far the clocks of those who verify may be behind."""


@dataclass(frozen=True)
class Files:
    """Where a certificate and its key lie."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True)
class Made:
    """What was written."""

    ca: Files
    server: Files
    clients: tuple[Files, ...]
    hosts: tuple[str, ...]
    not_after: float


class _Identity:
    """A certificate with its key."""

    def __init__(self, name: str, start: dt.datetime, end: dt.datetime) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._start, self._end = start, end
        self.certificate: x509.Certificate | None = None

    def certify(
        self,
        issuer: "_Identity",
        usage: x509.ObjectIdentifier | None,
        hosts: Sequence[str] = (),
    ) -> None:
        """Have the issuer sign; without a usage it is an authority."""
        ca = usage is None
        issuer_id = x509.SubjectKeyIdentifier.from_public_key(issuer.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._start)
            .not_valid_after(self._end)
            .add_extension(x509.BasicConstraints(ca, 0 if ca else None), critical=True)
            .add_extension(_key_usage(ca), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
                critical=False,
            )
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        self.certificate = builder.sign(issuer.key, hashes.SHA256())

    def write(self, files: Files) -> None:
        assert self.certificate is not None
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        certificate = self.certificate.public_bytes(serialization.Encoding.PEM)
        _write(files.private_key, key, KEY_MODE)
        _write(files.certificate, certificate, CERTIFICATE_MODE)


def make_development_certificates(
    directory: Path,
    hosts: Sequence[str],
    clients: Sequence[str],
    days: int,
    wall: float,
    *,
    force: bool = False,
) -> Made:
    """Write an authority, a server of these hosts and of this machine, and clients, all good for some days.

    Raises:
        TlsFileFault: a file is there already and ``force`` is not given, or one cannot be written.
    """
    every = tuple(dict.fromkeys((*hosts, *LOCAL_HOSTS)))
    ca, server = _files(directory, "ca"), _files(directory, "server")
    for_clients = tuple(_files(directory, name) for name in clients)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for files in (ca, server, *for_clients):
            _make_way(files, force)
        now = dt.datetime.fromtimestamp(wall, dt.UTC)
        start, end = now - SKEW, now + dt.timedelta(days=days)
        # Authorities of one name and different keys are taken for each other, and errors then mislead.
        authority = _Identity(f"Rookery development CA {now:%Y-%m-%d %H:%M:%S}", start, end)
        authority.certify(authority, None)
        authority.write(ca)
        identity = _Identity(every[0], start, end)
        identity.certify(authority, ExtendedKeyUsageOID.SERVER_AUTH, every)
        identity.write(server)
        for name, files in zip(clients, for_clients, strict=True):
            identity = _Identity(name, start, end)
            identity.certify(authority, ExtendedKeyUsageOID.CLIENT_AUTH)
            identity.write(files)
    except OSError as error:
        raise TlsFileFault(f"{error.filename} cannot be written: {error.strerror}") from error
    return Made(ca, server, for_clients, every, end.timestamp())


def _files(directory: Path, name: str) -> Files:
    return Files(directory / f"{name}.pem", directory / f"{name}.key")


def _make_way(files: Files, force: bool) -> None:
    for path in (files.certificate, files.private_key):
        if not path.exists():
            continue
        if not force:
            raise TlsFileFault(f"{path} is there already: --force overwrites it")
        path.unlink()


def _write(path: Path, data: bytes, mode: int) -> None:
    # The file is never there with more rights than it is to have.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def is_host(text: str) -> bool:
    """Whether a certificate can be made for it: an address, or a name, which may begin with ``*.``."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return HOST.fullmatch(text) is not None
    return True


def is_client_name(text: str) -> bool:
    """Whether a client can be called this."""
    return CLIENT.fullmatch(text) is not None and text not in ("ca", "server")
