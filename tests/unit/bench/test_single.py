import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rookery_bench import wire
from rookery_bench.peers import Broker
from rookery_bench.scenarios import Single
from rookery_bench.single import SingleLoad


@contextmanager
def single(broker: Broker, version: int = wire.V3_1_1) -> Iterator[SingleLoad]:
    running = SingleLoad(Single(version), broker.address, broker.pid)
    try:
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("version", [wire.V3_1_1, wire.V5])
def test_each_message_is_acknowledged_and_delivered(mosquitto: Broker, version: int) -> None:
    with single(mosquitto, version) as running:
        measured = running.run(seconds=0.2, warm_up_seconds=0.05)
    assert measured.faults == []
    assert measured.per_second is not None
    assert measured.acked_per_second == pytest.approx(measured.per_second)
    assert measured.latency is not None
    assert measured.ack_latency is not None
    # With one message under way, the way takes most of the time from one to the next.
    interval_us = 1e6 / measured.per_second
    slower_us = max(measured.latency.p50_us, measured.ack_latency.p50_us)
    assert interval_us * 0.1 < slower_us < interval_us * 1.2


def test_a_wrong_number_is_a_fault(mosquitto: Broker) -> None:
    with single(mosquitto) as running:
        running.pair.delivered = 1
        (fault,) = running.run(seconds=0.1, warm_up_seconds=0.0).faults
    assert fault == "message 0 instead of 1"


def test_silence_is_a_fault(mosquitto: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery_bench.single._ANSWER_SECONDS", 0.2)
    with single(mosquitto) as running:
        running.pair.sent += 5
        (fault,) = running.run(seconds=0.1, warm_up_seconds=0.0).faults
    assert fault == "message 5 stays without ack or delivery"


def test_half_an_ack_is_no_ack(mosquitto: Broker) -> None:
    with single(mosquitto) as running:
        pair = running.pair
        pair.publisher.close()
        pair.publisher, brokers = socket.socketpair()
        with brokers:
            pair.publish(0)
            packet_id = pair._packet[pair._packet_id_at :][:2]
            for half, acked in ((b"\x40\x02", 0), (bytes(packet_id), 1)):
                brokers.sendall(half)
                running._read(pair.publisher.fileno(), 0)
                assert len(running._ack_ns) == pair.acked == acked
    assert pair.faults == []
