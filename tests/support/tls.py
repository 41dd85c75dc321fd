"""TLS contexts as a listener has them, made of files in one line."""

import ssl
from pathlib import Path
from typing import Any

from rookery.net.certificates.context import server_context
from rookery.net.certificates.options import ClientCertificate, KeyPair, TlsOptions
from rookery.net.tls import TlsLayer


def tls_context(
    certificate: Path,
    private_key: Path,
    ca: Path | None = None,
    client_certificate: ClientCertificate = "none",
    password: str | None = None,
    **more: Any,
) -> ssl.SSLContext:
    """The context of a listener with these files; further arguments are those of ``TlsOptions``."""
    pair = KeyPair(certificate, private_key, password)
    options = TlsOptions(pair, ca=ca, client_certificate=client_certificate, **more)
    return server_context(options).context


class Handshake:
    """A handshake over memory, to its end; ``tls`` is the client's side. The layer's faults are raised."""

    def __init__(
        self,
        layer: TlsLayer,
        client: ssl.SSLContext,
        host: str | None = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if host is None:
            client.check_hostname = False
        self.tls = client.wrap_bio(incoming, outgoing, server_hostname=host, session=session)
        while not layer.opened:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            assert layer.receive(outgoing.read()) == b""
            incoming.write(layer.take_output())
        try:
            self.tls.read(
                1
            )  # The tickets of TLS 1.3 come after the handshake, or the answer in 1.2.
        except ssl.SSLWantReadError:
            pass
