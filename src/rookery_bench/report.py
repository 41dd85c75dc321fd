"""Turns runs into rows, and rows into a table on the terminal, Markdown and JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.table import Table

from rookery_bench.latency import Percentiles
from rookery_bench.run import Runs
from rookery_bench.scenarios import DurableBounds, Scenario

REFERENCE: Final = "mosquitto"
SUBJECT: Final = "rookery"
INTERPRETED: Final = "rookery-interpreted"
IN_MEMORY: Final = "rookery-memory"
"""What durability adds is counted from here."""
OPEN: Final = "rookery-open"
GUARDED: Final = "rookery-guarded"
GUARD_COST_MAX: Final = 0.1
"""What users, rules and limits may add to the CPU time of a message."""
RATIO_LOSS_MAX: Final = 0.2
"""A ratio may be so much below the baseline's before it counts as a loss; the rest is noise."""


@dataclass(frozen=True)
class Figure:
    """One broker's figures in one row: medians over the runs."""

    value: float | None
    lowest: float | None
    highest: float | None
    per_second: float | None
    broker_share: float | None
    generator_us: float | None
    latency: Percentiles | None
    faults: list[str]
    acked_per_second: float | None
    ack_latency: Percentiles | None


@dataclass(frozen=True)
class Row:
    """One case with all brokers."""

    name: str
    title: str
    unit: str
    figures: dict[str, Figure]
    ratios: dict[str, float]
    """The reference's figure over another broker's: above 1 the other is cheaper."""
    targets: dict[str, float]
    """What the ratios, by broker, should at least be."""
    target_bytes_max: int | None
    baseline_ratio: float | None = None
    durable: DurableBounds | None = None

    @property
    def met(self) -> bool | None:
        """Whether Rookery reaches what this row asks; None when it asks or shows nothing."""
        verdicts = [
            self.ratios[peer] >= target
            for peer, target in self.targets.items()
            if peer in self.ratios
        ]
        subject = self.figures.get(SUBJECT)
        if self.target_bytes_max and subject and subject.value is not None:
            verdicts.append(subject.value <= self.target_bytes_max)
        verdicts += [reached for _, reached in self.durable_verdicts]
        return all(verdicts) if verdicts else None

    @property
    def durable_verdicts(self) -> list[tuple[str, bool]]:
        """What is asked of durable traffic, and whether Rookery reaches it; empty without either."""
        subject, bounds = self.figures.get(SUBJECT), self.durable
        if bounds is None or subject is None or subject.value is None:
            return []
        found: list[tuple[str, bool]] = []
        if bounds.acked_per_second_min:
            rate = subject.acked_per_second or 0
            wanted = f">= {bounds.acked_per_second_min:,} acked/s"
            found.append((wanted, rate >= bounds.acked_per_second_min))
        if bounds.ack_p50_us_max and subject.ack_latency:
            wanted = f"ack p50 <= {bounds.ack_p50_us_max / 1000:g} ms"
            found.append((wanted, subject.ack_latency.p50_us <= bounds.ack_p50_us_max))
        added_us = self.added_p99_us
        if bounds.added_p99_us_max is not None and added_us is not None:
            wanted = f"added p99 <= {bounds.added_p99_us_max / 1000:g} ms"
            keeps_up = (subject.acked_per_second or 0) >= bounds.rate_kept_min
            found.append((wanted, keeps_up and added_us <= bounds.added_p99_us_max))
        return found

    @property
    def added_p99_us(self) -> float | None:
        """What durability adds to the 99th percentile, to the ack or the delivery: the larger.

        None where nothing is asked of it: in a full window it would be the time in the queue.
        """
        subject, former = self.figures.get(SUBJECT), self.figures.get(IN_MEMORY)
        asked = self.durable is not None and self.durable.added_p99_us_max
        if not asked or subject is None or former is None:
            return None
        pairs = (
            (subject.latency, former.latency),
            (subject.ack_latency, former.ack_latency),
        )
        added = [ours.p99_us - theirs.p99_us for ours, theirs in pairs if ours and theirs]
        return max(added, default=None)

    @property
    def fell(self) -> bool:
        """Whether Rookery's ratio is clearly below the baseline's."""
        ratio = self.ratios.get(SUBJECT)
        if ratio is None or self.baseline_ratio is None:
            return False
        return ratio < self.baseline_ratio * (1 - RATIO_LOSS_MAX)


