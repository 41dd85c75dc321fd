"""What a node says of itself, read from its metrics port as a monitoring system does."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.support.broker import RunningBroker

SETTINGS = {"metrics.enabled": True, "metrics.host": "127.0.0.1", "broker.metrics_port": 0}


def metric(broker: RunningBroker, name: str, **labels: str) -> float:
    """The value of one metric as it stands."""
    host, port = broker.listener("metrics")
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"no metric {name} {labels}")
