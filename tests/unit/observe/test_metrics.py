import time

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from rookery.engine.stats import DROP_EXPIRED, DROP_REASONS, END_REASONS, END_TAKEOVER, Stats
from rookery.mqtt.types import ReasonCode
from rookery.observe.lag import LagProbe
from rookery.observe.metrics import COUNTERS, GAUGES, NodeCollector, node_registry
from tests.support.gauges import Standing

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Clock:
    def monotonic(self) -> float:
        return 130.5

    def wall(self) -> float:
        return 0.0


def collector(stats: Stats, lag: LagProbe | None = None) -> NodeCollector:
    return NodeCollector(
        stats, Standing(), lag or LagProbe(stats), Clock(), version="1.2.3", compiled=True
    )


def scraped(stats: Stats, lag: LagProbe | None = None) -> Samples:
    text = generate_latest(node_registry(collector(stats, lag))).decode()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("emqx_go_connections_total", {}),
        ("emqx_go_supervisor_restarts_total", {"actor_id": "session"}),
        ("emqx_connections_count", {}),
        ("emqx_sessions_count", {}),
        ("emqx_subscriptions_count", {}),
        ("emqx_messages_received_total", {}),
        ("emqx_messages_sent_total", {}),
        ("emqx_messages_dropped_total", {"reason": "queue_full"}),
        ("emqx_packets_received_total", {}),
        ("emqx_packets_sent_total", {}),
        ("emqx_uptime_seconds", {}),
        ("emqx_eventloop_lag_seconds", {}),
        ("emqx_retained_count", {}),
        ("emqx_build_info", {"version": "1.2.3", "compiled": "true"}),
        ("emqx_connect_total", {"result": "success"}),
        ("process_open_fds", {}),
        ("process_resident_memory_bytes", {}),
        ("python_gc_collections_total", {"generation": "2"}),
    ],
)
def test_the_names_that_dashboards_ask_for_are_there(name: str, labels: dict[str, str]) -> None:
    value(scraped(Stats(0.0)), name, **labels)


def test_every_plain_counter_of_the_node_is_exported_with_its_own_value() -> None:
    stats = Stats(100.0)
    plain = [
        name
        for name in dir(stats)
        if not name.startswith("_") and type(getattr(stats, name)) is int
    ]
    for number, name in enumerate(plain, start=1000):
        setattr(stats, name, number)
    exported = list(scraped(stats).values())
    for name in plain:
        assert exported.count(getattr(stats, name)) == 1, name


@pytest.mark.parametrize(("name", "attribute"), [counter[:2] for counter in COUNTERS])
def test_each_counter_has_its_name(name: str, attribute: str) -> None:
    stats = Stats(0.0)
    setattr(stats, attribute, 41)
    assert value(scraped(stats), name + "_total") == 41


@pytest.mark.parametrize(("name", "attribute"), [gauge[:2] for gauge in GAUGES])
def test_each_gauge_is_asked_for(name: str, attribute: str) -> None:
    assert value(scraped(Stats(0.0)), name) == getattr(Standing(), attribute)()


def test_every_reason_is_there_from_the_start() -> None:
    samples = scraped(Stats(0.0))
    for reason in DROP_REASONS:
        assert value(samples, "emqx_messages_dropped_total", reason=reason) == 0
    for reason in END_REASONS:
        assert value(samples, "emqx_disconnects_total", reason=reason) == 0
    for result in ("success", "bad_user_name_or_password", "not_authorized", "server_busy"):
        assert value(samples, "emqx_connect_total", result=result) == 0


def test_labelled_counters_count_by_label() -> None:
    stats = Stats(0.0)
    stats.drop(DROP_EXPIRED, 3)
    stats.disconnect(END_TAKEOVER)
    stats.refuse_connect(ReasonCode.BANNED)
    stats.connects_accepted = 5
    stats.messages_sent_qos1 = 7
    stats.messages_received_qos2 = 8
    samples = scraped(stats)
    assert value(samples, "emqx_messages_dropped_total", reason="expired") == 3
    assert value(samples, "emqx_disconnects_total", reason="takeover") == 1
    assert value(samples, "emqx_connect_total", result="banned") == 1
    assert value(samples, "emqx_connect_total", result="success") == 5
    assert value(samples, "emqx_messages_sent_by_qos_total", qos="1") == 7
    assert value(samples, "emqx_messages_received_by_qos_total", qos="2") == 8


def test_a_refusal_that_no_connack_should_tell_is_still_counted() -> None:
    stats = Stats(0.0)
    stats.refuse_connect(ReasonCode.KEEP_ALIVE_TIMEOUT)
    assert value(scraped(stats), "emqx_connect_total", result="keep_alive_timeout") == 1


def test_uptime_and_lag() -> None:
    stats = Stats(100.0)
    lag = LagProbe(stats)
    lag.note(0.25, now=1.0)
    samples = scraped(stats, lag)
    assert value(samples, "emqx_uptime_seconds") == 30.5
    assert value(samples, "emqx_eventloop_lag_seconds") == 0.25


def test_an_interpreted_core_says_so() -> None:
    stats = Stats(0.0)
    plain = NodeCollector(stats, Standing(), LagProbe(stats), Clock(), "1.2.3", compiled=False)
    text = generate_latest(node_registry(plain)).decode()
    assert 'emqx_build_info{compiled="false",version="1.2.3"} 1.0' in text


def test_openmetrics_takes_it_too() -> None:
    text = generate_openmetrics(node_registry(collector(Stats(0.0)))).decode()
    names = {family.name for family in parse_openmetrics(text)}
    assert {"emqx_messages_dropped", "emqx_build", "emqx_connections_count"} <= names


def test_a_scrape_does_not_stall_the_loop() -> None:
    registry = node_registry(collector(Stats(0.0)))
    generate_latest(registry)
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        generate_latest(registry)
        durations.append(time.perf_counter() - began)
    assert min(durations) < 0.05
