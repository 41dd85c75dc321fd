"""Random scripts: what happens, in words and numbers alone, so that one can be printed, cut and run again."""

import random
from dataclasses import dataclass

Event = tuple[str | int | bool, ...]

LASTING = 5
CLIENTS = 6
"""The last one is a client whose sessions end with their connections."""
NORMAL = ("n/a", "n/b")
FILTERS = (
    ("n/#", ""),
    ("n/a", ""),
    ("n/+", ""),
    ("r/#", ""),
    ("s/#", "g"),
    ("s/a", "h"),
)
OFTEN = {
    "publish": 30,
    "commit": 22,
    "attach": 12,
    "drop": 4,
    "ack": 8,
    "subscribe": 8,
    "withhold": 4,
    "deaf": 2,
    "unsubscribe": 2,
    "leave": 2,
    "fresh": 0.7,
    "time": 6,
    "crash": 1.5,
    "reads": 1,
    "read": 2,
    "full": 1,
}
"""How often each kind of event comes."""


@dataclass(frozen=True)
class Profile:
    """How a script's clients and its store behave on the whole."""

    fails: bool
    """Whether commits may fail."""
    bursts: bool
    """Whether many messages come at once, so that they go through the backlog."""


def profile(seed: int) -> Profile:
    """A third of the scripts have failing commits, a third bursts."""
    return Profile(seed % 3 == 0, seed % 3 == 1)


def script(seed: int, steps: int) -> list[Event]:
    """The events of one seed."""
    chance = random.Random(seed)
    how = profile(seed)
    events: list[Event] = [("attach", number, False) for number in range(CLIENTS)]
    events.append(("commit", True))
    while len(events) < steps:
        events.append(_event(chance, how))
    return events


def _event(chance: random.Random, how: Profile) -> Event:
    (kind,) = chance.choices(list(OFTEN), list(OFTEN.values()))
    number = chance.randrange(CLIENTS)
    if kind == "publish":
        topic = chance.choice((*NORMAL, f"r/{number}", "s/a"))
        count = chance.randint(1, 4)
        if how.bursts and chance.random() < 0.2:
            count = chance.randint(40, 90)
        retain = topic.startswith("r/") and chance.random() < 0.7
        return ("publish", number, topic, chance.choice((0, 1, 1, 2, 2)), retain, count)
    if kind == "commit":
        return ("commit", not how.fails or chance.random() < 0.8)
    if kind in {"subscribe", "unsubscribe"}:
        topic_filter, share = chance.choice(FILTERS)
        return (kind, number, topic_filter, share, chance.choice((0, 1, 1, 2, 2)))
    if kind in {"withhold", "deaf"}:
        return (kind, number, chance.random() < 0.5)
    if kind == "ack":
        return ("ack", number, chance.randint(1, 5))
    if kind == "time":
        return ("time", chance.choice((1, 3)))
    if kind == "crash":
        return ("crash", chance.randint(0, 1))
    if kind == "reads":
        return ("reads", chance.random() < 0.6)
    if kind == "full":
        return ("full", how.fails and chance.random() < 0.4)
    if kind == "fresh":
        return ("attach", number, True)
    if kind == "attach":
        return ("attach", number, False)
    return (kind, number)
