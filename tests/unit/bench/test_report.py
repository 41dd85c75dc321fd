import json

import pytest

from rookery_bench.latency import Percentiles
from rookery_bench.measurement import Measurement
from rookery_bench.report import (
    Report,
    as_markdown,
    as_table,
    build,
    detail,
    durable,
    guarded,
    summary,
    tables,
)
from rookery_bench.run import Runs
from rookery_bench.scenarios import choose

LATENCY = Percentiles(1_000.0, 2_000.0, 3_000.0)


def runs(case: str, peer: str, *values: float, faults: tuple[str, ...] = ()) -> Runs:
    measurements = [
        Measurement(value, 0.4, 500_000.0, 0.95, LATENCY, list(faults)) for value in values
    ]
    return Runs(choose(case)[0], peer, measurements)


def report(*found: Runs, baseline: dict[str, object] | None = None) -> Report:
    return build(found, {"kernel": "a kernel"}, baseline)


def test_a_ratio_is_of_the_medians() -> None:
    (row,) = report(
        runs("qos0_1to1", "rookery", 1.0, 9.0, 0.5), runs("qos0_1to1", "mosquitto", 5.0, 4.0, 1.0)
    ).rows
    assert row.ratios == {"rookery": 4.0}
    assert row.met is True
    assert (row.figures["rookery"].lowest, row.figures["rookery"].highest) == (0.5, 9.0)


@pytest.mark.parametrize(("mosquitto", "met"), [(4.0, True), (3.9, False)])
def test_the_target_is_met_or_not(mosquitto: float, met: bool) -> None:
    (row,) = report(
        runs("qos0_1to1", "rookery", 1.0), runs("qos0_1to1", "mosquitto", mosquitto)
    ).rows
    assert row.met is met


def test_the_interpreted_core_has_its_own_target() -> None:
    reference = runs("qos0_1to1", "mosquitto", 3.0)
    slow, fast = (runs("qos0_1to1", "rookery-interpreted", value) for value in (3.1, 2.9))
    assert report(slow, reference).rows[0].met is False
    assert report(fast, reference).rows[0].met is True


@pytest.mark.parametrize(("value", "met"), [(8_192.0, True), (8_193.0, False)])
def test_memory_has_a_bound_and_needs_no_reference(value: float, met: bool) -> None:
    assert report(runs("idle_memory", "rookery", value)).rows[0].met is met


def test_without_the_reference_nothing_is_claimed() -> None:
    (row,) = report(runs("qos0_1to1", "rookery", 1.0)).rows
    assert row.ratios == {}
    assert row.met is None


def test_a_run_with_faults_counts_for_nothing() -> None:
    found = report(
        runs("qos0_1to1", "rookery", 1.0, faults=("2 lost",)),
        runs("qos0_1to1", "mosquitto", 5.0),
    )
    assert found.rows[0].ratios == {}
    assert found.rows[0].met is None
    assert found.faults == ["QoS 0, 1 to 1, rookery: 2 lost"]
    assert "INVALID" in detail(found)[1]
    assert "rookery: 2 lost" in as_markdown(found)


def test_one_bad_run_of_several_spoils_the_row() -> None:
    mixed = runs("qos0_1to1", "rookery", 1.0, 2.0)
    mixed.measurements += runs("qos0_1to1", "rookery", 3.0, faults=("1 lost",)).measurements
    figure = report(mixed).rows[0].figures["rookery"]
    assert figure.value is None
    assert (figure.lowest, figure.highest) == (1.0, 2.0)


@pytest.mark.parametrize(("value", "fell"), [(1.0, False), (1.2, False), (1.3, True)])
def test_a_ratio_clearly_below_the_baseline_fell(value: float, fell: bool) -> None:
    reference = runs("qos0_1to1", "mosquitto", 5.0)
    baseline = json.loads(report(runs("qos0_1to1", "rookery", 1.0), reference).as_json())
    (row,) = report(runs("qos0_1to1", "rookery", value), reference, baseline=baseline).rows
    assert row.baseline_ratio == 5.0
    assert row.fell is fell
    assert ("FELL" in summary(Report({}, [row]))[1][-1]) is fell


def test_the_tables_show_every_broker() -> None:
    found = report(
        runs("connect", "rookery", 20.0),
        runs("connect", "mosquitto", 30.0),
        runs("idle_memory", "rookery", 4_321.4),
        runs("idle_memory", "mosquitto", 1_000.0),
    )
    heading, connect, memory = summary(found)
    assert heading == (
        ["case", "unit", "rookery", "mosquitto", "ratio rookery", "target", "met", "baseline"]
    )
    assert connect[2:] == ["20.0", "30.0", "1.50x", "1x", "yes", "-"]
    assert memory[2:] == ["4,321", "1,000", "0.23x", "<= 8,192", "yes", "-"]
    line = detail(found)[1]
    assert line[4:] == ["500,000", "95%", "0.40", "2%", "20%", "1.00", "2.00", "3.00"]
    assert all(len(line) == len(detail(found)[0]) for line in detail(found))


