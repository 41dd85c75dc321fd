from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rookery_bench import wire
from rookery_bench.bursts import BurstLoad
from rookery_bench.peers import Broker
from rookery_bench.scenarios import Bursts


@contextmanager
def bursts(broker: Broker, load: Bursts) -> Iterator[BurstLoad]:
    running = BurstLoad(load, broker.address, broker.pid)
    try:
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("version", [wire.V3_1_1, wire.V5])
def test_the_rate_is_kept_and_everything_arrives(mosquitto: Broker, version: int) -> None:
    with bursts(mosquitto, Bursts(5, 2_000, 4, 400, version)) as running:
        measured = running.run(seconds=0.4, warm_up_seconds=0.05)
    assert measured.faults == []
    assert measured.per_second == pytest.approx(2_000, rel=0.2)
    assert measured.acked_per_second == pytest.approx(2_000, rel=0.2)
    for latency in (measured.latency, measured.ack_latency):
        assert latency is not None
        assert 0 < latency.p50_us < 200_000


def test_a_full_window_sends_nothing_and_the_rate_shows_it(mosquitto: Broker) -> None:
    with bursts(mosquitto, Bursts(2, 1_000_000, 4, 8)) as running:
        measured = running.run(seconds=0.2, warm_up_seconds=0.0)
        assert measured.faults == []
        assert all(pair.publisher.sent % 4 == 0 for pair in running.pairs)
    assert measured.per_second is not None
    assert measured.per_second < 500_000


def test_what_the_broker_swallows_is_a_fault(mosquitto: Broker) -> None:
    with bursts(mosquitto, Bursts(2, 400, 4, 40)) as running:
        assert running.run(seconds=0.1, warm_up_seconds=0.0).faults == []
        running.pairs[1].publisher.sent += 2
        assert running.faults() == ["2 lost"]
        running.pairs[1].publisher.sent -= 2
        running.pairs[0].publisher.acked -= 3
        assert running.faults() == ["3 never acknowledged"]


def test_the_time_of_a_burst_ends_with_its_last_ack(mosquitto: Broker) -> None:
    with bursts(mosquitto, Bursts(1, 400, 4, 40)) as running:
        (pair,) = running.pairs
        pair._sent.append((4, 0))  # A burst that never left, so that no ack comes by itself.
        pair.publisher.acked = 3
        pair.read_acks(700)
        assert pair.ack_ns == []
        pair.publisher.acked = 4
        pair.read_acks(800)
        assert pair.ack_ns == [800]


def test_each_burst_has_its_time(mosquitto: Broker) -> None:
    with bursts(mosquitto, Bursts(1, 400, 4, 40)) as running:
        (pair,) = running.pairs
        pair.publish(0)
        pair.publish(500)
        pair.publisher.socket.setblocking(True)
        while pair.publisher.acked < 8:
            pair.read_acks(1_000)
        assert pair.ack_ns == [1_000, 500]
