"""What rows found, as tables and as JSON; every figure comes from a run."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from rookery_bench.report import Cells
from rookery_bench.run import Runs

Figures = dict[str, float | None]
"""By name, which ends in the unit."""
_SMALL: Final = 10
_LARGE: Final = 1_000


@dataclass(frozen=True)
class Line:
    """One system, or one way through it, in a row."""

    label: str
    figures: Figures
    faults: list[str] = field(default_factory=list)
    """With any the figures count for nothing."""


@dataclass(frozen=True)
class Verdict:
    """What was to be reached, and what was."""

    wanted: str
    found: str
    met: bool


@dataclass(frozen=True)
class Result:
    """One row."""

    name: str
    title: str
    lines: list[Line]
    verdicts: list[Verdict]
    remarks: list[str] = field(default_factory=list)
    """What a reader of the figures has to know."""

    @property
    def faults(self) -> list[str]:
        """What makes lines count for nothing."""
        return [
            f"{self.title}, {line.label}: {fault}" for line in self.lines for fault in line.faults
        ]

    def line(self, label: str) -> Line | None:
        """The line with this label, if its figures count."""
        for line in self.lines:
            if line.label == label and not line.faults:
                return line
        return None


def figure(result: Result, label: str, name: str) -> float | None:
    """A figure of a line that counts."""
    line = result.line(label)
    return None if line is None else line.figures.get(name)


def at_least(what: str, found: float | None, wanted: float, unit: str = "") -> Verdict:
    """Whether a figure is as high as wanted; one that is not there is not."""
    met = found is not None and found >= wanted
    return Verdict(f"{what} >= {number(wanted)}{unit}", f"{number(found)}{unit}", met)


def at_most(what: str, found: float | None, wanted: float, unit: str = "") -> Verdict:
    """Whether a figure is as low as wanted; one that is not there is not."""
    met = found is not None and found <= wanted
    return Verdict(f"{what} <= {number(wanted)}{unit}", f"{number(found)}{unit}", met)


def quotient(one: float | None, other: float | None) -> float | None:
    """One by the other, where both are there."""
    return one / other if one is not None and other else None


def added(one: float | None, other: float | None) -> float | None:
    """What one is above the other, where both are there."""
    return one - other if one is not None and other is not None else None


def of_runs(runs: Runs, groups: dict[str, list[int]]) -> Line:
    """Sum up interleaved runs: medians, and of each group of processes its part of the CPU time."""
    figures: Figures = {}
    for group, pids in groups.items():
        values = [sum(each.each_us.get(pid, 0.0) for pid in pids) for each in runs.sound]
        figures[f"{group} us/msg"] = statistics.median(values) if values else None
        if len(values) > 1:
            figures[f"{group} lowest"] = min(values)
            figures[f"{group} highest"] = max(values)
    figures["msg/s"] = runs.median_of(lambda each: each.per_second)
    figures["load us/msg"] = runs.median_of(lambda each: each.generator_us)
    if runs.latency is not None:
        figures["p50 ms"] = runs.latency.p50_us / 1000
        figures["p99 ms"] = runs.latency.p99_us / 1000
    return Line(runs.peer, figures, runs.faults)


def cells(result: Result) -> Cells:
    """The table of a row, its heading first: a line for each system."""
    names = list(dict.fromkeys(name for line in result.lines for name in line.figures))
    table = [["", *names]]
    for line in result.lines:
        shown = [number(line.figures.get(name)) for name in names]
        table.append([f"{line.label} INVALID" if line.faults else line.label, *shown])
    return table


def verdict_cells(results: Sequence[Result]) -> Cells:
    """The table of what was to be reached, its heading first."""
    table = [["row", "wanted", "found", "met"]]
    for result in results:
        table += [
            [result.title, each.wanted, each.found, "yes" if each.met else "NO"]
            for each in result.verdicts
        ]
    return table


def tables(results: Sequence[Result]) -> list[tuple[str, Cells]]:
    """All tables with their titles."""
    found = [(result.title, cells(result)) for result in results]
    return [*found, ("What was to be reached", verdict_cells(results))]


def as_json(results: Sequence[Result], environment: dict[str, str]) -> str:
    """Everything, for programs."""
    rows = [asdict(result) for result in results]
    return json.dumps({"environment": environment, "rows": rows}, indent=1)


def as_markdown(results: Sequence[Result], environment: dict[str, str]) -> str:
    """The same to read."""
    lines = ["# Measurements of a cluster", ""]
    lines += [f"- {name}: {value}" for name, value in environment.items()]
    for title, table in tables(results):
        lines += ["", f"## {title}", ""]
        heading, *body = table
        rule = ["---", *["---:"] * (len(heading) - 1)]
        lines += [f"| {' | '.join(line)} |" for line in (heading, rule, *body)]
    remarks = [f"- {result.title}: {remark}" for result in results for remark in result.remarks]
    if remarks:
        lines += ["", *remarks]
    faults = [f"- {fault}" for result in results for fault in result.faults]
    if faults:
        lines += ["", "Invalid, for these runs had faults:", "", *faults]
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """A figure as tables have it."""
    if value is None:
        return "-"
    if value == int(value):
        return f"{value:,.0f}"
    if abs(value) < _SMALL:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < _LARGE else f"{value:,.0f}"
