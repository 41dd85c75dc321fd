"""The cases: who publishes to whom, how much is under way at once, what is to be reached."""

from dataclasses import dataclass, replace
from typing import Final

from rookery_bench import wire


@dataclass(frozen=True)
class Saturating:
    """A closed loop: a message leaves when an earlier one is delivered and acknowledged."""

    qos: int
    publishers: int
    subscribers: int
    """As many as publishers means pairs; else every subscriber gets every message."""
    window: int
    """Messages under way per publisher: enough to keep the broker busy, too few to be dropped."""
    turns: int
    """In how many turns of the load a window passes: fewer make the load cheaper, but the broker
    runs dry when a message needs about as many turns from its sending to its last ack."""
    version: int = wire.V3_1_1
    persistent: bool = False
    """Whether the subscribers' sessions outlive their connections."""


@dataclass(frozen=True)
class Paced:
    """Pairs with QoS 1 at a rate in all, one message at a time per pair, spread evenly over time."""

    pairs: int
    messages_per_second: int
    version: int = wire.V3_1_1
    prompt: bool = False
    """Whether the load wakes up for what arrives, and not only when the next message is due: dearer, but
    then the times are those of the broker alone."""


@dataclass(frozen=True)
class Bursts:
    """Pairs with QoS 1, persistent subscribers and a rate in all that waits for nobody.

    The pairs take turns, each with a few messages together: at tens of thousands a second a message
    alone would cost the load more than the broker.
    """

    pairs: int
    messages_per_second: int
    burst: int
    window: int
    """Messages under way per pair; a burst that finds it full is left out, and the rate shows it."""
    version: int = wire.V3_1_1


@dataclass(frozen=True)
class Single:
    """One publisher, one persistent subscriber, one QoS 1 message at a time."""

    version: int = wire.V3_1_1


@dataclass(frozen=True)
class Connecting:
    """Clients that connect, from CONNECT to CONNACK."""

    clients: int
    under_way: int
    version: int = wire.V3_1_1


@dataclass(frozen=True)
class Idle:
    """Clients that are connected, have one subscription each and say nothing."""

    clients: int
    under_way: int
    version: int = wire.V5


Load = Saturating | Paced | Bursts | Single | Connecting | Idle


@dataclass(frozen=True)
class DurableBounds:
    """What Rookery is to reach where it has to keep what it acknowledges."""

    acked_per_second_min: int | None = None
    ack_p50_us_max: int | None = None
    added_p99_us_max: int | None = None
    """Above the same traffic with durability ``memory``, on the way to ack and subscriber."""
    rate_kept_min: int = 0
    """Acks per second without which the added time says nothing: the rate was not kept."""


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    title: str
    load: Load
    target_ratio: float | None = None
    """mosquitto's figure over Rookery's: at least this much."""
    target_ratio_interpreted: float | None = None
    """The same for the interpreted core."""
    target_bytes_max: int | None = None
    durable: DurableBounds | None = None
    """Given when the sessions are persistent, so that what is acknowledged has to be kept."""

    @property
    def unit(self) -> str:
        """What the figure of this row counts."""
        match self.load:
            case Connecting():
                return "us/connect"
            case Idle():
                return "bytes/client"
            case _:
                return "us/msg"

    def with_version(self, version: int) -> "Scenario":
        """The same row spoken in another protocol version."""
        return replace(self, load=replace(self.load, version=version))


def _durable(
    name: str,
    title: str,
    load: Load,
    bounds: DurableBounds = DurableBounds(),
) -> Scenario:
    return Scenario(name, f"durable {title}", load, durable=bounds)


SCENARIOS: Final = (
    Scenario("qos0_1to1", "QoS 0, 1 to 1", Saturating(0, 1, 1, 2_000, 8), 4.0, 1.0),
    Scenario("qos1_1to1", "QoS 1, 1 to 1", Saturating(1, 1, 1, 1_000, 6), 6.0, 1.0),
    Scenario("qos2_1to1", "QoS 2, 1 to 1", Saturating(2, 1, 1, 400, 8), 8.0, 1.0),
    Scenario("qos0_fanout", "QoS 0, 1 to 50", Saturating(0, 1, 50, 1_000, 8), 10.0, 1.0),
    Scenario("qos0_fanin", "QoS 0, 50 to 1", Saturating(0, 50, 1, 200, 8), 4.0, 1.0),
    Scenario("qos1_pairs", "QoS 1, 50 pairs", Saturating(1, 50, 50, 400, 8), 6.0, 1.0),
    Scenario("qos1_paced", "QoS 1, 400 pairs at 6,000/s", Paced(400, 6_000), 0.8),
    Scenario("connect", "connect + CONNACK", Connecting(4_000, 64), 1.0),
    Scenario("idle_memory", "memory per idle client", Idle(4_000, 64), target_bytes_max=8_192),
    _durable("durable_qos1_1to1", "QoS 1, 1 to 1", Saturating(1, 1, 1, 1_000, 6, persistent=True)),
    _durable(
        "durable_qos1_pairs",
        "QoS 1, 50 pairs",
        Saturating(1, 50, 50, 400, 8, persistent=True),
        DurableBounds(acked_per_second_min=40_000),
    ),
    _durable("durable_qos2_1to1", "QoS 2, 1 to 1", Saturating(2, 1, 1, 400, 8, persistent=True)),
    _durable(
        "durable_qos2_pairs", "QoS 2, 50 pairs", Saturating(2, 50, 50, 400, 8, persistent=True)
    ),
    _durable(
        "durable_qos1_single",
        "QoS 1, one at a time",
        Single(),
        DurableBounds(ack_p50_us_max=2_000),
    ),
    _durable(
        "durable_qos1_paced",
        "QoS 1, 50 pairs at 40,000/s",
        Bursts(50, 40_000, burst=8, window=400),
        DurableBounds(added_p99_us_max=15_000, rate_kept_min=39_000),
    ),
)


def choose(names: str | None) -> list[Scenario]:
    """Return the scenarios named in a comma-separated list, all for None.

    Raises:
        ValueError: a name that no scenario has.
    """
    if names is None:
        return list(SCENARIOS)
    known = {scenario.name: scenario for scenario in SCENARIOS}
    wanted = names.split(",")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no case {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]
