"""What is read of certificates: those of the tests' authority, and one that is none."""

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rookery.net.certificates import read_certificate
from rookery.ports import PeerCertificate
from tests.support.certificates import DAY, Authority


def encoded(path: Path) -> bytes:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)


def test_everything_that_is_asked_for(tmp_path: Path):
    names = [
        x509.DNSName("one.example"),
        x509.DNSName("two.example"),
        x509.RFC822Name("meter@example.org"),
        x509.UniformResourceIdentifier("urn:meter:7"),
    ]
    pair = Authority(tmp_path).client("meter-7", alternative_names=names)
    data = encoded(pair.certificate)
    serial = x509.load_der_x509_certificate(data).serial_number
    assert read_certificate(data) == PeerCertificate(
        common_name="meter-7",
        subject="CN=meter-7",
        serial=format(serial, "x"),
        fingerprint_sha256=hashlib.sha256(data).hexdigest(),
        dns_names=("one.example", "two.example"),
        email_addresses=("meter@example.org",),
        uris=("urn:meter:7",),
    )


def test_a_certificate_without_alternative_names(tmp_path: Path):
    found = read_certificate(encoded(Authority(tmp_path).client("plain").certificate))
    assert (found.common_name, found.dns_names, found.uris) == ("plain", (), ())


def test_the_most_specific_of_several_common_names(tmp_path: Path):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, "group"),
            x509.NameAttribute(NameOID.COMMON_NAME, "meter-7"),
        ]
    )
    now = x509.load_pem_x509_certificate(
        Authority(tmp_path).certificate.read_bytes()
    ).not_valid_before_utc
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(255)
        .not_valid_before(now)
        .not_valid_after(now + DAY)
        .sign(key, hashes.SHA256())
    )
    found = read_certificate(certificate.public_bytes(serialization.Encoding.DER))
    assert found.common_name == "meter-7"
    assert found.subject == "CN=meter-7,CN=group,O=Example\\, Inc."
    assert found.serial == "ff"


def test_of_what_cannot_be_read_the_fingerprint_is_told():
    data = b"\x30\x03\x02\x01\x05"
    assert read_certificate(data) == PeerCertificate(
        fingerprint_sha256=hashlib.sha256(data).hexdigest()
    )
