import math

import pytest

from rookery.engine.stats import DROP_EXPIRED, DROP_OFFLINE_QOS0, DROP_OUTPUT_FULL, Stats
from rookery.engine.sys_topics import LoadAverages, sys_messages
from tests.support.gauges import Standing


def published(stats: Stats, loads: LoadAverages | None = None, now: float = 0.0) -> dict[str, str]:
    messages = sys_messages(
        stats,
        Standing(),
        loads or LoadAverages(stats, now),
        node_id="node1",
        version="1.2.3",
        now=now,
        wall=1_700_000_000.25,
    )
    topics = [topic for topic, _ in messages]
    assert len(set(topics)) == len(topics)
    return {topic: payload.decode() for topic, payload in messages}


def test_who_and_since_when_in_both_vocabularies() -> None:
    topics = published(Stats(100.0), now=190.5)
    assert topics["$SYS/brokers"] == "node1"
    assert topics["$SYS/brokers/node1/version"] == "1.2.3"
    assert topics["$SYS/brokers/node1/sysdescr"] == "Rookery"
    assert topics["$SYS/brokers/node1/uptime"] == "90500"
    assert topics["$SYS/brokers/node1/datetime"] == "2023-11-14T22:13:20.250000+00:00"
    assert topics["$SYS/broker/version"] == "rookery version 1.2.3"
    assert topics["$SYS/broker/uptime"] == "90 seconds"


def test_every_topic_is_a_valid_topic_name() -> None:
    for topic in published(Stats(0.0)):
        assert topic.startswith("$SYS/broker")
        assert not set(topic) & set("+#\0")
        assert "//" not in topic


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("brokers/node1/stats/connections/count", 3),
        ("brokers/node1/stats/connections/max", 4),
        ("brokers/node1/stats/live_connections/count", 3),
        ("brokers/node1/stats/live_connections/max", 4),
        ("brokers/node1/stats/sessions/count", 5),
        ("brokers/node1/stats/sessions/max", 5),
        ("brokers/node1/stats/topics/count", 7),
        ("brokers/node1/stats/subscriptions/count", 11),
        ("brokers/node1/stats/subscriptions/shared/count", 4),
        ("brokers/node1/stats/retained/count", 13),
        ("broker/clients/total", 5),
        ("broker/clients/connected", 3),
        ("broker/clients/active", 3),
        ("broker/clients/disconnected", 2),
        ("broker/clients/inactive", 2),
        ("broker/clients/maximum", 5),
        ("broker/messages/stored", 30),
        ("broker/store/messages/count", 30),
        ("broker/subscriptions/count", 11),
        ("broker/shared_subscriptions/count", 4),
        ("broker/retained messages/count", 13),
    ],
)
def test_what_stands(topic: str, expected: int) -> None:
    stats = Stats(0.0)
    stats.observe_counts(connections=4, sessions=4)
    assert published(stats)["$SYS/" + topic] == str(expected)


COUNTED = {
    "bytes_received": ["metrics/bytes/received", "bytes/received"],
    "bytes_sent": ["metrics/bytes/sent", "bytes/sent"],
    "packets_received": ["metrics/packets/received", "messages/received"],
    "packets_sent": ["metrics/packets/sent", "messages/sent"],
    "payload_bytes_received": ["publish/bytes/received"],
    "payload_bytes_sent": ["publish/bytes/sent"],
    "messages_received": [
        "metrics/messages/received",
        "metrics/messages/publish",
        "metrics/packets/publish/received",
        "publish/messages/received",
    ],
    "messages_sent": [
        "metrics/messages/sent",
        "metrics/packets/publish/sent",
        "publish/messages/sent",
    ],
    "messages_received_qos0": ["metrics/messages/qos0/received"],
    "messages_received_qos1": ["metrics/messages/qos1/received"],
    "messages_received_qos2": ["metrics/messages/qos2/received"],
    "messages_sent_qos0": ["metrics/messages/qos0/sent"],
    "messages_sent_qos1": ["metrics/messages/qos1/sent"],
    "messages_sent_qos2": ["metrics/messages/qos2/sent"],
    "messages_unrouted": [
        "metrics/messages/dropped",
        "metrics/messages/dropped/no_subscribers",
    ],
    "messages_routed": ["metrics/messages/delivered"],
    "messages_acked": ["metrics/messages/acked"],
    "connections_total": ["connections/socket/count"],
    "connects_received": ["metrics/client/connect", "metrics/packets/connect/received"],
    "connects_accepted": [
        "metrics/client/connected",
        "metrics/client/connack",
        "metrics/packets/connack/sent",
    ],
    "sessions_created": ["metrics/session/created"],
    "sessions_resumed": ["metrics/session/resumed"],
    "sessions_taken_over": ["metrics/session/takenover"],
    "sessions_discarded": ["metrics/session/discarded"],
    "sessions_expired": ["metrics/session/terminated", "clients/expired"],
    "subscriptions_made": ["metrics/client/subscribe"],
    "subscriptions_ended": ["metrics/client/unsubscribe"],
}


