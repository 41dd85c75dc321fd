"""The listeners as the configuration asks for them."""

from pathlib import Path

from rookery.config.listeners import Listener, ServerCertificate
from rookery.config.settings import to_rates
from rookery.engine.gate import Quota
from rookery.net.acceptor import Transport
from rookery.net.certificates.listener import ListenerTls
from rookery.net.certificates.options import ALPN_MQTT, ALPN_WEBSOCKET, KeyPair, TlsOptions
from rookery.net.listening import TcpSpec, UnixSpec


def spec_of(listener: Listener) -> TcpSpec | UnixSpec:
    """Where a listener listens."""
    assert listener.name is not None
    if listener.type == "unix":
        assert listener.path is not None
        return UnixSpec(listener.name, listener.path, backlog=listener.backlog)
    assert listener.host is not None and listener.port is not None
    return TcpSpec(
        listener.name, listener.host, listener.port, listener.reuse_port, listener.backlog
    )


def transport_of(listener: Listener, tls: ListenerTls | None) -> Transport:
    """What lies between a listener's sockets and its links."""
    path = listener.path if listener.type in ("ws", "wss") else None
    return Transport(listener.proxy_protocol, tls, path)


def tls_options_of(listener: Listener) -> TlsOptions | None:
    """The TLS of a listener, if it has any."""
    tls = listener.tls
    if tls is None:
        return None
    return TlsOptions(
        pair=_pair(tls),
        more=tuple(_pair(each) for each in tls.certificates),
        ca=None if tls.ca is None else Path(tls.ca),
        client_certificate=tls.client_certificate,
        crl=None if tls.crl is None else Path(tls.crl),
        crl_check=tls.crl_check,
        minimum_version=tls.minimum_version,
        ciphers=tls.ciphers,
        alpn=ALPN_WEBSOCKET if listener.type == "wss" else ALPN_MQTT,
    )


def _pair(given: ServerCertificate) -> KeyPair:
    return KeyPair(
        Path(given.certificate),
        Path(given.private_key),
        None if given.password is None else given.password.get_secret_value(),
        given.hosts,
    )


def quota_of(listener: Listener, now: float) -> Quota:
    """What a listener's connections may take together."""
    limits = listener.limits
    return Quota(to_rates(limits), None if limits is None else limits.connections_max, now)
