"""What one run of one case against one broker gave."""

from dataclasses import dataclass, field, replace

from rookery_bench.accounting import Usage
from rookery_bench.latency import Percentiles


@dataclass(frozen=True)
class Measurement:
    """The figures of a run; with faults it counts for nothing."""

    value: float
    """The broker's CPU microseconds per delivered message or connect, or bytes per client."""
    generator_us: float | None
    """The load's own CPU microseconds per message or connect."""
    per_second: float | None
    broker_share: float | None
    """The part of the time in which the broker had the CPU: near 1 it was the bottleneck."""
    latency: Percentiles | None
    faults: list[str] = field(default_factory=list)
    acked_per_second: float | None = None
    """Messages that the publishers have been told are safe."""
    ack_latency: Percentiles | None = None
    """From sending to the ack, where the load looks at that."""
    each_us: dict[int, float] = field(default_factory=dict)
    """The part of each of the broker's processes in ``value``."""


def per_unit(
    usage: Usage, units: int, latency: Percentiles | None, faults: list[str]
) -> Measurement:
    """Divide what was used by the units of work done meanwhile."""
    broker_ns, own_ns, wall_ns = usage.read()
    if not units:
        return Measurement(0.0, None, None, None, None, [*faults, "nothing was delivered"])
    return Measurement(
        value=broker_ns / units / 1000,
        generator_us=own_ns / units / 1000,
        per_second=units / wall_ns * 1e9,
        broker_share=broker_ns / wall_ns,
        latency=latency,
        faults=faults,
        each_us={pid: used_ns / units / 1000 for pid, used_ns in usage.each_ns.items()},
    )


def with_acks(measured: Measurement, acked: int, units: int) -> Measurement:
    """Add the rate of the acks that came in the time in which ``units`` were delivered."""
    if not units or measured.per_second is None:
        return measured
    return replace(measured, acked_per_second=measured.per_second * acked / units)
