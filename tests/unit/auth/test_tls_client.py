"""Contexts towards servers: what they trust, what they show, and files that are none."""

import ssl
from pathlib import Path

import pytest

from rookery.auth.tls_client import client_context
from tests.support.certificates import make_certificates


def test_one_authority_and_a_certificate(tmp_path: Path):
    made = make_certificates(tmp_path)
    context = client_context(made.ca, made.client.certificate, made.client.private_key)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    (trusted,) = context.get_ca_certs()
    assert trusted["subject"] == ((("commonName", "Test ca"),),)


def test_those_of_the_system_where_none_is_named():
    assert client_context().verify_mode == ssl.CERT_REQUIRED


def test_files_that_are_none(tmp_path: Path):
    (tmp_path / "no.pem").write_text("nothing")
    for name in ("no.pem", "absent.pem"):
        with pytest.raises(OSError, match=r"."):
            client_context(tmp_path / name)
