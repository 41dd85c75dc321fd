"""The TLS of a node: its listeners' certificates kept up to date, watched and told of."""

from collections.abc import Iterator

from rookery.app.listeners import tls_options_of
from rookery.config.listeners import Listener
from rookery.config.models import Config
from rookery.net.certificates.listener import ListenerTls
from rookery.net.certificates.reload import TlsReloader
from rookery.net.poller import Poller
from rookery.observe.tls import CertificateEnd, TlsCollector, TlsFigures
from rookery.ports import Clock


class NodeTls:
    """The listeners with TLS of one node."""

    def __init__(self, clock: Clock) -> None:
        self.reloader = TlsReloader(clock)

    def open(self, listener: Listener) -> ListenerTls | None:
        """Read the certificates of a listener, if it has any; raises ``TlsFileFault``."""
        options = tls_options_of(listener)
        assert listener.name is not None
        return None if options is None else self.reloader.open(listener.name, options)

    def reload(self, config: Config) -> None:
        """Have all files read again soon, those that the configuration names now."""
        wanted = {listener.name: listener for listener in config.active_listeners}
        for tls in self.reloader.listeners:
            listener = wanted.get(tls.name)
            options = None if listener is None else tls_options_of(listener)
            if options is not None:
                tls.wanted = options
        self.reloader.ask()

    def check(self) -> tuple[bool, str]:
        """For the readiness of the node: what ends soon is told, and makes it no less ready."""
        problems = self.reloader.problems()
        return True, "; ".join(problems) or "certificates are up to date"

    def collector(self, poller: Poller) -> TlsCollector:
        """The metrics."""
        handshakes = poller.handshakes

        def figures() -> Iterator[TlsFigures]:
            for tls in self.reloader.listeners:
                counts = handshakes.of(tls.name)
                yield TlsFigures(
                    tls.name,
                    counts.done,
                    counts.resumed,
                    counts.failed,
                    tls.reloads,
                    tls.reloads_failed,
                    tls.fault is None,
                    _ends(tls),
                )

        return TlsCollector(figures, lambda: len(handshakes.waiting))


def same_but_tls(one: Listener, other: Listener) -> bool:
    """Whether two listeners differ in nothing but what their TLS is made of."""
    if (one.tls is None) != (other.tls is None):
        return False
    return one.model_copy(update={"tls": None}) == other.model_copy(update={"tls": None})


def _ends(tls: ListenerTls) -> tuple[CertificateEnd, ...]:
    # No scrape takes a series twice: of what cannot be told apart, what ends first counts.
    found: dict[tuple[str, ...], CertificateEnd] = {}
    for fact in sorted(tls.facts, key=lambda fact: fact.not_after):
        if fact.not_after != float("inf"):
            labels = (fact.use, str(fact.file), fact.subject, fact.serial)
            found.setdefault(labels, CertificateEnd(*labels, ends=fact.not_after))
    return tuple(found.values())
