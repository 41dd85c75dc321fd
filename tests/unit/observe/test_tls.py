from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from rookery.observe.tls import CertificateEnd, TlsCollector, TlsFigures

END = CertificateEnd("certificate", "/c.pem", "localhost", "A1", 1_800_000_000.0)
FIGURES = TlsFigures("tls", 5, 2, 1, 4, 3, False, (END,))


def registry(*figures: TlsFigures) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(TlsCollector(lambda: figures, lambda: 9))
    return made


def test_every_figure_is_told() -> None:
    lines = generate_latest(registry(FIGURES)).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'emqx_tls_handshakes_total{listener="tls",result="done"} 5.0',
        'emqx_tls_handshakes_total{listener="tls",result="resumed"} 2.0',
        'emqx_tls_handshakes_total{listener="tls",result="failed"} 1.0',
        'emqx_tls_reloads_total{listener="tls",result="done"} 4.0',
        'emqx_tls_reloads_total{listener="tls",result="failed"} 3.0',
        'emqx_tls_reload_failed{listener="tls"} 1.0',
        (
            'emqx_cert_expiry_timestamp_seconds{file="/c.pem",listener="tls",serial="A1",'
            'subject="localhost",use="certificate"} 1.8e+09'
        ),
        "emqx_tls_handshakes_waiting 9.0",
    ]


def test_openmetrics_takes_them() -> None:
    assert list(parse_openmetrics(generate_openmetrics(registry(FIGURES)).decode()))
    assert list(parse_openmetrics(generate_openmetrics(registry()).decode()))
