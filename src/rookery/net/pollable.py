"""What the poller drives."""

from typing import Protocol


# Compiled classes name it as a base: mypyc calls those directly, and others as Python does.
class Pollable(Protocol):
    """The owner of a descriptor in the readiness set."""

    def ready(self, mask: int, now: float) -> None:
        """The descriptor is readable, writable or broken."""

    def work(self, now: float) -> None:
        """Go on with what the last turn had no room for."""

    def flush(self, now: float) -> None:
        """Write the output of this turn."""
