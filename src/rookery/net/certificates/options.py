"""What a listener's TLS is made of: files and choices, as values that the configuration fills in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

ClientCertificate = Literal["none", "optional", "required"]
CrlCheck = Literal["leaf", "chain"]
MinimumVersion = Literal["1.2", "1.3"]

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""The TLS 1.2 suites with forward secrecy and authenticated encryption; those of 1.3 all are such."""

ALPN_MQTT: Final = ("mqtt",)
ALPN_WEBSOCKET: Final = ("http/1.1",)
"""What is spoken inside TLS. Clients that name nothing, or something else, are served too."""


class TlsFileFault(Exception):
    """A certificate, key, CA or CRL file cannot be used; the text names the file and what is wrong with it."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate with its chain, and its private key, as PEM files."""

    certificate: Path
    private_key: Path
    password: str | None = field(default=None, repr=False)
    """What decrypts ``private_key``."""
    hosts: tuple[str, ...] = ()
    """The names it is shown for, in place of those it holds."""


@dataclass(frozen=True)
class TlsOptions:
    """The TLS of one listener."""

    pair: KeyPair
    """Shown to clients that name no host, or one that no other certificate has."""
    more: tuple[KeyPair, ...] = ()
    """Shown to clients that ask for one of their hosts."""
    ca: Path | None = None
    """The certificates that client certificates are verified by."""
    client_certificate: ClientCertificate = "none"
    crl: Path | None = None
    """The revocation lists of those authorities."""
    crl_check: CrlCheck = "leaf"
    minimum_version: MinimumVersion = "1.2"
    ciphers: str | None = None
    alpn: tuple[str, ...] = ALPN_MQTT

    def files(self) -> list[Path]:
        """Every file that is named."""
        named: list[Path | None] = [self.ca, self.crl]
        for pair in (self.pair, *self.more):
            named += (pair.certificate, pair.private_key)
        return [path for path in named if path is not None]
