"""Who is let in by a certificate, and by which part of it."""

import asyncio

import pytest

from rookery.auth.certificate import PARTS, CertificateSource, part_of
from rookery.auth.source import NotKnown
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, PeerCertificate, Refused

CERTIFICATE = PeerCertificate(
    common_name="meter-7",
    subject="CN=meter-7,O=Example",
    serial="ff",
    fingerprint_sha256="ab12",
    dns_names=("one.example", "two.example"),
    email_addresses=("meter@example.org",),
    uris=("urn:meter:7",),
)


def attempt(client_id: str = "c1", certificate: PeerCertificate | None = CERTIFICATE) -> Attempt:
    return Attempt(client_id, "somebody", b"p", "192.0.2.7", "tls", certificate)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("cn", "meter-7"),
        ("subject", "CN=meter-7,O=Example"),
        ("serial", "ff"),
        ("fingerprint_sha256", "ab12"),
        ("san_dns", "one.example"),
        ("san_email", "meter@example.org"),
        ("san_uri", "urn:meter:7"),
    ],
)
def test_a_client_is_who_its_certificate_says(part, name):
    verdict = CertificateSource(part).authenticate(attempt())
    assert isinstance(verdict, Accepted)
    principal = verdict.principal
    assert (principal.name, principal.client_id, principal.source) == (name, "c1", "certificate")
    assert principal.attributes["cert_fingerprint"] == "ab12"
    assert verdict.client_id == ""


def test_a_client_without_a_certificate_is_left_to_others():
    verdict = CertificateSource().authenticate(attempt(certificate=None))
    assert verdict == NotKnown("the client showed no certificate")


@pytest.mark.parametrize("part", [part for part in PARTS if part != "fingerprint_sha256"])
def test_a_certificate_that_names_nobody_is_refused(part):
    bare = PeerCertificate(fingerprint_sha256="ab12")
    assert part_of(bare, part) == ""
    for source in (CertificateSource(part), CertificateSource("fingerprint_sha256", part)):
        verdict = source.authenticate(attempt(certificate=bare))
        assert isinstance(verdict, Refused)
        assert verdict.reason_code == ReasonCode.NOT_AUTHORIZED
        assert PARTS[part] in verdict.reason and "ab12" in verdict.reason


def test_the_client_id_must_be_that_of_the_certificate():
    source = CertificateSource("subject", "cn")
    assert isinstance(source.authenticate(attempt("meter-7")), Accepted)
    for client_id in ("meter-8", ""):
        verdict = source.authenticate(attempt(client_id))
        assert isinstance(verdict, Refused)
        assert verdict.reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        assert "'meter-7'" in verdict.reason


@pytest.mark.parametrize("client_id", ["meter-7", "other", ""])
def test_the_client_id_is_replaced_where_that_is_asked_for(client_id):
    source = CertificateSource("subject", "san_dns", client_id_replaced=True)
    verdict = source.authenticate(attempt(client_id))
    assert isinstance(verdict, Accepted)
    assert verdict.client_id == "one.example"


def test_the_rest_of_a_source():
    source = CertificateSource()
    accepted = source.authenticate(attempt())
    assert isinstance(accepted, Accepted)
    assert (source.generation, source.still_admits(accepted.principal)) == (0, None)
    assert source.methods == frozenset()
    with pytest.raises(ValueError, match="X"):
        source.begin("X", attempt())
    asyncio.run(source.start())
    asyncio.run(source.stop())
