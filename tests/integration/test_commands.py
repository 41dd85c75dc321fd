"""``rookery pub`` and ``rookery sub`` over the listeners that need more than a port."""

import pytest

from tests.support.command import rookery


@pytest.fixture
def trusting(node):
    host, port = node.address("tls")
    return ["-h", host, "-p", str(port), "--cafile", str(node.certificates.ca)]


def round_trip(where, topic):
    published = rookery("pub", *where, "-t", topic, "-m", "x", "-r", "-q", "2")
    assert (published.returncode, published.stderr) == (0, b"")
    done = rookery("sub", *where, "-t", topic, "-C", "1", "-q", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x\n", b"")


def test_tls(trusting, name):
    round_trip(trusting, name)


def test_unix_socket(node, name):
    round_trip(["--unix", str(node.unix_path)], name)


def test_a_certificate_that_is_not_trusted(node, name):
    host, port = node.address("tls")
    where = ["-h", host, "-p", str(port), "-t", name, "-n"]
    other = str(node.certificates.other_ca)
    for options in (["--tls"], ["--cafile", other]):
        done = rookery("pub", *where, *options)
        assert done.returncode == 1
        assert b"certificate verify failed" in done.stderr and b"Traceback" not in done.stderr
    assert rookery("pub", *where, "--insecure").returncode == 0


def test_tls_on_a_plain_port_and_the_reverse(node, trusting, name):
    _, plain = node.address("tcp")
    done = rookery("pub", *trusting, "-p", str(plain), "-t", name, "-n")
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    host, tls = node.address("tls")
    done = rookery("pub", "-h", host, "-p", str(tls), "-t", name, "-n")
    assert done.returncode == 1 and b"Traceback" not in done.stderr


def test_a_certificate_of_the_client(node, broker_with, name):
    certificates = node.certificates
    tls = {
        "certificate": str(certificates.server.certificate),
        "private_key": str(certificates.server.private_key),
        "ca": str(certificates.ca),
        "client_certificate": "required",
    }
    listener = {"type": "tls", "name": "tls", "host": "127.0.0.1", "port": 0, "tls": tls}
    host, port = broker_with(listeners=[listener]).listener("tls")
    where = ["-h", host, "-p", str(port), "--cafile", str(certificates.ca)]
    done = rookery("pub", *where, "-t", name, "-n")
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    pair = certificates.client
    shown = ["--cert", str(pair.certificate), "--key", str(pair.private_key)]
    round_trip([*where, *shown], name)
