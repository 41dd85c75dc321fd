"""TLS contexts made of files: one per certificate, and the choice among them by the host a client names.

OpenSSL keeps the keys of session tickets in the context that a handshake begins with. So a new context
ends all tickets given out before it: the next handshake is a full one, with the client's certificate
verified by the files as they are now.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rookery.net.certificates.facts import CertificateFacts, certificates_in, crls_in
from rookery.net.certificates.options import CIPHERS, KeyPair, TlsFileFault, TlsOptions


@dataclass(frozen=True)
class ServerContext:
    """What a listener shows its clients, and what is known of the files behind it."""

    context: ssl.SSLContext
    facts: tuple[CertificateFacts, ...]


def server_context(options: TlsOptions) -> ServerContext:
    """Make the context of a listener.

    Raises:
        TlsFileFault: a file is missing, unreadable, not what it should be, or does not fit the others.
    """
    context = _context(options, options.pair)
    facts = certificates_in(options.pair.certificate, "certificate")
    if options.more:
        hosts = HostNames()
        own = options.pair.hosts or _hosts(facts)
        for host in own:
            hosts.add(host, None)  # A host of the first certificate stays with it.
        for pair in options.more:
            found = certificates_in(pair.certificate, "certificate")
            other = _context(options, pair)
            names = pair.hosts or _hosts(found)
            if not names:
                raise TlsFileFault(
                    f"certificate file {pair.certificate} names no host: say in hosts what it is for"
                )
            for host in names:
                hosts.add(host, other)
            facts += found
        context.sni_callback = hosts.choose
    if options.client_certificate != "none":
        assert options.ca is not None  # _context says so otherwise.
        facts += certificates_in(options.ca, "ca")
        if options.crl is not None:
            facts += crls_in(options.crl)
    return ServerContext(context, tuple(facts))


class HostNames:
    """Which context belongs to which host; the first to claim a host has it."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext | None] = {}

    def add(self, host: str, context: ssl.SSLContext | None) -> None:
        """Give a host a context, ``None`` for the listener's first one; ``*.`` stands for one label."""
        self._contexts.setdefault(host.lower(), context)

    def find(self, host: str) -> ssl.SSLContext | None:
        """The context of a host that a client named."""
        name = host.lower().rstrip(".")
        if name in self._contexts:
            return self._contexts[name]
        _, dot, parent = name.partition(".")
        return self._contexts.get(f"*.{parent}") if dot else None

    def choose(
        self, tls: ssl.SSLObject | ssl.SSLSocket, host: str | None, _first: ssl.SSLContext
    ) -> None:
        """Have a handshake go on with the certificate of the host; OpenSSL calls it."""
        found = None if host is None else self.find(host)
        if found is not None:
            tls.context = found


def _hosts(facts: Sequence[CertificateFacts]) -> tuple[str, ...]:
    return facts[0].names if facts else ()


def _context(options: TlsOptions, pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    newest = options.minimum_version == "1.3"
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest else ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers(options.ciphers or CIPHERS)
    except ssl.SSLError as error:
        raise TlsFileFault(f"ciphers {options.ciphers!r} leave none to choose") from error
    # Renegotiation lets a client make us compute at little cost of its own, and nobody needs it.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(list(options.alpn))
    _check_certificates(pair.certificate, "certificate")
    _load_key(context, pair)
    _verify_clients(context, options)
    return context


def _verify_clients(context: ssl.SSLContext, options: TlsOptions) -> None:
    if options.client_certificate == "none":
        return
    if options.ca is None:
        raise TlsFileFault(
            f"client certificates are {options.client_certificate}, but no CA file is named"
        )
    _check_certificates(options.ca, "CA")
    context.load_verify_locations(cafile=options.ca)
    optional = options.client_certificate == "optional"
    context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    if options.crl is None:
        return
    _check_readable(options.crl, "CRL")
    try:
        context.load_verify_locations(cafile=options.crl)
    except ssl.SSLError as error:
        raise TlsFileFault(f"CRL file {options.crl} holds no valid CRL in PEM form") from error
    if not context.cert_store_stats()["crl"]:
        raise TlsFileFault(f"CRL file {options.crl} holds no CRL, only certificates")
    whole = options.crl_check == "chain"
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN if whole else ssl.VERIFY_CRL_CHECK_LEAF


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


def _load_key(context: ssl.SSLContext, pair: KeyPair) -> None:
    key, certificate = pair.private_key, pair.certificate
    _check_readable(key, "private key")
    try:
        context.load_cert_chain(certificate, key, _password_of(key, pair.password))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"private key file {key} does not belong to certificate file {certificate}"
        elif pair.password is not None:
            text = (
                f"private key file {key} holds no private key in PEM form, or its password is wrong"
            )
        else:
            text = f"private key file {key} holds no private key in PEM form"
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
