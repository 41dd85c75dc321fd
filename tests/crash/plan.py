"""What happens in a round, decided before it begins by the seed and the round's number alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KILL_SECONDS_MIN: Final = 0.05
KILL_SECONDS_MAX: Final = 1.5
STARTUP_KILL_SHARE: Final = 0.1
"""In how many of the rounds the broker is killed once more while it starts."""
STARTUP_KILL_SECONDS_MAX: Final = 0.6
RARE_AWAY_SHARE: Final = 0.8
FATES: Final = ("away", "early", "back", "goodbye")
BRIEF_SECONDS: Final = (1, 3_600)
"""Session expiries: of the one nothing is left at a reckoning, the other outlives every pause."""
WILL_DELAY_SECONDS: Final = {"away": 1, "early": 1, "back": 10, "goodbye": 1}


@dataclass(frozen=True)
class Churn:
    """A client leaves in a round, and perhaps is back before the kill."""

    name: str
    leaves_seconds: float
    returns_seconds: float
    politely: bool
    """With a DISCONNECT."""


@dataclass(frozen=True)
class Death:
    """A client with a will, and what becomes of it."""

    name: str
    fate: str
    """``away``: it dies in the crash and stays away. ``early``: its link ends a moment before.
    ``back``: it returns at once. ``goodbye``: it left in good order before."""
    qos: int
    connects_seconds: float
    leaves_seconds: float


@dataclass(frozen=True)
class Plan:
    """One round: times count from its beginning, when the clients connect."""

    number: int
    kill_seconds: float
    startup_kill_seconds: float | None
    attaching: tuple[str, ...]
    """The clients of this round in the order of their coming; who is left out stays away."""
    churn: tuple[Churn, ...]
    deaths: tuple[Death, ...]
    visitor_seconds: float | None
    """When a new session comes and subscribes, if one does."""
    brief_expiry_seconds: int
    """Of a session that begins in this round, ends its link with the kill, and comes back at the reckoning."""


def chance_of(seed: int, number: int, what: str = "") -> random.Random:
    """The source of chance of a round, or of one client in it."""
    return random.Random(f"{seed}/{number}/{what}")


def plan_of(
    seed: int,
    number: int,
    publishers: Sequence[str],
    subscribers: Sequence[str],
    rare: Sequence[str] = (),
) -> Plan:
    """The plan of a round. One subscriber stays away, and most of the time those that are ``rare``."""
    chance = chance_of(seed, number)
    kill_seconds = chance.uniform(KILL_SECONDS_MIN, KILL_SECONDS_MAX)
    away = {chance.choice(subscribers)}
    away |= {name for name in rare if chance.random() < RARE_AWAY_SHARE}
    attaching = [name for name in (*publishers, *subscribers) if name not in away]
    chance.shuffle(attaching)
    churn = []
    for name in chance.sample(attaching, 3):
        leaves = chance.uniform(0.0, kill_seconds)
        back = leaves + chance.uniform(0.02, 0.5)
        churn.append(Churn(name, leaves, back, chance.random() < 0.5))
    deaths = []
    for index in range(2):
        connects = chance.uniform(0.0, kill_seconds / 2)
        leaves = chance.uniform(connects, kill_seconds)
        fate = chance.choice(FATES)
        deaths.append(Death(f"m{number}-{index}", fate, chance.choice((1, 2)), connects, leaves))
    startup_kill = chance.random() < STARTUP_KILL_SHARE
    startup_kill_seconds = chance.uniform(0.0, STARTUP_KILL_SECONDS_MAX)
    visits = chance.random() < 0.3
    visitor_seconds = chance.uniform(0.0, kill_seconds)
    return Plan(
        number,
        kill_seconds,
        startup_kill_seconds if startup_kill else None,
        tuple(attaching),
        tuple(churn),
        tuple(deaths),
        visitor_seconds if visits else None,
        chance.choice(BRIEF_SECONDS),
    )