@dataclass(frozen=True)
class Report:
    """All rows and what they were measured on."""

    environment: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What makes rows count for nothing."""
        return [
            f"{row.title}, {peer}: {fault}"
            for row in self.rows
            for peer, figure in row.figures.items()
            for fault in figure.faults
        ]

    def as_json(self) -> str:
        """Return everything, for programs and for the baseline."""
        rows = [{**asdict(row), "met": row.met} for row in self.rows]
        return json.dumps({"environment": self.environment, "rows": rows}, indent=1)


def build(
    runs: Iterable[Runs], environment: dict[str, str], baseline: dict[str, Any] | None
) -> Report:
    """Sum the runs up, with the baseline's ratios beside them."""
    by_scenario: dict[str, list[Runs]] = {}
    for of_peer in runs:
        by_scenario.setdefault(of_peer.scenario.name, []).append(of_peer)
    former = {row["name"]: row["ratios"].get(SUBJECT) for row in (baseline or {}).get("rows", ())}
    rows = [_row(group[0].scenario, group, former) for group in by_scenario.values()]
    return Report(environment, rows)


def _row(scenario: Scenario, group: Sequence[Runs], former: dict[str, float | None]) -> Row:
    figures = {of_peer.peer: _figure(of_peer) for of_peer in group}
    reference = figures[REFERENCE].value if REFERENCE in figures else None
    ratios = {
        peer: reference / figure.value
        for peer, figure in figures.items()
        if peer != REFERENCE and reference and figure.value
    }
    wanted = {SUBJECT: scenario.target_ratio, INTERPRETED: scenario.target_ratio_interpreted}
    return Row(
        name=scenario.name,
        title=scenario.title,
        unit=scenario.unit,
        figures=figures,
        ratios=ratios,
        targets={peer: target for peer, target in wanted.items() if target is not None},
        target_bytes_max=scenario.target_bytes_max,
        baseline_ratio=former.get(scenario.name),
        durable=scenario.durable,
    )


def _figure(runs: Runs) -> Figure:
    values = [measured.value for measured in runs.sound]
    return Figure(
        value=runs.value,
        lowest=min(values, default=None),
        highest=max(values, default=None),
        per_second=runs.median_of(lambda measured: measured.per_second),
        broker_share=runs.median_of(lambda measured: measured.broker_share),
        generator_us=runs.median_of(lambda measured: measured.generator_us),
        latency=runs.latency,
        faults=runs.faults,
        acked_per_second=runs.median_of(lambda measured: measured.acked_per_second),
        ack_latency=runs.ack_latency,
    )


Cells = list[list[str]]


def summary(report: Report) -> Cells:
    """The table of the comparison, its heading first; durable traffic has a table of its own.

    A ratio is the reference's figure over a broker's: how many times less the broker needs.
    """
    rows = [row for row in report.rows if row.durable is None]
    peers = list(dict.fromkeys(peer for row in rows for peer in row.figures))
    others = [peer for peer in peers if peer != REFERENCE]
    heading = ["case", "unit", *peers]
    heading += [f"ratio {peer}" for peer in others]
    heading += ["target", "met", "baseline"]
    cells = [heading]
    for row in rows:
        line = [row.title, row.unit]
        line += [
            _number(row.figures[peer].value if peer in row.figures else None) for peer in peers
        ]
        line += [_ratio(row.ratios.get(peer)) for peer in others]
        line += [_target(row), {True: "yes", False: "NO", None: "-"}[row.met]]
        line.append(_ratio(row.baseline_ratio) + (" FELL" if row.fell else ""))
        cells.append(line)
    return cells


def durable(report: Report) -> Cells:
    """The table of durable traffic, its heading first: one line per broker."""
    heading = "case|broker|us/msg|ratio|acked/s|broker busy|p50 ms|p95 ms|p99 ms|"
    heading += "ack p50 ms|ack p95 ms|ack p99 ms|added p99 ms|target|met"
    cells = [heading.split("|")]
    for row in report.rows:
        if row.durable is not None:
            cells += [_durable_line(row, peer, figure) for peer, figure in row.figures.items()]
    return cells


