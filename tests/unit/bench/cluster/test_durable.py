import socket

import pytest

from rookery_bench import wire
from rookery_bench.cluster import durable
from rookery_bench.cluster.durable import RateSearch, forget, is_kept, said
from rookery_bench.latency import Percentiles
from rookery_bench.links import Address, Spread, open_link, read_packet
from rookery_bench.measurement import Measurement
from rookery_bench.peers import Broker
from tests.unit.bench.cluster.conftest import OneBroker


@pytest.mark.parametrize("highest", [1_500, 12_300, 29_900, 49_999])
def test_the_highest_rate_that_is_kept_is_found(highest: int) -> None:
    search = RateSearch(50_000)
    best = 0
    for _ in range(9):
        rate = search.next_rate
        kept = rate <= highest
        search.tell(rate, kept=kept)
        best = max(best, rate if kept else 0)
    assert highest - 400 <= best <= highest


def test_a_search_below_nothing_still_asks_for_something() -> None:
    search = RateSearch(0)
    for _ in range(3):
        assert search.next_rate > 0
        search.tell(search.next_rate, kept=False)


def run_with(rate: float, p99_ms: float, faults: list[str]) -> Measurement:
    times = Percentiles(1_000, 2_000, p99_ms * 1_000)
    return Measurement(1, 1, rate, 1, times, faults, rate, times)


@pytest.mark.parametrize(
    ("measured", "kept"),
    [
        (run_with(10_000, 60, []), True),
        (run_with(9_600, 60, []), False),
        (run_with(10_000, 60.1, []), False),
        (run_with(10_000, 60, ["1 lost"]), False),
        (Measurement(0.0, None, None, None, None), False),
    ],
)
def test_a_rate_is_kept_when_its_acks_come_and_come_in_time(
    measured: Measurement, kept: bool
) -> None:
    assert is_kept(measured, 10_000) is kept


def test_a_try_is_told_with_what_it_showed() -> None:
    assert said("some", 9_900, run_with(9_800, 61, []), kept=False) == (
        "some at 9,900/s: 9,800 acked/s, ack p99 61 ms, not in time"
    )
    nothing = Measurement(0.0, None, None, None, None)
    assert "- acked/s, ack p99 - ms" in said("some", 9_900, nothing, kept=False)


def test_systems_are_measured_in_turn_and_the_first_is_judged(system: OneBroker) -> None:
    told: list[str] = []
    found = durable.durable([system], 3, 1, 2, 0.15, told.append)
    assert found.faults == []
    assert [line.label for line in found.lines] == [
        "some, as fast as it goes",
        "some, acknowledged in time",
    ]
    rate = found.lines[0].figures["acked/s"]
    assert rate is not None
    assert rate > 1_000
    assert len(found.verdicts) == 2
    assert len(told) == 3


def test_a_run_leaves_no_session_behind(mosquitto: Broker) -> None:
    address: Address = mosquitto.address
    open_link(address, "bench-sub-0", wire.V3_1_1, persistent=True).close()
    forget(Spread([address], [address]), 1)
    with socket.create_connection((address.host, address.port), 5) as link:
        link.sendall(
            wire.connect(
                "bench-sub-0", address.username, address.password, wire.V3_1_1, persistent=True
            )
        )
        assert read_packet(link) == (wire.CONNACK, b"\x00\x00")
