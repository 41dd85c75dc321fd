"""TLS on a byte stream: the server's side, by OpenSSL over memory buffers."""

import ssl
from contextlib import suppress
from typing import Final

from rookery.net.certificates.peer import read_certificate
from rookery.net.layers import Layer, LayerFault
from rookery.ports import PeerCertificate

READ_BYTES: Final = 65536
"""How much decrypted data is asked for at once; OpenSSL gives at most one record of 16 KB."""

REASONS: Final = {
    "HTTP_REQUEST": "plain HTTP on a TLS listener",
    "HTTPS_PROXY_REQUEST": "plain HTTP on a TLS listener",
    "WRONG_VERSION_NUMBER": "not TLS: does the client connect without it?",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate, and this listener requires one",
    "UNSUPPORTED_PROTOCOL": "the client speaks no TLS version that this listener takes",
    "NO_SHARED_CIPHER": "client and server have no cipher in common",
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust the server's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client refused the server's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client refused the server's certificate",
    "TLSV1_ALERT_INTERNAL_ERROR": "the client gave up: does the certificate name the host it connects to?",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client found the server's certificate expired",
}
"""OpenSSL's names for the faults that people meet, in words that say what to look at."""


class TlsLayer(Layer):
    """Decrypts what comes from below and encrypts what goes there."""

    def __init__(self, context: ssl.SSLContext, wall: float = 0.0) -> None:
        """``wall`` is the time now: the certificate of a session that is resumed must last until then."""
        super().__init__()
        self._wall = wall
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
        if self._tls.session_reused:
            self._check_resumed()
        self.opened = True

    def _check_resumed(self) -> None:
        """Refuse a certificate that ended since: OpenSSL verifies none when a session is resumed.

        One that was revoked since cannot come here: a new CRL makes a new context, and so new ticket keys.
        """
        certificate = self._tls.getpeercert() or {}
        not_after = certificate.get("notAfter")
        if isinstance(not_after, str) and ssl.cert_time_to_seconds(not_after) < self._wall:
            self._receiving = self._sending = False
            raise LayerFault(
                "TLS handshake failed: the client's certificate is not accepted: certificate has expired"
            )

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

    def resumed(self) -> bool:
        """Whether the handshake took up an earlier session."""
        return bool(self._tls.session_reused)

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
