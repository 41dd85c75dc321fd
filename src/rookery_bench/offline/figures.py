"""What a proof found, and the bounds that it has to keep."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from rookery_bench.latency import Percentiles
from rookery_bench.offline.plan import Plan

GROWTH_BYTES_MAX: Final = 200_000_000
BYTES_PER_OWED_MAX: Final = 30.0
FIRST_MESSAGE_P99_US_MAX: Final = 50_000.0
START_SECONDS_MAX: Final = 10.0
_FAULTS_SHOWN: Final = 5


class Line(NamedTuple):
    """One figure as it is shown; ``met`` is None where nothing is asked."""

    name: str
    value: str
    bound: str
    met: bool | None


@dataclass
class Figures:
    """Memory in bytes of the broker's process, each after the phase of its name."""

    plan: Plan
    idle_bytes: int = 0
    subscribed_bytes: int = 0
    published_bytes: int = 0
    restarted_bytes: int | None = None
    returned_bytes: int = 0
    peak_bytes: int = 0
    disk_published_bytes: int = 0
    disk_returned_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each phase took."""
    start_seconds: float | None = None
    """From the start of the process to the first CONNACK, with all that it had kept."""
    connack: Percentiles | None = None
    """From CONNECT to CONNACK, of all sessions that returned."""
    first_message: Percentiles | None = None
    """From CONNACK to the first message, of all sessions that are owed one; 0 when one read brought
    both."""
    connect_to_first: Percentiles | None = None
    """From CONNECT to the first message: what hides in the times before shows here."""
    received: int = 0
    lost: int = 0
    foreign: int = 0
    reordered: int = 0
    duplicated: int = 0
    left_over: int = 0
    """What sessions got on a second return, when they are owed nothing any more."""
    faults: list[str] = field(default_factory=list)

    @property
    def growth_bytes(self) -> int:
        """The most memory beyond an idle start, with all messages waiting."""
        return max(self.published_bytes, self.restarted_bytes or 0) - self.idle_bytes

    @property
    def bytes_per_owed(self) -> float:
        """Memory for each message and session owed, beyond what the sessions need by themselves."""
        most = max(self.published_bytes, self.restarted_bytes or 0)
        return (most - self.subscribed_bytes) / self.plan.owed_total

    @property
    def exact(self) -> bool:
        """Whether each session got its own messages, all of them, in order, and no others."""
        return not (self.lost or self.foreign or self.reordered or self.left_over)

    @property
    def lines(self) -> list[Line]:
        """The figures that have bounds, then the others."""
        return [*self._bounded(), *self._memory(), *self._others()]

    @property
    def met(self) -> bool:
        """Whether all bounds are kept and nothing went wrong."""
        return not self.faults and all(line.met is not False for line in self.lines)

    def _bounded(self) -> list[Line]:
        growth, per_owed = self.growth_bytes, self.bytes_per_owed
        wrong = f"{self.lost:,} lost, {self.foreign:,} foreign, {self.reordered:,} reordered"
        found = [
            Line(
                "memory beyond an idle start",
                _megabytes(growth),
                f"< {_megabytes(GROWTH_BYTES_MAX)}",
                growth < GROWTH_BYTES_MAX,
            ),
            Line(
                "memory per message and session owed",
                f"{per_owed:.1f} bytes",
                f"< {BYTES_PER_OWED_MAX:g} bytes",
                per_owed < BYTES_PER_OWED_MAX,
            ),
            Line("each session got exactly its own", wrong, "0", self.exact),
            Line("left over at a second return", f"{self.left_over:,}", "0", not self.left_over),
        ]
        if self.first_message:
            p99_us = self.first_message.p99_us
            met = p99_us <= FIRST_MESSAGE_P99_US_MAX
            bound = f"<= {FIRST_MESSAGE_P99_US_MAX / 1000:g} ms p99"
            found.append(Line("CONNACK to first message", _times(self.first_message), bound, met))
        if self.start_seconds is not None:
            met = self.start_seconds < START_SECONDS_MAX
            bound = f"< {START_SECONDS_MAX:g} s"
            found.append(Line("start with that state", f"{self.start_seconds:.2f} s", bound, met))
        return found

    def _memory(self) -> list[Line]:
        readings = {
            "idle": self.idle_bytes,
            "sessions offline": self.subscribed_bytes,
            "messages waiting": self.published_bytes,
            "after the restart": self.restarted_bytes,
            "all returned": self.returned_bytes,
            "peak": self.peak_bytes,
        }
        found = [
            Line(f"memory, {name}", _megabytes(value), "-", None)
            for name, value in readings.items()
            if value is not None
        ]
        disk = {"messages waiting": self.disk_published_bytes, "returned": self.disk_returned_bytes}
        return found + [
            Line(f"disk, {name}", _megabytes(value), "-", None) for name, value in disk.items()
        ]

    def _others(self) -> list[Line]:
        found = [
            Line("messages and sessions owed", f"{self.plan.owed_total:,}", "-", None),
            Line("received", f"{self.received:,}", "-", None),
            Line("duplicates", f"{self.duplicated:,}", "-", None),
        ]
        if self.connack:
            found.append(Line("CONNECT to CONNACK", _times(self.connack), "-", None))
        if self.connect_to_first:
            times = _times(self.connect_to_first)
            found.append(Line("CONNECT to first message", times, "-", None))
        return found + [
            Line(f"time to {name}", f"{taken:.1f} s", "-", None)
            for name, taken in self.seconds.items()
        ]

    def as_cells(self) -> list[list[str]]:
        """Return the table, its heading first."""
        words = {True: "yes", False: "NO", None: "-"}
        return [
            ["figure", "value", "bound", "met"],
            *([line.name, line.value, line.bound, words[line.met]] for line in self.lines),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for programs."""
        found = asdict(self) | {"faults": self.faults[:_FAULTS_SHOWN]}
        found["faults_count"] = len(self.faults)
        found["growth_bytes"] = self.growth_bytes
        found["bytes_per_owed"] = self.bytes_per_owed
        return found | {"met": self.met}

    @property
    def shown_faults(self) -> list[str]:
        """The first of what went wrong, and how many there are in all."""
        more = len(self.faults) - _FAULTS_SHOWN
        return self.faults[:_FAULTS_SHOWN] + ([f"and {more} more"] if more > 0 else [])


def _megabytes(value: int) -> str:
    return f"{value / 1e6:,.1f} MB"


def _times(latency: Percentiles) -> str:
    p50, p95, p99 = (us / 1000 for us in (latency.p50_us, latency.p95_us, latency.p99_us))
    return f"p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms"
