"""TLS against OpenSSL's own client: good connections, bad ones, and files that do not fit."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rookery.net.layers import LayerFault
from rookery.net.tls import ClientCertificate, TlsFileFault, TlsLayer, server_context
from tests.support.certificates import Authority, Certificates, Pair, make_certificates
from tests.support.layer_server import LayerServer, serving


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def listener(certificates: Certificates, client: ClientCertificate = "none") -> ssl.SSLContext:
    pair = certificates.server
    return server_context(pair.certificate, pair.private_key, certificates.ca, client)


def client_context(certificates: Certificates, pair: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates.ca)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.private_key)
    return context


@contextmanager
def connection(
    context: ssl.SSLContext, client: ssl.SSLContext, read_bytes: int = 65536
) -> Iterator[tuple[ssl.SSLSocket, LayerServer]]:
    with serving(lambda: TlsLayer(context), read_bytes) as (sock, server):
        tls = client.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False)
        with tls:
            yield tls, server


def read_exactly(sock: ssl.SSLSocket, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := sock.recv(65536)):
        data += more
    return data


def begin(tls: ssl.SSLSocket) -> None:
    """Shake hands and hear from the server: in TLS 1.3 the client learns only then that it is refused."""
    tls.do_handshake()
    tls.recv(1)


def layer_of(server: LayerServer) -> TlsLayer:
    assert isinstance(server.layer, TlsLayer)
    return server.layer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("read_bytes", [1, 7, 65536])
def test_data_goes_both_ways(
    certificates: Certificates, version: ssl.TLSVersion, read_bytes: int
) -> None:
    client = client_context(certificates)
    client.minimum_version = client.maximum_version = version
    with connection(listener(certificates), client, read_bytes) as (tls, server):
        tls.do_handshake()
        tls.sendall(b"hello")
        assert read_exactly(tls, 5) == b"hello"
        assert tls.unwrap() is not None  # The server answers close_notify with its own.
    assert server.layer.opened
    assert server.layer.received_eof
    assert server.fault is None
    assert layer_of(server).peer_certificate() is None


def test_what_was_agreed_on_is_told(certificates: Certificates) -> None:
    client = client_context(certificates)
    client.set_alpn_protocols(["other", "mqtt"])
    with connection(listener(certificates), client) as (tls, server):
        tls.do_handshake()
        assert tls.selected_alpn_protocol() == "mqtt"
        agreed = tls.version(), tls.cipher()
    layer = layer_of(server)
    assert layer.alpn() == "mqtt"
    assert (layer.version(), layer.cipher()) == (agreed[0], agreed[1] and agreed[1][0])


@pytest.mark.parametrize(("offered", "selected"), [(["h2", "http/1.1"], "http/1.1"), (["x"], None)])
def test_a_client_is_served_whatever_protocol_it_names(
    certificates: Certificates, offered: list[str], selected: str | None
) -> None:
    client = client_context(certificates)
    client.set_alpn_protocols(offered)
    with connection(listener(certificates), client) as (tls, server):
        tls.do_handshake()
        assert tls.selected_alpn_protocol() == selected
    assert layer_of(server).alpn() == selected


def test_before_the_handshake_nothing_is_known(certificates: Certificates) -> None:
    layer = TlsLayer(listener(certificates))
    assert not layer.opened
    assert layer.peer_certificate() is None
    assert layer.version() is None
    assert layer.cipher() is None
    assert layer.close() == b""
    assert layer.receive(b"late") == b""


@pytest.mark.parametrize("demand", ["optional", "required"])
def test_a_good_client_certificate_is_known_by_its_name(
    certificates: Certificates, demand: ClientCertificate
) -> None:
    client = client_context(certificates, certificates.client)
    with connection(listener(certificates, demand), client) as (tls, server):
        tls.sendall(b"x")
        assert read_exactly(tls, 1) == b"x"
    certificate = layer_of(server).peer_certificate()
    assert certificate is not None
    assert certificate.common_name == "client"


def test_an_optional_client_certificate_may_be_absent(certificates: Certificates) -> None:
    with connection(listener(certificates, "optional"), client_context(certificates)) as (
        tls,
        server,
    ):
        tls.sendall(b"x")
        assert read_exactly(tls, 1) == b"x"
    assert layer_of(server).peer_certificate() is None


def test_a_required_client_certificate_may_not_be_absent(certificates: Certificates) -> None:
    with (
        connection(listener(certificates, "required"), client_context(certificates)) as (
            tls,
            server,
        ),
        pytest.raises(ssl.SSLError),
    ):
        begin(tls)
    assert server.fault == (
        "TLS handshake failed: the client showed no certificate, and this listener requires one"
    )
    assert server.received == b""


@pytest.mark.parametrize("demand", ["optional", "required"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("client_expired", "certificate has expired"),
        ("client_of_other_ca", "unable to get local issuer"),
    ],
)
def test_a_bad_client_certificate_is_not_accepted(
    certificates: Certificates, demand: ClientCertificate, name: str, reason: str
) -> None:
    client = client_context(certificates, getattr(certificates, name))
    with (
        connection(listener(certificates, demand), client) as (tls, server),
        pytest.raises(ssl.SSLError),
    ):
        begin(tls)
    assert server.fault is not None
    assert server.fault.startswith(
        f"TLS handshake failed: the client's certificate is not accepted: {reason}"
    )


@pytest.mark.parametrize("name", ["server_expired", "server_wrong_host"])
def test_a_client_that_refuses_our_certificate_is_a_fault(
    certificates: Certificates, name: str
) -> None:
    pair: Pair = getattr(certificates, name)
    context = server_context(pair.certificate, pair.private_key)
    with (
        connection(context, client_context(certificates)) as (tls, server),
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        tls.do_handshake()
    assert server.fault is not None
    assert "the server's certificate" in server.fault


def test_old_tls_is_refused(certificates: Certificates) -> None:
    client = client_context(certificates)
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with connection(listener(certificates), client) as (tls, server), pytest.raises(ssl.SSLError):
        tls.do_handshake()
    assert server.fault == "TLS handshake failed: the client speaks no TLS version from 1.2 on"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "plain HTTP on a TLS listener"),
        (b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id", "not TLS"),
    ],
)
def test_a_client_without_tls_is_told_apart(
    certificates: Certificates, data: bytes, reason: str
) -> None:
    layer = TlsLayer(listener(certificates))
    with pytest.raises(LayerFault, match=reason):
        layer.receive(data)
    layer.close()
    assert layer.receive(data) == b""
    assert layer.send(b"late") == b""
    assert layer.close() == b""


class MemoryClient:
    """OpenSSL's client without a socket, so that a test decides on every byte."""

    def __init__(self, certificates: Certificates, layer: TlsLayer) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._layer = layer
        self.tls = client_context(certificates).wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )
        while not layer.opened:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            assert layer.receive(self._outgoing.read()) == b""
            self._incoming.write(layer.take_output())

    def encrypt(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        self._incoming.write(data)
        received = b""
        try:
            while more := self.tls.read(65536):
                received += more
        except ssl.SSLWantReadError:
            pass
        return received

    def close(self) -> bytes:
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()


def test_all_records_of_one_read_are_decrypted(certificates: Certificates) -> None:
    layer = TlsLayer(listener(certificates))
    client = MemoryClient(certificates, layer)
    records = b"".join(client.encrypt(bytes([number]) * 9000) for number in range(20))
    assert layer.receive(records) == b"".join(bytes([number]) * 9000 for number in range(20))


def test_more_than_a_record_is_sent_at_once(certificates: Certificates) -> None:
    layer = TlsLayer(listener(certificates))
    client = MemoryClient(certificates, layer)
    data = bytes(range(256)) * 4096
    assert client.decrypt(layer.send(data)) == data
    assert layer.send(b"") == b""


def test_data_before_the_end_is_not_lost_and_data_after_it_is(certificates: Certificates) -> None:
    layer = TlsLayer(listener(certificates))
    client = MemoryClient(certificates, layer)
    assert layer.receive(client.encrypt(b"last") + client.close() + b"junk") == b"last"
    assert layer.received_eof
    assert layer.receive(b"junk") == b""
    assert client.decrypt(layer.send(b"answer")) == b"answer"


def test_close_notify_ends_the_peers_reading(certificates: Certificates) -> None:
    layer = TlsLayer(listener(certificates))
    client = MemoryClient(certificates, layer)
    assert client.decrypt(layer.send(b"last") + layer.close()) == b"last"
    assert client.tls.read(1) == b""
    assert layer.close() == b""
    assert layer.send(b"late") == b""
    assert layer.receive(client.encrypt(b"late")) == b""


def test_a_damaged_record_is_a_fault_that_loses_nothing_before_it(
    certificates: Certificates,
) -> None:
    layer = TlsLayer(listener(certificates))
    client = MemoryClient(certificates, layer)
    record = client.encrypt(b"good")
    damaged = bytearray(client.encrypt(b"bad"))
    damaged[-1] ^= 1
    with pytest.raises(LayerFault, match="TLS failed: ") as caught:
        layer.receive(record + damaged)
    assert caught.value.received == b"good"
    assert layer.take_output() != b""  # The alert that says so.
    assert layer.receive(record) == b""


def test_sending_before_the_handshake_is_our_own_fault(certificates: Certificates) -> None:
    with pytest.raises(AssertionError):
        TlsLayer(listener(certificates)).send(b"x")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
@given(st.binary(min_size=1, max_size=300), st.booleans(), st.booleans())
def test_any_bytes_are_tls_or_a_layer_fault(
    certificates: Certificates, data: bytes, record: bool, opened: bool
) -> None:
    layer = TlsLayer(listener(certificates))
    if opened:
        MemoryClient(certificates, layer)
    if record:
        data = b"\x16\x03\x01" + len(data).to_bytes(2, "big") + data
    with suppress(LayerFault):
        layer.receive(data)
    layer.take_output()
    layer.close()


def test_a_client_cannot_renegotiate_nor_compress(certificates: Certificates) -> None:
    options = listener(certificates).options
    assert ssl.OP_NO_RENEGOTIATION in options
    assert ssl.OP_NO_COMPRESSION in options


def test_an_encrypted_key_opens_with_its_password(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server(password="secret")
    context = server_context(pair.certificate, pair.private_key, password="secret")
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE


def bad_files(
    tmp_path: Path, certificates: Certificates
) -> dict[str, tuple[Path, Path, Path | None]]:
    encrypted = Authority(tmp_path).server("encrypted", password="secret")
    text = tmp_path / "text.pem"
    text.write_text("not PEM")
    good, missing = certificates.server, tmp_path / "missing.pem"
    return {
        f"certificate file {missing} cannot be read: No such file or directory": (
            missing,
            good.private_key,
            None,
        ),
        f"certificate file {tmp_path} cannot be read: Is a directory": (
            tmp_path,
            good.private_key,
            None,
        ),
        f"certificate file {text} holds no valid certificate in PEM form": (
            text,
            good.private_key,
            None,
        ),
        f"certificate file {good.private_key} holds no valid certificate in PEM form": (
            good.private_key,
            good.private_key,
            None,
        ),
        f"private key file {missing} cannot be read: No such file or directory": (
            good.certificate,
            missing,
            None,
        ),
        f"private key file {text} holds no private key in PEM form": (good.certificate, text, None),
        f"private key file {certificates.client.private_key} does not belong to certificate file"
        f" {good.certificate}": (good.certificate, certificates.client.private_key, None),
        f"private key file {encrypted.private_key} is encrypted and no password is given": (
            encrypted.certificate,
            encrypted.private_key,
            None,
        ),
        "client certificates are required, but no CA file is named": (
            good.certificate,
            good.private_key,
            None,
        ),
        f"CA file {text} holds no valid certificate in PEM form": (
            good.certificate,
            good.private_key,
            text,
        ),
        f"CA file {missing} cannot be read: No such file or directory": (
            good.certificate,
            good.private_key,
            missing,
        ),
    }


def test_files_that_do_not_fit_are_named_with_what_is_wrong(
    tmp_path: Path, certificates: Certificates
) -> None:
    for text, (certificate, private_key, ca) in bad_files(tmp_path, certificates).items():
        with pytest.raises(TlsFileFault) as caught:
            server_context(certificate, private_key, ca, "required")
        assert str(caught.value) == text


def test_a_wrong_password_is_named(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server(password="secret")
    with pytest.raises(TlsFileFault, match="or its password is wrong"):
        server_context(pair.certificate, pair.private_key, password="wrong")


def test_a_lost_connection_is_not_an_end_in_good_order(certificates: Certificates) -> None:
    with connection(listener(certificates), client_context(certificates)) as (tls, server):
        tls.do_handshake()
        tls.shutdown(socket.SHUT_WR)
    assert not server.layer.received_eof
