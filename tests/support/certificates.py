"""Certificates made on the spot: a CA, an intermediate one, servers and clients good, bad and revoked.

Keys are of P-256, so a whole set takes a few milliseconds and needs no cache.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    private_key: Path


class Authority:
    """A CA that writes its files, and those of whom it certifies, into one directory."""

    def __init__(
        self, directory: Path, name: str = "ca", above: "Authority | None" = None, days: float = 30
    ) -> None:
        """Certified by itself, or by the authority ``above`` it."""
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(f"Test {name}")
        self._above = above
        now = dt.datetime.now(dt.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name if above is None else above._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(
                x509.BasicConstraints(ca=True, path_length=1 if above is None else 0), critical=True
            )
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key if above is None else above._key, hashes.SHA256())
        )
        self.certificate = directory / f"{name}.pem"
        """The CA's own certificate, to be trusted."""
        self.certificate.write_bytes(self._pem)

    @property
    def _pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def revoke(self, *pairs: Pair, days: float = 7, name: str = "crl") -> Path:
        """Write a revocation list of these certificates, good for so many days from now."""
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - 20 * DAY)
            .next_update(now + days * DAY)
        )
        for pair in pairs:
            certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(now - DAY)
                .build()
            )
        path = self._directory / f"{name}.pem"
        path.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        return path

    def server(
        self,
        name: str = "server",
        *,
        hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
        expired: bool = False,
        password: str | None = None,
        days: float = 20,
    ) -> Pair:
        """Certify a server for these hosts, names and addresses alike."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        days = -10 if expired else days
        return self._certify(
            name, [ExtendedKeyUsageOID.SERVER_AUTH], names if hosts else None, days, password
        )

    def node(self, name: str, *, hosts: tuple[str, ...] = ("localhost", "127.0.0.1")) -> Pair:
        """Certify a node of a cluster, which is a server to some of the others and a client to the rest."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._certify(name, usages, names, 20, None)

    def client(
        self,
        name: str = "client",
        *,
        expired: bool = False,
        password: str | None = None,
        days: float = 20,
        alternative_names: Sequence[x509.GeneralName] = (),
    ) -> Pair:
        """Certify a client; its common name is ``name``."""
        names = x509.SubjectAlternativeName(alternative_names) if alternative_names else None
        days = -10 if expired else days
        return self._certify(name, [ExtendedKeyUsageOID.CLIENT_AUTH], names, days, password)

    def _certify(
        self,
        name: str,
        usages: Sequence[x509.ObjectIdentifier],
        alternative_names: x509.SubjectAlternativeName | None,
        days: float,
        password: str | None,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        issuer_key_id = self._certificate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 20 * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id),
                critical=False,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
        if alternative_names is not None:
            builder = builder.add_extension(alternative_names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        chain = b"" if self._above is None else self._pem
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + chain)
        pair.private_key.write_bytes(_key_bytes(key, password))
        return pair


@dataclass(frozen=True)
class Certificates:
    """What tests of TLS usually need; names say what is wrong with the bad ones."""

    ca: Path
    server: Pair
    server_expired: Pair
    server_wrong_host: Pair
    client: Pair
    client_expired: Pair
    client_revoked: Pair
    crl: Path
    """Of the CA, with the revoked client."""
    other_ca: Path
    client_of_other_ca: Pair
    chained_server: Pair
    """For ``chained.example``, with the certificate of an intermediate CA behind its own."""
    chained_client: Pair
    wildcard_server: Pair
    """For ``*.wild.example``."""


def make_certificates(directory: Path) -> Certificates:
    """Write a whole set of PEM files into the directory."""
    authority = Authority(directory, "ca")
    other = Authority(directory, "other-ca")
    intermediate = Authority(directory, "intermediate", authority)
    revoked = authority.client("client-revoked")
    return Certificates(
        ca=authority.certificate,
        server=authority.server(),
        server_expired=authority.server("server-expired", expired=True),
        server_wrong_host=authority.server("server-wrong-host", hosts=("elsewhere.example",)),
        client=authority.client(),
        client_expired=authority.client("client-expired", expired=True),
        client_revoked=revoked,
        crl=authority.revoke(revoked),
        other_ca=other.certificate,
        client_of_other_ca=other.client("client-of-other-ca"),
        chained_server=intermediate.server("chained-server", hosts=("chained.example",)),
        chained_client=intermediate.client("chained-client"),
        wildcard_server=authority.server("wildcard-server", hosts=("*.wild.example",)),
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
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


def _key_bytes(key: ec.EllipticCurvePrivateKey, password: str | None) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
