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


@dataclass(frozen=True)
class Paced:
    """Pairs with QoS 1 at a rate in all, one message at a time per pair, spread evenly over time."""

    pairs: int
    messages_per_second: int
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


Load = Saturating | Paced | Connecting | Idle


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

    @property
    def unit(self) -> str:
        """What the figure of this row counts."""
        match self.load:
            case Connecting():
                return "us/connect"
            case Idle():
                return "bytes/client"
            case Saturating() | Paced():
                return "us/msg"

    def with_version(self, version: int) -> "Scenario":
        """The same row spoken in another protocol version."""
        return replace(self, load=replace(self.load, version=version))


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
