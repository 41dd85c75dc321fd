import ssl
from pathlib import Path

import pytest

from rookery.net.certificates.development import (
    is_client_name,
    is_host,
    make_development_certificates,
)
from rookery.net.certificates.facts import certificates_in
from rookery.net.certificates.options import TlsFileFault
from rookery.net.tls import TlsLayer
from tests.support.tls import Handshake, tls_context

WALL = 1_800_000_000.0


def test_what_is_made_can_be_used_at_once(tmp_path: Path) -> None:
    import time

    made = make_development_certificates(tmp_path / "new", ["a.example"], ["bob"], 7, time.time())
    server = made.server
    context = tls_context(server.certificate, server.private_key, made.ca.certificate, "required")
    client = ssl.create_default_context(cafile=made.ca.certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    (bob,) = made.clients
    client.load_cert_chain(bob.certificate, bob.private_key)
    for host in ("a.example", "localhost", "127.0.0.1", "::1"):
        layer = TlsLayer(context)
        Handshake(layer, client, host)
        certificate = layer.peer_certificate()
        assert certificate is not None
        assert certificate.common_name == "bob"


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    make_development_certificates(tmp_path, [], ["bob"], 7, WALL)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o600} == {
        "ca.key",
        "server.key",
        "bob.key",
    }
    assert len(modes) == 6


def test_they_are_good_for_as_long_as_asked(tmp_path: Path) -> None:
    made = make_development_certificates(tmp_path, ["a.example"], [], 7, WALL)
    assert made.not_after == WALL + 7 * 86_400
    (fact,) = certificates_in(made.server.certificate, "certificate")
    assert (fact.not_after, fact.names) == (
        made.not_after,
        ("a.example", "localhost", "127.0.0.1", "::1"),
    )


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    made = make_development_certificates(tmp_path, [], [], 7, WALL)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TlsFileFault, match=r"ca\.pem is there already: --force overwrites it"):
        make_development_certificates(tmp_path, [], [], 7, WALL)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    made.server.private_key.chmod(0o644)
    make_development_certificates(tmp_path, [], [], 7, WALL, force=True)
    assert made.server.private_key.stat().st_mode & 0o777 == 0o600
    assert not {path.read_bytes() for path in tmp_path.iterdir()} & set(before.values())


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TlsFileFault, match="file cannot be written: File exists"):
        make_development_certificates(tmp_path / "file", [], [], 7, WALL)


def test_hosts_and_names() -> None:
    assert all(map(is_host, ("a", "a.b-c.example", "*.a.example", "10.0.0.1", "::1")))
    assert not any(map(is_host, ("", "a b", "a..b", "a.*", "http://a", "é.example")))
    assert all(map(is_client_name, ("bob", "sensor-1.a")))
    assert not any(map(is_client_name, ("", "ca", "server", "../x", "a/b", "a" * 61)))
