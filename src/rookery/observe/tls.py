"""The metrics of TLS: what handshakes became, and when certificates end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True)
class CertificateEnd:
    """When one certificate of a listener ends."""

    use: str
    """``certificate``, ``chain``, ``ca`` or ``crl``."""
    file: str
    subject: str
    serial: str
    ends: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class TlsFigures:
    """The TLS of one listener in figures."""

    listener: str
    done: int
    resumed: int
    failed: int
    reloads: int
    reloads_failed: int
    up_to_date: bool
    """Whether the files as they are now are in use."""
    certificates: tuple[CertificateEnd, ...]


class TlsCollector(Collector):
    """Reads the figures at each scrape."""

    def __init__(
        self, figures: Callable[[], Iterable[TlsFigures]], waiting: Callable[[], int]
    ) -> None:
        self._figures = figures
        self._waiting = waiting

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand."""
        handshakes = CounterMetricFamily(
            "emqx_tls_handshakes",
            "TLS handshakes that ended; resumed ones are among those done.",
            labels=["listener", "result"],
        )
        reloads = CounterMetricFamily(
            "emqx_tls_reloads",
            "Times that a listener's certificates were read again.",
            labels=["listener", "result"],
        )
        stale = GaugeMetricFamily(
            "emqx_tls_reload_failed",
            "1 while a listener goes on with former certificates, because the present files are no good.",
            labels=["listener"],
        )
        ends = GaugeMetricFamily(
            "emqx_cert_expiry_timestamp_seconds",
            "When a certificate ends, or a CRL is out of date.",
            labels=["listener", "use", "file", "subject", "serial"],
        )
        for each in self._figures():
            for result in ("done", "resumed", "failed"):
                handshakes.add_metric([each.listener, result], getattr(each, result))
            reloads.add_metric([each.listener, "done"], each.reloads)
            reloads.add_metric([each.listener, "failed"], each.reloads_failed)
            stale.add_metric([each.listener], 0 if each.up_to_date else 1)
            for one in each.certificates:
                labels = [each.listener, one.use, one.file, one.subject, one.serial]
                ends.add_metric(labels, one.ends)
        yield handshakes
        yield reloads
        yield stale
        yield ends
        yield GaugeMetricFamily(
            "emqx_tls_handshakes_waiting",
            "Links whose handshake waits for its turn.",
            value=self._waiting(),
        )
