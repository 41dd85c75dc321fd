import json
from dataclasses import replace

import pytest

from rookery_bench.latency import Percentiles
from rookery_bench.offline.figures import Figures
from rookery_bench.offline.plan import Plan

MEGABYTE = 1_000_000
GOOD = Figures(
    plan=Plan(1_000, 100_000, 10),
    idle_bytes=60 * MEGABYTE,
    subscribed_bytes=70 * MEGABYTE,
    published_bytes=80 * MEGABYTE,
    restarted_bytes=75 * MEGABYTE,
    start_seconds=2.0,
    first_message=Percentiles(1.0, 2.0, 3_000.0),
    seconds={"publish": 3.0},
)


def test_growth_and_share_are_of_the_larger_reading() -> None:
    assert GOOD.growth_bytes == 20 * MEGABYTE
    assert GOOD.bytes_per_owed == pytest.approx(10.0)
    after = replace(GOOD, restarted_bytes=90 * MEGABYTE)
    assert after.growth_bytes == 30 * MEGABYTE
    assert after.bytes_per_owed == pytest.approx(20.0)
    assert replace(GOOD, restarted_bytes=None).growth_bytes == 20 * MEGABYTE


def test_all_bounds_kept_is_met() -> None:
    assert GOOD.met
    assert [line.met for line in GOOD.lines if line.met is not None] == [True] * 6


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("memory beyond", {"idle_bytes": 0, "published_bytes": 200 * MEGABYTE}),
        ("memory per", {"published_bytes": 100 * MEGABYTE}),
        ("memory per", {"restarted_bytes": 100 * MEGABYTE}),
        ("each session", {"lost": 1}),
        ("each session", {"foreign": 1}),
        ("each session", {"reordered": 1}),
        ("left over", {"left_over": 1}),
        ("CONNACK to", {"first_message": Percentiles(1.0, 2.0, 50_001.0)}),
        ("start with", {"start_seconds": 10.0}),
    ],
)
def test_each_bound_can_be_missed(name: str, worse: dict[str, int]) -> None:
    figures = replace(GOOD, **worse)  # type: ignore[arg-type]
    assert not figures.met
    missed = [line.name for line in figures.lines if line.met is False]
    assert any(each.startswith(name) for each in missed)
    assert "NO" in {cells[-1] for cells in figures.as_cells()}


def test_a_fault_is_a_miss_though_all_bounds_are_kept() -> None:
    figures = replace(GOOD, faults=[f"fault {number}" for number in range(7)])
    assert not figures.met
    assert figures.shown_faults == [*figures.faults[:5], "and 2 more"]


def test_doubles_are_told_and_no_miss() -> None:
    figures = replace(GOOD, duplicated=12)
    assert figures.met
    assert ["duplicates", "12", "-", "-"] in figures.as_cells()


def test_without_a_restart_its_bound_is_not_shown() -> None:
    figures = replace(GOOD, restarted_bytes=None, start_seconds=None)
    assert figures.met
    assert not any("start with" in line.name or "restart" in line.name for line in figures.lines)


def test_programs_get_everything() -> None:
    found = json.loads(json.dumps(GOOD.as_dict()))
    assert found["met"] is True
    assert found["growth_bytes"] == 20 * MEGABYTE
    assert found["plan"] == {"sessions": 1_000, "messages": 100_000, "owners": 10}
    assert found["seconds"] == {"publish": 3.0}
