"""TLS on a byte stream: the server's side, by OpenSSL over memory buffers."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from rookery.net.certificates import read_certificate
from rookery.net.layers import Layer, LayerFault
from rookery.ports import PeerCertificate

ClientCertificate = Literal["none", "optional", "required"]

READ_BYTES: Final = 65536
"""How much decrypted data is asked for at once; OpenSSL gives at most one record of 16 KB."""

ALPN_PROTOCOLS: Final = ("mqtt", "http/1.1")
"""What we speak inside TLS: MQTT itself, or the WebSocket upgrade. Clients that name neither are served too."""

REASONS: Final = {
    "HTTP_REQUEST": "plain HTTP on a TLS listener",
    "HTTPS_PROXY_REQUEST": "plain HTTP on a TLS listener",
    "WRONG_VERSION_NUMBER": "not TLS: does the client connect without it?",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate, and this listener requires one",
    "UNSUPPORTED_PROTOCOL": "the client speaks no TLS version from 1.2 on",
    "NO_SHARED_CIPHER": "client and server have no cipher in common",
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust the server's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client refused the server's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client refused the server's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client found the server's certificate expired",
}
"""OpenSSL's names for the faults that people meet, in words that say what to look at."""


class TlsLayer(Layer):
    """Decrypts what comes from below and encrypts what goes there."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._receiving = True
        self._sending = True

    def receive(self, data: bytes) -> bytes:
        """Decrypt all that is complete, shaking hands first. (See the base class.)"""
        if not self._receiving or not data:
            return b""
        self._incoming.write(data)
        if not self.opened:
            self._shake_hands()
            if not self.opened:
                return b""
        return self._read()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._receiving = self._sending = False
            raise LayerFault(f"TLS handshake failed: {_reason(error)}") from error
        self.opened = True

    def _read(self) -> bytes:
        received: list[bytes] = []
        try:
            # A read takes a whole record; with no bytes left another could only say that it wants more.
            while self._incoming.pending:
                data = self._tls.read(READ_BYTES)
                if not data:
                    self._receiving = False
                    self.received_eof = True
                    break
                received.append(data)
        except ssl.SSLWantReadError:
            pass  # The last record is not complete yet.
        except ssl.SSLError as error:
            self._receiving = self._sending = False
            raise LayerFault(f"TLS failed: {_reason(error)}", b"".join(received)) from error
        return received[0] if len(received) == 1 else b"".join(received)

    def send(self, data: bytes) -> bytes:
        """Encrypt ``data``, which must not be sent before the handshake. (See the base class.)"""
        if not self._sending:
            return b""
        assert self.opened, "nothing can be sent before the TLS handshake is finished"
        if data:
            written = self._tls.write(data)
            assert written == len(data), "a memory buffer takes everything at once"
        return self._outgoing.read()

    def take_output(self) -> bytes:
        """Return handshake messages, alerts and the like. (See the base class.)"""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        """Return ``close_notify`` behind what was not taken yet. (See the base class.)"""
        if self._sending and self.opened:
            # It wants the peer's close_notify, or finds a fault: nobody waits for either.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
        self._receiving = self._sending = False
        return self._outgoing.read()

    def peer_certificate(self) -> PeerCertificate | None:
        """Return the verified client certificate, if there is one."""
        # What was not asked for is not sent, and what is sent and not accepted ends the handshake.
        encoded = self._tls.getpeercert(binary_form=True) if self.opened else None
        return None if encoded is None else read_certificate(encoded)

    def version(self) -> str | None:
        """Return the TLS version agreed on, ``TLSv1.3`` say; ``None`` before the handshake."""
        return self._tls.version()

    def cipher(self) -> str | None:
        """Return the name of the cipher suite agreed on."""
        cipher = self._tls.cipher()
        return cipher[0] if cipher else None

    def alpn(self) -> str | None:
        """Return the application protocol agreed on; ``None`` where the client named none of ours."""
        return self._tls.selected_alpn_protocol()


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate is not accepted: {error.verify_message}"
    name = error.reason or ""
    return REASONS.get(name) or name.replace("_", " ").lower() or str(error)


class TlsFileFault(Exception):
    """A certificate, key or CA file cannot be used; the text names the file and what is wrong with it."""


def server_context(
    certificate: Path,
    private_key: Path,
    ca: Path | None = None,
    client_certificate: ClientCertificate = "none",
    password: str | None = None,
) -> ssl.SSLContext:
    """Return the TLS settings of a listener: TLS 1.2 and later, the interpreter's choice of ciphers.

    ``certificate`` may hold the chain up to the CA; ``ca`` holds the certificates that client certificates are
    verified by; ``password`` decrypts ``private_key``. All files are PEM.

    Raises:
        TlsFileFault: a file is missing, unreadable, not what it should be, or does not fit the others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Renegotiation lets a client make us compute at little cost of its own, and nobody needs it.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(list(ALPN_PROTOCOLS))
    _check_certificates(certificate, "certificate")
    _load_key(context, certificate, private_key, password)
    if client_certificate != "none":
        if ca is None:
            raise TlsFileFault(
                f"client certificates are {client_certificate}, but no CA file is named"
            )
        _check_certificates(ca, "CA")
        context.load_verify_locations(cafile=ca)
        optional = client_certificate == "optional"
        context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    return context


def _check_certificates(path: Path, role: str) -> None:
    """Check that the file holds certificates: OpenSSL's own errors do not say which file they mean."""
    _check_readable(path, role)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise TlsFileFault(f"{role} file {path} holds no valid certificate in PEM form") from error


def _check_readable(path: Path, role: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise TlsFileFault(f"{role} file {path} cannot be read: {error.strerror}") from error


def _load_key(
    context: ssl.SSLContext, certificate: Path, private_key: Path, password: str | None
) -> None:
    _check_readable(private_key, "private key")
    try:
        context.load_cert_chain(certificate, private_key, _password_of(private_key, password))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = (
                f"private key file {private_key} does not belong to certificate file {certificate}"
            )
        elif password is not None:
            text = f"private key file {private_key} holds no private key in PEM form, or its password is wrong"
        else:
            text = f"private key file {private_key} holds no private key in PEM form"
        raise TlsFileFault(text) from error


def _password_of(private_key: Path, password: str | None) -> Callable[[], str]:
    def answer() -> str:
        # Without an answer of ours OpenSSL would ask at the terminal, and a service would wait there for ever.
        if password is None:
            raise TlsFileFault(
                f"private key file {private_key} is encrypted and no password is given"
            )
        return password

    return answer
