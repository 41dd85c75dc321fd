import json

import pytest

from rookery_bench.cluster.results import (
    Line,
    Result,
    added,
    as_json,
    as_markdown,
    at_least,
    at_most,
    cells,
    figure,
    number,
    of_runs,
    quotient,
    verdict_cells,
)
from rookery_bench.latency import Percentiles
from rookery_bench.measurement import Measurement
from rookery_bench.run import Runs
from rookery_bench.scenarios import choose

GROUPS = {"brokers": [1, 2], "nats servers": [3]}


def measured(one: float, two: float, server: float, faults: list[str]) -> Measurement:
    return Measurement(
        value=one + two + server,
        generator_us=0.5,
        per_second=1_000,
        broker_share=0.5,
        latency=Percentiles(1_000, 2_000, 3_000),
        faults=faults,
        each_us={1: one, 2: two, 3: server},
    )


def runs(*measurements: Measurement) -> Runs:
    return Runs(choose("connect")[0], "some", list(measurements))


def test_each_group_has_its_part_of_the_time_and_the_median_counts() -> None:
    line = of_runs(
        runs(measured(1, 2, 9, []), measured(2, 3, 5, []), measured(7, 8, 1, [])), GROUPS
    )
    assert line.figures["brokers us/msg"] == 5
    assert line.figures["brokers lowest"] == 3
    assert line.figures["brokers highest"] == 15
    assert line.figures["nats servers us/msg"] == 5
    assert line.figures["p50 ms"] == 1
    assert line.figures["p99 ms"] == 3


def test_a_line_with_a_fault_counts_for_nothing() -> None:
    line = of_runs(runs(measured(1, 2, 9, []), measured(2, 3, 5, ["1 lost"])), GROUPS)
    result = Result("name", "title", [line], [])
    assert result.faults == ["title, some: 1 lost"]
    assert figure(result, "some", "brokers us/msg") is None
    assert cells(result)[1][0] == "some INVALID"


def test_runs_that_all_failed_have_no_figures() -> None:
    assert of_runs(runs(measured(1, 2, 9, ["x"])), GROUPS).figures["brokers us/msg"] is None


@pytest.mark.parametrize(
    ("verdict", "met"),
    [
        (at_least("rate", 5, 5), True),
        (at_least("rate", 4.9, 5), False),
        (at_least("rate", None, 5), False),
        (at_most("time", 5, 5), True),
        (at_most("time", 5.1, 5), False),
        (at_most("time", None, 5), False),
    ],
)
def test_what_is_not_there_is_not_reached(verdict: object, met: bool) -> None:
    assert verdict.met is met  # type: ignore[attr-defined]


def test_nothing_is_reckoned_with_what_is_not_there() -> None:
    assert quotient(3, 2) == 1.5
    assert quotient(None, 2) is quotient(3, None) is quotient(3, 0) is None
    assert added(3, 2) == 1
    assert added(None, 2) is added(3, None) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.234, "0.23"), (12.34, "12.3"), (12_345.6, "12,346"), (15_000, "15,000")],
)
def test_figures_are_shown_with_the_digits_that_count(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_report_has_every_figure_and_verdict() -> None:
    lines = [Line("one", {"a ms": 1.5}), Line("two", {"b s": 2}, ["broken"])]
    result = Result("name", "title", lines, [at_least("rate", 4, 5, "/s")], ["a remark"])
    shown = as_markdown([result], {"kernel": "some"})
    for text in ("- kernel: some", "| one | 1.50 | - |", "- title: a remark", "two: broken"):
        assert text in shown
    assert verdict_cells([result])[1] == ["title", "rate >= 5/s", "4/s", "NO"]
    kept = json.loads(as_json([result], {}))["rows"][0]
    assert kept["lines"][0]["figures"] == {"a ms": 1.5}
    assert kept["verdicts"][0]["met"] is False