def acked(case: str, peer: str, rate: float, p50_us: float, p99_us: float) -> Runs:
    latency = Percentiles(p50_us, p50_us, p99_us)
    measured = Measurement(2.0, 0.4, rate, 0.9, latency, [], rate, latency)
    return Runs(choose(case)[0], peer, [measured])


@pytest.mark.parametrize(
    ("case", "rate", "p50_us", "p99_us", "met"),
    [
        ("durable_qos1_pairs", 40_000, 9e9, 9e9, True),
        ("durable_qos1_pairs", 39_999, 1, 1, False),
        ("durable_qos1_single", 1, 2_000, 9e9, True),
        ("durable_qos1_single", 1, 2_001, 9e9, False),
        ("durable_qos1_paced", 39_500, 9e9, 17_000, True),
        ("durable_qos1_paced", 39_500, 1, 17_001, False),
        ("durable_qos1_paced", 38_000, 1, 17_000, False),
        ("durable_qos2_pairs", 1, 9e9, 9e9, None),
    ],
)
def test_durable_rows_have_bounds_of_their_own(
    case: str, rate: float, p50_us: float, p99_us: float, met: bool | None
) -> None:
    found = report(
        acked(case, "rookery", rate, p50_us, p99_us),
        acked(case, "rookery-memory", rate, 1.0, 2_000.0),
    )
    assert found.rows[0].met is met


def test_what_durability_adds_is_the_larger_of_both_ways() -> None:
    fast, slow = Percentiles(1.0, 1.0, 3_000.0), Percentiles(1.0, 1.0, 5_000.0)
    for delivery, ack in ((fast, slow), (slow, fast)):
        measured = Measurement(2.0, 0.4, 1.0, 0.9, delivery, [], 1.0, ack)
        ours = Runs(choose("durable_qos1_paced")[0], "rookery", [measured])
        former = acked("durable_qos1_paced", "rookery-memory", 1.0, 1.0, 1_000.0)
        assert report(ours, former).rows[0].added_p99_us == 4_000.0


def test_what_durability_adds_needs_the_row_without() -> None:
    (row,) = report(acked("durable_qos1_paced", "rookery", 40_000, 1.0, 9_000.0)).rows
    assert row.added_p99_us is None
    assert row.met is None


def test_what_durability_adds_is_not_asked_of_a_full_window() -> None:
    names = ("rookery", "rookery-memory")
    (row,) = report(*(acked("durable_qos1_pairs", name, 1.0, 1.0, 1.0) for name in names)).rows
    assert row.added_p99_us is None


def test_durable_rows_have_a_table_of_their_own() -> None:
    found = report(
        runs("connect", "rookery", 20.0),
        acked("durable_qos1_paced", "rookery", 39_800, 4_000.0, 9_000.0),
        acked("durable_qos1_paced", "rookery-memory", 39_800, 1_000.0, 2_000.0),
        acked("durable_qos1_paced", "mosquitto", 39_800, 1_000.0, 2_000.0),
    )
    assert [line[0] for line in summary(found)[1:]] == ["connect + CONNACK"]
    heading, subject, former, reference = durable(found)
    assert all(len(line) == len(heading) for line in (subject, former, reference))
    assert subject[2:6] == ["2.00", "1.00x", "39,800", "90%"]
    assert subject[6:12] == ["4.00", "4.00", "9.00"] * 2
    assert subject[12:] == ["7.00", "added p99 <= 15 ms", "yes"]
    assert former[12:] == reference[12:] == ["-"] * 3
    assert [title.split(",")[0] for title, _ in tables(found)] == [
        "CPU per message",
        "Durable traffic: persistent sessions",
        "Rates",
    ]
    assert "| added p99 <= 15 ms | yes |" in as_markdown(found)


def test_markdown_names_the_machine() -> None:
    text = as_markdown(report(runs("connect", "mosquitto", 30.0)))
    assert "- kernel: a kernel" in text
    assert "| connect + CONNACK | us/connect | 30.0 |" in text


def test_the_terminal_table_has_all_lines() -> None:
    cells = summary(report(runs("connect", "mosquitto", 30.0)))
    table = as_table(cells, "a title")
    assert table.row_count == 1
    assert [column.header for column in table.columns] == cells[0]


@pytest.mark.parametrize(
    ("checked", "cost", "met"), [(1.09, "+9.0%", "yes"), (1.11, "+11.0%", "NO")]
)
def test_what_access_control_costs(checked: float, cost: str, met: str) -> None:
    found = report(
        runs("qos0_1to1", "rookery-open", 1.0),
        runs("qos0_1to1", "rookery-guarded", checked),
        runs("qos1_1to1", "rookery", 1.0),
    )
    _, *lines = guarded(found)
    assert [line[-3:] for line in lines] == [[cost, "<= 10%", met]]
    assert "What authentication and authorization cost" in dict(tables(found))
