from collections.abc import Callable

import pytest

from rookery_bench.cluster import traffic
from rookery_bench.cluster.results import Result
from rookery_bench.cluster.traffic import ALONE, CROSS, EVERYWHERE, SAME, Stage, Trial
from rookery_bench.links import Address
from rookery_bench.peers import PeerError
from tests.unit.bench.cluster.conftest import OneBroker

ADDRESSES = [Address(port, "u", "p") for port in (1, 2, 3)]


class Three(OneBroker):
    @property
    def addresses(self) -> list[Address]:
        return ADDRESSES


@pytest.mark.parametrize(
    ("way", "subscribers"),
    [(ALONE, [1, 1, 1]), (SAME, [1, 1, 1]), (CROSS, [2, 2, 2]), (EVERYWHERE, [1, 2, 3])],
)
def test_the_way_says_where_subscribers_are(way: str, subscribers: list[int]) -> None:
    where = Trial(Three("x", None), way).where  # type: ignore[arg-type]
    assert [where.publisher(index).port for index in range(3)] == [1, 1, 1]
    assert [where.subscriber(index).port for index in range(3)] == subscribers


class Pair(OneBroker):
    """The same broker as two nodes."""

    @property
    def addresses(self) -> list[Address]:
        return [self._broker.address] * 2


@pytest.fixture
def stage(system: OneBroker) -> Stage:
    cluster = Pair("pair", system._broker)
    return Stage(cluster, system, [], rounds=1, seconds=0.15, tell=lambda _text: None)


ROWS: dict[str, Callable[[Stage], Result]] = {
    "QoS 0": lambda stage: traffic.between_nodes(stage, 0),
    "QoS 1": lambda stage: traffic.between_nodes(stage, 1),
    "fan-out": lambda stage: traffic.fan_out(stage, 5),
    "latency": lambda stage: traffic.added_latency(stage, 50, 200),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_measures_every_way(row: Callable[[Stage], Result], stage: Stage) -> None:
    found = row(stage)
    assert found.faults == []
    assert found.lines[0].label == ALONE
    assert all((line.figures["brokers us/msg"] or 0) > 0 for line in found.lines)
    assert [verdict.found == "-" for verdict in found.verdicts].count(True) == 0


def test_a_system_that_ended_makes_the_row_invalid(stage: Stage) -> None:
    class Gone(Pair):
        def expect_running(self) -> None:
            raise PeerError("node1 ended: no reason")

    broken = Stage(Gone("pair", stage.alone._broker), stage.alone, [], 1, 0.1, stage.tell)  # type: ignore[attr-defined]
    found = traffic.between_nodes(broken, 0)
    assert f"{found.title}, pair, {CROSS}: node1 ended: no reason" in found.faults
    assert found.verdicts[0].met is False
