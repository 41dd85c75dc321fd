"""What is asked about a client's certificate, read from its encoded form."""

import hashlib

from cryptography import x509
from cryptography.x509.oid import NameOID

from rookery.ports import PeerCertificate


def read_certificate(encoded: bytes) -> PeerCertificate:
    """Read a certificate that OpenSSL has verified.

    OpenSSL takes certificates that a stricter reader refuses, with a negative serial number say. Of such
    a one only the fingerprint is told, so that it can be no one's name by mistake.
    """
    fingerprint = hashlib.sha256(encoded).hexdigest()
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        names = _alternative_names(certificate)
        return PeerCertificate(
            common_name=_common_name(certificate.subject),
            subject=certificate.subject.rfc4514_string(),
            serial=f"{certificate.serial_number:x}",
            fingerprint_sha256=fingerprint,
            dns_names=tuple(names.get_values_for_type(x509.DNSName)),
            email_addresses=tuple(names.get_values_for_type(x509.RFC822Name)),
            uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        )
    except (ValueError, x509.DuplicateExtension):
        return PeerCertificate(fingerprint_sha256=fingerprint)


def _common_name(subject: x509.Name) -> str:
    """The most specific one, which is the last."""
    found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])
