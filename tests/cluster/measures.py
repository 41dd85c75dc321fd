"""How long things took in a history: figures for the report, which the scenarios compare with their limits."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.cluster.history import History, Sending


class Shares(NamedTuple):
    """How some durations are spread, in seconds; all 0 of none."""

    count: int
    p50: float
    p99: float
    max: float


def shares(values: Iterable[float]) -> Shares:
    """The spread of some values."""
    ordered = sorted(values)
    if not ordered:
        return Shares(0, 0.0, 0.0, 0.0)
    return Shares(len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that this share of the sorted values does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def silence(sendings: Iterable[Sending], begin: float, end: float) -> float:
    """The longest time within which one publisher waited for an acknowledgement and none came.

    Times outside of ``begin`` and ``end`` are cut off, so what was under way at the beginning counts from there.
    """
    events: list[tuple[float, int]] = []
    for each in sendings:
        answered = each.acknowledged_at
        if each.sent_at > end or (answered is not None and answered < begin):
            continue
        if each.refused:
            continue
        events.append((max(each.sent_at, begin), 1))
        if answered is not None and answered <= end:
            events.append((answered, -1))
    longest, outstanding, since = 0.0, 0, begin
    for at, change in sorted(events):
        if outstanding == 0:
            since = at
        elif change < 0:
            longest = max(longest, at - since)
            since = at
        outstanding += change
    if outstanding:
        longest = max(longest, end - since)
    return longest


def longest_silence(
    history: History, publishers: Iterable[str], begin: float, end: float
) -> tuple[float, str]:
    """The longest silence that any of these publishers met, and whose it was."""
    chosen = set(publishers)
    by_publisher: dict[str, list[Sending]] = {each: [] for each in chosen}
    for sending in history.messages.values():
        if sending.stream.publisher in chosen:
            by_publisher[sending.stream.publisher].append(sending)
    found = [(silence(sendings, begin, end), who) for who, sendings in by_publisher.items()]
    return max(found, default=(0.0, "nobody"))


def answers(history: History, begin: float, end: float) -> Shares:
    """How long the acknowledgements of messages sent in a time took."""
    return shares(
        each.acknowledged_at - each.sent_at
        for each in history.messages.values()
        if each.acknowledged_at is not None and begin <= each.sent_at <= end
    )


def at_node(history: History, node: str, at: float) -> list[str]:
    """The clients that had a link to a node at some time."""
    return sorted(
        {
            life.client
            for life in history.lives
            if life.node == node
            and life.opened_at <= at
            and (life.ended_at is None or life.ended_at >= at)
        }
    )


def resumptions(history: History, clients: Iterable[str], at: float) -> dict[str, float]:
    """How long after a moment each client was let in again; infinite for one that never was."""
    found = dict.fromkeys(clients, math.inf)
    for life in history.lives:
        if life.client in found and life.opened_at > at:
            found[life.client] = min(found[life.client], life.opened_at - at)
    return found


def will_delays(history: History, watcher: str) -> Shares:
    """How long after its client's death each will came to a watcher."""
    topics = {each.topic: each for each in history.last_wills.values() if each.died_at is not None}
    return shares(
        arrival.at - died
        for arrival in history.arrivals.get(watcher, ())
        if arrival.stream.topic in topics
        and (died := topics[arrival.stream.topic].died_at) is not None
    )
