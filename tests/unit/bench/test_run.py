from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rookery_bench.latency import Percentiles
from rookery_bench.measurement import Measurement
from rookery_bench.peers import Broker, Peer, PeerError, Setting
from rookery_bench.run import Runs, cores, measure, measure_all
from rookery_bench.scenarios import (
    Bursts,
    Connecting,
    DurableBounds,
    Idle,
    Load,
    Paced,
    Saturating,
    Scenario,
    Single,
    choose,
)


class Absent(Peer):
    """A broker that does not start, and tells the order in which it was asked to."""

    @contextmanager
    def running(self, core: int | None, *, durable: bool = False) -> Iterator[Broker]:
        raise PeerError(f"{self.name} is absent")
        yield


def test_brokers_take_turns_and_failures_are_faults(mosquitto_peer: Peer) -> None:
    peers: list[Peer] = [
        Absent(name, "", mosquitto_peer.command, mosquitto_peer.environment) for name in "ab"
    ]
    told: list[str] = []
    found = measure_all([(choose("connect")[0], peers)], 2, 0.1, told.append)
    assert [text.split(", ")[1:] for text in told] == [
        ["a", "round 1 of 2"],
        ["b", "round 1 of 2"],
        ["a", "round 2 of 2"],
        ["b", "round 2 of 2"],
    ]
    assert [(runs.peer, runs.faults) for runs in found] == [
        ("a", ["a is absent"] * 2),
        ("b", ["b is absent"] * 2),
    ]


def test_every_kind_of_load_is_run(mosquitto_peer: Peer) -> None:
    loads: list[Load] = [
        Saturating(0, 1, 1, 50, 8),
        Saturating(2, 1, 1, 50, 8, persistent=True),
        Paced(2, 100),
        Bursts(2, 400, 4, 40),
        Single(),
        Connecting(20, 4),
        Idle(20, 4),
    ]
    for load in loads:
        measured = measure(Scenario("a", "A", load), mosquitto_peer, 0.1)
        assert measured.faults == []


def test_brokers_keep_sessions_in_durable_cases_only(mosquitto_peer: Peer) -> None:
    asked: list[bool] = []

    def command(setting: Setting) -> list[str]:
        asked.append(setting.durable)
        return ["/bin/false"]

    peer = replace(mosquitto_peer, command=command)
    for bounds in (None, DurableBounds()):
        assert measure(Scenario("a", "A", Single(), durable=bounds), peer, 0.1).faults != []
    assert asked == [False, True]


def test_rookery_is_run_like_the_others(rookery_peer: Peer) -> None:
    measured = measure(Scenario("a", "A", Saturating(1, 2, 2, 100, 8)), rookery_peer, 0.2)
    assert measured.faults == []
    assert measured.value > 0.1


def test_the_load_and_the_broker_have_cores_of_their_own() -> None:
    broker, own = cores()
    assert broker is None or broker != own


def test_figures_are_medians_over_the_sound_runs() -> None:
    one = Measurement(1.0, None, 10.0, None, None)
    runs = Runs(Scenario("a", "A", Connecting(1, 1)), "p", [one, replace(one, value=3.0), one])
    assert (runs.value, runs.median_of(lambda measured: measured.per_second)) == (1.0, 10.0)
    assert runs.median_of(lambda measured: measured.generator_us) is None
    assert runs.latency is None
    acked = replace(one, ack_latency=Percentiles(1.0, 2.0, 3.0))
    assert Runs(runs.scenario, "p", [acked, one]).ack_latency == acked.ack_latency
    runs.measurements.append(replace(one, faults=["1 lost"]))
    assert runs.value is None
    assert runs.median_of(lambda measured: measured.value) == 1.0