@pytest.mark.parametrize("counter", COUNTED)
def test_a_counter_is_told_on_its_topics_and_on_no_other(counter: str) -> None:
    stats = Stats(0.0)
    before = published(stats)
    setattr(stats, counter, 41)
    after = published(stats)
    changed = {topic for topic in after if after[topic] != before[topic]}
    assert changed == {
        ("$SYS/brokers/node1/" if name.startswith("metrics/") else "$SYS/broker/") + name
        for name in COUNTED[counter]
    }
    assert {after[topic] for topic in changed} == {"41"}


def test_drops_are_told_together_and_by_reason() -> None:
    stats = Stats(0.0)
    stats.drop(DROP_EXPIRED, 3)
    stats.drop(DROP_OFFLINE_QOS0, 5)
    stats.drop(DROP_OUTPUT_FULL, 7)
    topics = published(stats)
    below = "$SYS/brokers/node1/metrics/delivery/dropped"
    assert topics[below] == "15"
    assert topics[below + "/expired"] == "3"
    assert topics[below + "/qos0_msg"] == "12"
    assert topics[below + "/queue_full"] == "0"
    assert topics["$SYS/broker/publish/messages/dropped"] == "15"


def test_refusals_and_ended_links_are_told() -> None:
    stats = Stats(0.0)
    stats.refuse_connect(0x86)
    stats.disconnect("takeover")
    topics = published(stats)
    below = "$SYS/brokers/node1/metrics/"
    assert topics[below + "packets/connack/error"] == "1"
    assert topics[below + "packets/connack/sent"] == "1"
    assert topics[below + "client/disconnected"] == "1"


def test_loads_are_told_per_minute_with_two_places() -> None:
    stats = Stats(0.0)
    loads = LoadAverages(stats, 0.0)
    stats.messages_received = 100
    loads.observe(stats, 60.0)
    topics = published(stats, loads)
    below = "$SYS/broker/load/"
    assert topics[below + "publish/received/1min"] == "63.21"
    assert topics[below + "publish/received/5min"] == "18.13"
    assert topics[below + "publish/received/15min"] == "6.45"
    loads_told = {topic.removeprefix(below) for topic in topics if topic.startswith(below)}
    names = ["messages/received", "messages/sent", "bytes/received", "bytes/sent"]
    names += ["publish/received", "publish/sent", "publish/dropped", "sockets", "connections"]
    assert loads_told == {f"{name}/{minutes}min" for name in names for minutes in (1, 5, 15)}


@pytest.mark.parametrize(
    ("counter", "load"),
    [
        ("packets_received", "messages/received"),
        ("packets_sent", "messages/sent"),
        ("bytes_received", "bytes/received"),
        ("bytes_sent", "bytes/sent"),
        ("messages_received", "publish/received"),
        ("messages_sent", "publish/sent"),
        ("connections_total", "sockets"),
        ("connects_received", "connections"),
    ],
)
def test_each_load_follows_its_counter(counter: str, load: str) -> None:
    stats = Stats(0.0)
    loads = LoadAverages(stats, 0.0)
    setattr(stats, counter, 60)
    loads.observe(stats, 10.0)
    moved = [name for name, averages in loads.per_minute.items() if any(averages)]
    assert moved == [load]


def test_dropped_messages_are_a_load_too() -> None:
    stats = Stats(0.0)
    loads = LoadAverages(stats, 0.0)
    stats.drop(DROP_EXPIRED, 60)
    loads.observe(stats, 10.0)
    assert loads.per_minute["publish/dropped"][0] > 0


def test_a_steady_rate_is_approached_and_silence_decays() -> None:
    stats = Stats(0.0)
    loads = LoadAverages(stats, 0.0)
    for step in range(1, 361):
        stats.bytes_sent += 50
        loads.observe(stats, step * 10.0)
    assert loads.per_minute["bytes/sent"] == pytest.approx([300, 300, 300], rel=0.02)
    settled = loads.per_minute["bytes/sent"][1]
    loads.observe(stats, 3600.0 + 300.0)
    assert loads.per_minute["bytes/sent"][1] == pytest.approx(settled / math.e)


def test_the_interval_of_observation_does_not_matter() -> None:
    stats = Stats(0.0)
    often, seldom = LoadAverages(stats, 0.0), LoadAverages(stats, 0.0)
    for step in range(1, 61):
        stats.packets_sent += 7
        often.observe(stats, float(step))
    seldom.observe(stats, 60.0)
    assert often.per_minute["messages/sent"] == pytest.approx(seldom.per_minute["messages/sent"])


def test_no_time_passed_is_no_observation() -> None:
    stats = Stats(0.0)
    loads = LoadAverages(stats, 5.0)
    stats.bytes_sent = 60
    loads.observe(stats, 5.0)
    assert loads.per_minute["bytes/sent"] == [0.0, 0.0, 0.0]
    loads.observe(stats, 65.0)
    assert loads.per_minute["bytes/sent"][0] == pytest.approx(60 * (1 - 1 / math.e))
