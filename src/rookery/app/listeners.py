"""The listeners as the configuration asks for them."""

from pathlib import Path

from rookery.config.listeners import Listener
from rookery.config.settings import to_rates
from rookery.engine.gate import Quota
from rookery.net.acceptor import Transport
from rookery.net.listening import TcpSpec, UnixSpec
from rookery.net.tls import server_context


def spec_of(listener: Listener) -> TcpSpec | UnixSpec:
    """Where a listener listens."""
    assert listener.name is not None
    if listener.type == "unix":
        assert listener.path is not None
        return UnixSpec(listener.name, listener.path, backlog=listener.backlog)
    assert listener.host is not None and listener.port is not None
    return TcpSpec(listener.name, listener.host, listener.port, backlog=listener.backlog)


def transport_of(listener: Listener) -> Transport:
    """What lies between a listener's sockets and its links."""
    context = None
    if listener.tls is not None:
        tls = listener.tls
        context = server_context(
            Path(tls.certificate),
            Path(tls.private_key),
            None if tls.ca is None else Path(tls.ca),
            tls.client_certificate,
            None if tls.password is None else tls.password.get_secret_value(),
        )
    path = listener.path if listener.type in ("ws", "wss") else None
    return Transport(listener.proxy_protocol, context, path)


def quota_of(listener: Listener, now: float) -> Quota:
    """What a listener's connections may take together."""
    limits = listener.limits
    return Quota(to_rates(limits), None if limits is None else limits.connections_max, now)