def _durable_line(row: Row, peer: str, figure: Figure) -> list[str]:
    rate = figure.acked_per_second
    line = [
        row.title,
        peer,
        "INVALID" if figure.faults else _number(figure.value),
        _ratio(row.ratios.get(peer)),
        f"{rate:,.0f}" if rate else "-",
        _percent(figure.broker_share),
        *_times(figure.latency),
        *_times(figure.ack_latency),
    ]
    if peer != SUBJECT:
        return [*line, "-", "-", "-"]
    added_us, verdicts = row.added_p99_us, row.durable_verdicts
    line.append("-" if added_us is None else f"{added_us / 1000:.2f}")
    line.append(", ".join(wanted for wanted, _ in verdicts) or "-")
    line.append({True: "yes", False: "NO", None: "-"}[row.met])
    return line


def _times(latency: Percentiles | None) -> list[str]:
    if latency is None:
        return ["-"] * 3
    return [f"{us / 1000:.2f}" for us in (latency.p50_us, latency.p95_us, latency.p99_us)]


def guarded(report: Report) -> Cells:
    """What access control costs, where both brokers were measured: the heading first."""
    cells = [["case", "unit", OPEN, GUARDED, "cost", "target", "met"]]
    for row in report.rows:
        free, checked = row.figures.get(OPEN), row.figures.get(GUARDED)
        if free is None or checked is None or not free.value or not checked.value:
            continue
        cost = checked.value / free.value - 1
        met = "yes" if cost <= GUARD_COST_MAX else "NO"
        line = [row.title, row.unit, _number(free.value), _number(checked.value)]
        cells.append([*line, f"{cost:+.1%}", f"<= {GUARD_COST_MAX:.0%}", met])
    return cells


def detail(report: Report) -> Cells:
    """The table of everything else, its heading first: rates, latency and the load's own cost."""
    heading = "case|broker|figure|lowest-highest|per second|broker busy|"
    heading += "load us|load / broker|load busy|p50 ms|p95 ms|p99 ms"
    cells = [heading.split("|")]
    for row in report.rows:
        cells += [_detail_line(row, peer, figure) for peer, figure in row.figures.items()]
    return cells


def _detail_line(row: Row, peer: str, figure: Figure) -> list[str]:
    own, rate = figure.generator_us, figure.per_second
    return [
        row.title,
        peer,
        "INVALID" if figure.faults else _number(figure.value),
        f"{_number(figure.lowest)}-{_number(figure.highest)}",
        f"{rate:,.0f}" if rate else "-",
        _percent(figure.broker_share),
        _number(own),
        _percent(own / figure.value if own and figure.value else None),
        _percent(own * rate / 1e6 if own and rate else None),
        *_times(figure.latency),
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _target(row: Row) -> str:
    if row.target_bytes_max is not None:
        return f"<= {row.target_bytes_max:,}"
    return ", ".join(
        f"{target:g}x" + ("" if peer == SUBJECT else " interpreted")
        for peer, target in row.targets.items()
        if peer in row.figures
    )


def tables(report: Report) -> list[tuple[str, Cells]]:
    """The tables that have lines, with their titles."""
    found = [
        ("CPU per message, memory", summary(report)),
        ("Durable traffic: persistent sessions, QoS 1 and 2", durable(report)),
        ("What authentication and authorization cost", guarded(report)),
        ("Rates, latency, the load itself", detail(report)),
    ]
    return [(title, cells) for title, cells in found if len(cells) > 1]


def as_markdown(report: Report) -> str:
    """Return the tables and the environment in Markdown."""
    lines = ["# Measurements", ""]
    lines += [f"- {name}: {value}" for name, value in report.environment.items()]
    for _, cells in tables(report):
        lines += ["", *_markdown_table(cells)]
    lines.append("")
    if report.faults:
        lines += ["Invalid, for these runs had faults:", ""]
        lines += [f"- {fault}" for fault in report.faults] + [""]
    return "\n".join(lines)


def _markdown_table(cells: Cells) -> list[str]:
    heading, *lines = cells
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return [f"| {' | '.join(line)} |" for line in (heading, rule, *lines)]


def as_table(cells: Cells, title: str) -> Table:
    """Return a table for the terminal."""
    heading, *lines = cells
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(heading):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table
