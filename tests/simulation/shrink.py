"""Cuts a failing script down to what is needed to fail."""

from tests.simulation.script import Event
from tests.simulation.world import World


def failure(events: list[Event]) -> Exception | None:
    """What goes wrong in a run, if anything does."""
    try:
        World().run(events)
    except Exception as error:  # noqa: BLE001 - whatever the broker raises is the find
        return error
    return None


def kind(error: Exception) -> str:
    """Failures of one kind: those of the same type, and of alike words."""
    words = [word for word in str(error).split() if word.isalpha()]
    return f"{type(error).__name__} {' '.join(words[:4])}"


def shrink(events: list[Event]) -> list[Event]:
    """A shorter script that fails in the same way."""
    first = failure(events)
    assert first is not None
    size = max(len(events) // 2, 1)
    while True:
        at = 0
        while at < len(events):
            shorter = events[:at] + events[at + size :]
            error = failure(shorter)
            if error is not None and kind(error) == kind(first):
                events = shorter
            else:
                at += size
        if size == 1:
            return events
        size //= 2
