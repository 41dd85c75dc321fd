import pytest

from rookery_bench import wire
from rookery_bench.crowd import Crowd
from rookery_bench.links import Address
from rookery_bench.measurement import Measurement
from rookery_bench.peers import Broker
from rookery_bench.scenarios import Connecting, Idle


def run(load: Connecting | Idle, address: Address, pid: int) -> Measurement:
    crowd = Crowd(load, address, pid)
    try:
        return crowd.run()
    finally:
        crowd.close()


@pytest.mark.parametrize("version", [wire.V3_1_1, wire.V5])
def test_connects_are_counted(mosquitto: Broker, version: int) -> None:
    measured = run(Connecting(100, 8, version), mosquitto.address, mosquitto.pid)
    assert measured.faults == []
    assert 1 < measured.value < 5_000
    assert measured.latency is not None


def test_idle_clients_take_memory(mosquitto: Broker) -> None:
    measured = run(Idle(300, 8), mosquitto.address, mosquitto.pid)
    assert measured.faults == []
    assert 0 <= measured.value < 50_000
    assert measured.generator_us is None


def test_a_refusal_is_a_fault(mosquitto: Broker) -> None:
    wrong = Address(mosquitto.address.port, "bench", "wrong")
    assert "refused CONNECT" in run(Connecting(5, 2), wrong, mosquitto.pid).faults[0]
