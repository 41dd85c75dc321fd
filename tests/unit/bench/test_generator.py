"""The closed loop on a real broker, and on one that misbehaves."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rookery_bench import wire
from rookery_bench.generator import Generator
from rookery_bench.links import Address
from rookery_bench.measurement import Measurement
from rookery_bench.peers import Broker
from rookery_bench.scenarios import Saturating

LOADS = {
    "qos0": Saturating(0, 1, 1, 100, 8),
    "qos1": Saturating(1, 1, 1, 100, 8),
    "qos2": Saturating(2, 1, 1, 100, 8),
    "fan-out": Saturating(0, 1, 5, 50, 8),
    "fan-in": Saturating(0, 5, 1, 50, 8),
    "pairs": Saturating(1, 5, 5, 50, 8),
    "version 5": Saturating(2, 2, 2, 50, 8, wire.V5),
}


@contextmanager
def generator(load: Saturating, broker: Broker) -> Iterator[Generator]:
    running = Generator(load, broker.address, broker.pid)
    try:
        yield running
    finally:
        running.close()


def run(load: Saturating, broker: Broker) -> tuple[Generator, Measurement]:
    with generator(load, broker) as running:
        return running, running.run(seconds=0.15, warm_up_seconds=0.05)


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_everything_arrives_and_costs_something(load: Saturating, mosquitto: Broker) -> None:
    running, measured = run(load, mosquitto)
    assert measured.faults == []
    assert 0.1 < measured.value < 1_000
    assert measured.generator_us is not None
    assert measured.per_second is not None
    assert measured.per_second > 100
    assert measured.latency is not None
    assert 0 < measured.latency.p50_us <= measured.latency.p99_us < 5_000_000
    copies = load.subscribers if load.publishers < load.subscribers else 1
    sent = sum(publisher.sent for publisher in running.publishers)
    assert sum(subscriber.received for subscriber in running.subscribers) == sent * copies


def test_what_the_broker_swallows_is_a_fault(mosquitto: Broker) -> None:
    with generator(LOADS["qos0"], mosquitto) as running:
        measured = running.run(seconds=0.1, warm_up_seconds=0.0)
        assert measured.faults == []
        running.publishers[0].sent += 2
        assert running.faults() == ["publisher 0: 2 lost"]


def test_what_is_never_acknowledged_is_a_fault(mosquitto: Broker) -> None:
    with generator(LOADS["qos1"], mosquitto) as running:
        running.run(seconds=0.1, warm_up_seconds=0.0)
        running.publishers[0].acked -= 3
        assert running.faults() == ["3 never acknowledged"]


def test_a_broker_that_goes_away_is_a_fault(mosquitto: Broker) -> None:
    with generator(LOADS["qos0"], mosquitto) as running:
        running.publishers[0].socket.shutdown(socket.SHUT_RDWR)
        assert running.run(seconds=0.1, warm_up_seconds=0.0).faults != []


def test_a_wrong_password_is_told_at_once(mosquitto: Broker) -> None:
    wrong = Address(mosquitto.address.port, "bench", "wrong")
    with pytest.raises(wire.WireError, match="refused CONNECT"):
        Generator(LOADS["qos0"], wrong, mosquitto.pid)
