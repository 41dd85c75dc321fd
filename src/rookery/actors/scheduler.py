"""The run queue: actors with something in their mailbox, drained to the end once per turn.

An actor's failure is its own: the scheduler hands the exception to the supervisor and goes on with
the next actor.
"""

from collections.abc import Callable
from typing import Protocol


# Compiled classes name it as a base: mypyc calls those directly, and others as Python does.
class Actor(Protocol):
    """Something with a mailbox. It sets ``queued`` when it puts itself on the run queue."""

    def step(self, now: float) -> None:
        """Work off the mailbox. Must not wait for anything."""


class Scheduler:
    """Runs every ready actor once per turn; what becomes ready meanwhile runs in the same turn."""

    def __init__(self, crashed: Callable[[Actor, Exception], None]) -> None:
        self.ready: list[Actor] = []
        """Actors tell the scheduler by appending themselves, at most once until they step."""
        self.later: list[Actor] = []
        """Actors that want to go on in the next turn, so that others get theirs first."""
        self._crashed = crashed

    def run(self, now: float) -> None:
        """Step ready actors until none is left."""
        while self.ready:
            batch = self.ready
            self.ready = []
            for actor in batch:
                try:
                    actor.step(now)
                except Exception as error:  # The one boundary for an actor's own failures.
                    self._crashed(actor, error)

    def begin_turn(self) -> None:
        """Make those ready that put off the rest of their work."""
        if self.later:
            self.ready.extend(self.later)
            self.later = []
