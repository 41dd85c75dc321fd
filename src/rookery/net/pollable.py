"""What the poller drives."""

from mypy_extensions import trait


@trait
class Pollable:
    """The owner of a descriptor in the readiness set."""

    def ready(self, mask: int, now: float) -> None:
        """The descriptor is readable, writable or broken."""
        raise NotImplementedError

    def work(self, now: float) -> None:
        """Go on with what the last turn had no room for."""
        raise NotImplementedError

    def flush(self, now: float) -> None:
        """Write the output of this turn."""
        raise NotImplementedError
