"""Contexts of good files and bad ones, and which certificate a client is shown."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from rookery.net.certificates.context import HostNames, server_context
from rookery.net.certificates.options import KeyPair, TlsFileFault, TlsOptions
from rookery.net.layers import LayerFault
from rookery.net.tls import TlsLayer
from tests.support.certificates import Authority, Certificates, Pair, make_certificates
from tests.support.tls import Handshake, tls_context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def key_pair(pair: Pair, hosts: tuple[str, ...] = ()) -> KeyPair:
    return KeyPair(pair.certificate, pair.private_key, hosts=hosts)


def test_a_client_cannot_renegotiate_nor_compress(certificates: Certificates) -> None:
    pair = certificates.server
    options = tls_context(pair.certificate, pair.private_key).options
    assert ssl.OP_NO_RENEGOTIATION in options
    assert ssl.OP_NO_COMPRESSION in options


def test_the_ciphers_of_tls_1_2_have_forward_secrecy_and_authenticate(
    certificates: Certificates,
) -> None:
    pair = certificates.server
    context = tls_context(pair.certificate, pair.private_key)
    old = [cipher for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert old
    assert all(cipher["name"].startswith("ECDHE-") and cipher["aead"] for cipher in old)


def test_ciphers_can_be_chosen(certificates: Certificates) -> None:
    pair = certificates.server
    context = tls_context(pair.certificate, pair.private_key, ciphers="ECDHE-ECDSA-AES128-SHA256")
    assert "ECDHE-ECDSA-AES128-SHA256" in {cipher["name"] for cipher in context.get_ciphers()}
    with pytest.raises(TlsFileFault, match="ciphers 'NONE-SUCH' leave none to choose"):
        tls_context(pair.certificate, pair.private_key, ciphers="NONE-SUCH")


def test_the_oldest_version_can_be_raised(certificates: Certificates) -> None:
    pair = certificates.server
    context = tls_context(pair.certificate, pair.private_key, minimum_version="1.3")
    client = ssl.create_default_context(cafile=certificates.ca)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(LayerFault, match="speaks no TLS version that this listener takes"):
        Handshake(TlsLayer(context), client)


class TestHosts:
    """Which certificate a client is shown."""

    def shown(self, certificates: Certificates, options: TlsOptions, host: str | None) -> list[str]:
        client = ssl.create_default_context(cafile=certificates.ca)
        client.check_hostname = False
        client.set_alpn_protocols(["mqtt"])
        handshake = Handshake(TlsLayer(server_context(options).context), client, host)
        assert handshake.tls.selected_alpn_protocol() == "mqtt"
        certificate = handshake.tls.getpeercert()
        assert certificate is not None
        names: list[str] = [str(name) for _, name in certificate["subjectAltName"]]  # type: ignore[misc]
        return names

    @pytest.mark.parametrize(
        ("host", "name"),
        [
            ("localhost", "localhost"),
            ("chained.example", "chained.example"),
            ("CHAINED.example", "chained.example"),
            ("a.wild.example", "*.wild.example"),
            ("a.b.wild.example", "localhost"),
            ("wild.example", "localhost"),
            ("unknown.example", "localhost"),
            (None, "localhost"),
        ],
    )
    def test_by_the_name_that_the_client_says(
        self, certificates: Certificates, host: str | None, name: str
    ) -> None:
        more = (key_pair(certificates.chained_server), key_pair(certificates.wildcard_server))
        options = TlsOptions(key_pair(certificates.server), more)
        assert name in self.shown(certificates, options, host)

    def test_hosts_stand_in_for_the_names_in_the_certificate(
        self, certificates: Certificates
    ) -> None:
        more = (key_pair(certificates.chained_server, ("other.example",)),)
        options = TlsOptions(key_pair(certificates.server), more)
        assert self.shown(certificates, options, "other.example") == ["chained.example"]
        assert "localhost" in self.shown(certificates, options, "chained.example")

    def test_the_first_certificate_keeps_its_hosts(self, certificates: Certificates) -> None:
        more = (key_pair(certificates.chained_server, ("localhost",)),)
        options = TlsOptions(key_pair(certificates.server), more)
        assert "localhost" in self.shown(certificates, options, "localhost")

    def test_a_certificate_without_a_name_needs_hosts(
        self, certificates: Certificates, tmp_path: Path
    ) -> None:
        nameless = Authority(tmp_path).server("nameless", hosts=())
        options = TlsOptions(key_pair(certificates.server), (key_pair(nameless),))
        with pytest.raises(TlsFileFault, match=r"nameless\.pem names no host: say in hosts"):
            server_context(options)
        named = TlsOptions(
            key_pair(certificates.server), (key_pair(nameless, ("nameless.example",)),)
        )
        assert len(server_context(named).facts) == 2

    def test_client_certificates_are_asked_for_under_every_host(
        self, certificates: Certificates
    ) -> None:
        options = TlsOptions(
            key_pair(certificates.server),
            (key_pair(certificates.chained_server),),
            ca=certificates.ca,
            client_certificate="required",
        )
        context = server_context(options).context
        client = ssl.create_default_context(cafile=certificates.ca)
        with pytest.raises(LayerFault, match="showed no certificate"):
            Handshake(TlsLayer(context), client, "chained.example")
        client.load_cert_chain(certificates.client.certificate, certificates.client.private_key)
        layer = TlsLayer(context)
        Handshake(layer, client, "chained.example")
        assert layer.peer_certificate() is not None

    def test_a_trailing_dot_is_no_other_host(self) -> None:
        names, context = HostNames(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        names.add("A.example", context)
        assert names.find("a.example.") is context
        assert names.find("example") is None


class TestRevocation:
    def begin(self, certificates: Certificates, pair: Pair, crl: Path, **more: str) -> TlsLayer:
        server = certificates.server
        context = tls_context(
            server.certificate, server.private_key, certificates.ca, "required", crl=crl, **more
        )
        client = ssl.create_default_context(cafile=certificates.ca)
        client.load_cert_chain(pair.certificate, pair.private_key)
        layer = TlsLayer(context)
        Handshake(layer, client, "localhost")
        return layer

    def test_a_revoked_certificate_is_not_accepted(self, certificates: Certificates) -> None:
        assert self.begin(certificates, certificates.client, certificates.crl).opened
        with pytest.raises(LayerFault, match="not accepted: certificate revoked"):
            self.begin(certificates, certificates.client_revoked, certificates.crl)

    def test_a_list_out_of_date_lets_nobody_in(self, tmp_path: Path) -> None:
        made = make_certificates(tmp_path)
        authority = Authority(tmp_path, "old")
        crl = authority.revoke(days=-1)
        server, client = made.server, authority.client()
        context = tls_context(
            server.certificate, server.private_key, authority.certificate, "required", crl=crl
        )
        shown = ssl.create_default_context(cafile=made.ca)
        shown.load_cert_chain(client.certificate, client.private_key)
        with pytest.raises(LayerFault, match="not accepted: CRL has expired"):
            Handshake(TlsLayer(context), shown, "localhost")

    def test_the_authorities_are_looked_up_when_the_chain_is(self, tmp_path: Path) -> None:
        root = Authority(tmp_path, "root")
        middle = Authority(tmp_path, "middle", root)
        client, server = middle.client(), root.server()
        lists = middle.revoke(name="middle-crl").read_bytes()
        crl = tmp_path / "lists.pem"
        (tmp_path / "others").mkdir()
        others = make_certificates(tmp_path / "others")
        certificates = replace(others, ca=root.certificate, server=server)
        crl.write_bytes(lists)
        assert self.begin(certificates, client, crl).opened
        with pytest.raises(LayerFault, match="unable to get certificate CRL"):
            self.begin(certificates, client, crl, crl_check="chain")
        crl.write_bytes(lists + root.revoke(name="root-crl").read_bytes())
        assert self.begin(certificates, client, crl, crl_check="chain").opened
        revoked = root.revoke(Pair(middle.certificate, middle.certificate), name="root-crl")
        crl.write_bytes(lists + revoked.read_bytes())
        assert self.begin(certificates, client, crl).opened
        with pytest.raises(LayerFault, match="not accepted: certificate revoked"):
            self.begin(certificates, client, crl, crl_check="chain")


def test_a_chain_is_sent_so_that_the_root_is_enough(certificates: Certificates) -> None:
    pair = certificates.chained_server
    context = tls_context(pair.certificate, pair.private_key)
    client = ssl.create_default_context(cafile=certificates.ca)
    assert Handshake(TlsLayer(context), client, "chained.example").tls.getpeercert()


def test_an_encrypted_key_opens_with_its_password(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server(password="secret")
    context = tls_context(pair.certificate, pair.private_key, password="secret")
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
            tls_context(certificate, private_key, ca, "required")
        assert str(caught.value) == text


def test_a_wrong_password_is_named(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server(password="secret")
    with pytest.raises(TlsFileFault, match="or its password is wrong"):
        tls_context(pair.certificate, pair.private_key, password="wrong")


def test_a_crl_file_that_is_none_is_named(certificates: Certificates, tmp_path: Path) -> None:
    pair = certificates.server
    text = tmp_path / "text.pem"
    text.write_text("not PEM")
    for path, problem in (
        (tmp_path / "no", "cannot be read: No such file or directory"),
        (text, "holds no valid CRL in PEM form"),
        (certificates.ca, "holds no CRL, only certificates"),
    ):
        with pytest.raises(TlsFileFault) as caught:
            tls_context(pair.certificate, pair.private_key, certificates.ca, "required", crl=path)
        assert str(caught.value) == f"CRL file {path} {problem}"


def test_what_is_in_use_is_known(certificates: Certificates) -> None:
    options = TlsOptions(
        key_pair(certificates.chained_server),
        (key_pair(certificates.server),),
        ca=certificates.ca,
        client_certificate="optional",
        crl=certificates.crl,
    )
    facts = server_context(options).facts
    assert [(fact.use, fact.subject) for fact in facts] == [
        ("certificate", "chained-server"),
        ("chain", "Test intermediate"),
        ("certificate", "server"),
        ("ca", "Test ca"),
        ("crl", "Test ca"),
    ]
