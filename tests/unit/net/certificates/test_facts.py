from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate

from rookery.net.certificates.facts import certificates_in, crls_in, day
from tests.support.certificates import Authority, make_certificates


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_certificate_says_whom_it_is_for_and_until_when(authority: Authority) -> None:
    pair = authority.server(hosts=("a.example", "*.b.example", "127.0.0.1"))
    (fact,) = certificates_in(pair.certificate, "certificate")
    assert (fact.use, fact.subject, fact.issuer) == ("certificate", "server", "Test ca")
    assert fact.names == ("a.example", "*.b.example", "127.0.0.1")
    certificate = load_pem_x509_certificate(pair.certificate.read_bytes())
    assert int(fact.serial, 16) == certificate.serial_number
    assert fact.days_left(fact.not_after - 86_400) == 1
    assert fact.days_left(fact.not_before) == 40


def test_what_follows_a_certificate_is_its_chain(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    facts = certificates_in(made.chained_server.certificate, "certificate")
    assert [(fact.use, fact.subject) for fact in facts] == [
        ("certificate", "chained-server"),
        ("chain", "Test intermediate"),
    ]
    assert facts[1].names == ()


def test_all_authorities_of_a_file_are_told(tmp_path: Path) -> None:
    one, two = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    both = tmp_path / "both.pem"
    both.write_bytes(one.certificate.read_bytes() + two.certificate.read_bytes())
    assert [fact.use for fact in certificates_in(both, "ca")] == ["ca", "ca"]


def test_a_revocation_list_says_when_the_next_one_comes(
    authority: Authority, tmp_path: Path
) -> None:
    one = authority.revoke(authority.client())
    two = Authority(tmp_path, "two").revoke(name="crl-2", days=-1)
    both = tmp_path / "both.pem"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    facts = crls_in(both)
    assert [(fact.use, fact.subject) for fact in facts] == [
        ("crl", "Test ca"),
        ("crl", "Test two"),
    ]
    assert facts[0].days_left(facts[0].not_before) == 27
    assert facts[1].not_after < facts[0].not_after


@pytest.mark.parametrize(
    "text", ["", "words", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----"]
)
def test_nothing_is_said_of_what_cannot_be_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.pem"
    assert certificates_in(path, "ca") == crls_in(path) == []
    path.write_text(text)
    assert certificates_in(path, "ca") == crls_in(path) == []


def test_a_certificate_in_der_is_not_taken_for_pem(authority: Authority, tmp_path: Path) -> None:
    certificate = load_pem_x509_certificate(authority.certificate.read_bytes())
    path = tmp_path / "x.der"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    assert certificates_in(path, "ca") == []


def test_days_are_written_in_utc() -> None:
    assert day(0.0) == "1970-01-01 00:00 UTC"
    assert day(float("inf")) == "never"
