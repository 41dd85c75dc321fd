"""What certificate and CRL files say, for people and for watching what runs out."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class CertificateFacts:
    """One certificate, or one revocation list, of a file."""

    use: str
    """``certificate``, ``chain``, ``ca`` or ``crl``."""
    file: Path
    subject: str
    """The common name where there is one; of a CRL its issuer's."""
    issuer: str
    names: tuple[str, ...]
    """The hosts it is for."""
    serial: str
    """In hexadecimal, as OpenSSL prints it; of a CRL empty."""
    not_before: float
    """Seconds since 1970."""
    not_after: float
    """When it ends, or when the next CRL was to come."""

    def days_left(self, wall: float) -> float:
        """Days until it ends; negative when it has."""
        return (self.not_after - wall) / 86_400


def certificates_in(file: Path, use: str) -> list[CertificateFacts]:
    """The certificates of a PEM file; empty where there is none that can be read.

    A ``certificate`` is followed by its ``chain``.
    """
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
        facts = [_facts(certificate, file, use) for certificate in found]
    except (OSError, ValueError):
        # OpenSSL judges what can be used. It is laxer, and what it takes must not be refused here.
        return []
    if use != "certificate":
        return facts
    return facts[:1] + [_facts(certificate, file, "chain") for certificate in found[1:]]


def crls_in(file: Path) -> list[CertificateFacts]:
    """The revocation lists of a PEM file; empty where there is none that can be read."""
    begin, end = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
    facts = []
    try:
        for part in file.read_bytes().split(begin)[1:]:
            crl = x509.load_pem_x509_crl(begin + part.partition(end)[0] + end)
            issuer = _common_name(crl.issuer)
            update = crl.next_update_utc
            next_update = float("inf") if update is None else update.timestamp()
            began = crl.last_update_utc.timestamp()
            facts.append(CertificateFacts("crl", file, issuer, issuer, (), "", began, next_update))
    except (OSError, ValueError):
        return []
    return facts


def _facts(certificate: x509.Certificate, file: Path, use: str) -> CertificateFacts:
    return CertificateFacts(
        use,
        file,
        _common_name(certificate.subject),
        _common_name(certificate.issuer),
        _names(certificate),
        f"{certificate.serial_number:X}",
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    names = extension.value
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def day(seconds: float) -> str:
    """A time as a date, in UTC."""
    if seconds == float("inf"):
        return "never"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
