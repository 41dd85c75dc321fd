import pytest

from rookery_bench import wire
from rookery_bench.measurement import Measurement
from rookery_bench.paced import PacedLoad
from rookery_bench.peers import Broker
from rookery_bench.scenarios import Paced


def run(running: PacedLoad, seconds: float) -> Measurement:
    try:
        return running.run(seconds=seconds, warm_up_seconds=0.05)
    finally:
        running.close()


@pytest.mark.parametrize("version", [wire.V3_1_1, wire.V5])
def test_the_beat_is_kept_and_everything_arrives(mosquitto: Broker, version: int) -> None:
    running = PacedLoad(Paced(20, 500, version), mosquitto.address, mosquitto.pid)
    measured = run(running, seconds=0.4)
    assert measured.faults == []
    assert measured.per_second == pytest.approx(500, rel=0.2)
    assert measured.latency is not None
    assert measured.latency.p50_us < 100_000


def test_a_pair_has_one_message_under_way(mosquitto: Broker) -> None:
    running = PacedLoad(Paced(1, 1_000_000), mosquitto.address, mosquitto.pid)
    (fault,) = run(running, seconds=0.1).faults
    assert "were not sent: still one under way" in fault


def test_a_wrong_number_is_a_fault(mosquitto: Broker) -> None:
    running = PacedLoad(Paced(2, 200), mosquitto.address, mosquitto.pid)
    running.pairs[1].delivered = 1
    assert "message 0 instead of 1" in run(running, seconds=0.1).faults


def test_what_the_broker_swallows_is_a_fault(mosquitto: Broker) -> None:
    running = PacedLoad(Paced(2, 200), mosquitto.address, mosquitto.pid)
    assert run(running, seconds=0.1).faults == []
    running.pairs[1].sent += 2
    assert running.faults() == ["2 lost, 2 never acknowledged"]
