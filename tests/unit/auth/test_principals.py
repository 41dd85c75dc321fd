"""What every source says of a client."""

from rookery.auth.principals import certificate_attributes, principal_of
from rookery.ports import Attempt, PeerCertificate

CERTIFICATE = PeerCertificate("cn", "CN=cn", "ff", "ab12", ("a.example", "b.example"), ("m@x",))


def attempt(certificate: PeerCertificate | None = None) -> Attempt:
    return Attempt("c1", "u", b"p", "192.0.2.7", "tls", certificate)


def test_a_principal_says_where_it_came_from():
    found = principal_of(attempt(), "ann", "jwt", superuser=True, expires_at_wall=5.0)
    assert (found.name, found.source, found.client_id) == ("ann", "jwt", "c1")
    assert (found.address, found.listener) == ("192.0.2.7", "tls")
    assert (found.superuser, found.expires_at_wall, found.attributes) == (True, 5.0, {})


def test_a_certificate_is_known_whatever_the_source():
    found = principal_of(attempt(CERTIFICATE), "ann", "jwt", attributes={"jwt.sub": "ann"})
    assert found.attributes["cert_common_name"] == "cn"
    assert found.attributes["jwt.sub"] == "ann"


def test_the_attributes_of_a_certificate():
    assert certificate_attributes(CERTIFICATE) == {
        "cert_common_name": "cn",
        "cert_subject": "CN=cn",
        "cert_serial": "ff",
        "cert_fingerprint": "ab12",
        "cert_san_dns": "a.example,b.example",
        "cert_san_email": "m@x",
    }
