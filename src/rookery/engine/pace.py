"""The pace of one link: which of its packets may be stepped now, and when it is read from again.

A PUBLISH takes a token from each bucket that bounds messages, the bytes of a read as many as they are from
those that bound bytes. Nothing is dropped: the link is not read from until it is its turn again, so that the
kernel's window stops the client. What was decoded already waits in order. Acknowledgements, pings and
DISCONNECT are not charged.
"""

from __future__ import annotations

from typing import Final, final

from rookery.engine.bucket import Bucket
from rookery.mqtt.packets import Packet, Publish

LOG_SECONDS: Final = 60.0
"""How often one link's waiting is logged: the counters have every time."""


@final
class Bound:
    """What one limit allows: of a client, an address or a listener."""

    def __init__(self, name: str, messages: Bucket | None, size: Bucket | None) -> None:
        self.name = name
        self.messages = messages
        self.bytes = size

    def is_full(self, now: float) -> bool:
        """Whether nothing was taken lately."""
        return (self.messages is None or self.messages.is_full(now)) and (
            self.bytes is None or self.bytes.is_full(now)
        )


@final
class Pace:
    """The buckets that one link takes from, and until when it waits."""

    def __init__(self, bounds: list[Bound], strict: str) -> None:
        """``strict`` names the bound that may not be exceeded at all; empty where all only pace."""
        self._messages: list[tuple[str, Bucket]] = []
        self._bytes: list[tuple[str, Bucket]] = []
        for bound in bounds:
            if bound.messages is not None:
                self._messages.append((bound.name, bound.messages))
            if bound.bytes is not None:
                self._bytes.append((bound.name, bound.bytes))
        self._strict = strict
        self._paid: int = 0
        """Up to where the held packets are paid for."""
        self._step_at: float = 0.0
        """When the last packet paid for may be stepped."""
        self._read_at: float = 0.0
        """When the bytes read so far are paid for."""
        self.waiting: bool = False
        """Whether the link waits for ``wakes_at``."""
        self.wakes_at: float = 0.0
        self.bound: str = ""
        """Whose limit makes it wait."""
        self.exceeded: bool = False
        """Whether the strict bound was exceeded."""
        self.logged_at: float = -LOG_SECONDS

    def charge(self, size: int, now: float) -> None:
        """Pay for the bytes of a read."""
        for name, bucket in self._bytes:
            self._read_at = self._later(self._read_at, name, bucket.take(float(size), now), now)

    def steps_to(self, packets: list[Packet], index: int, now: float) -> int:
        """Where to stop stepping, every PUBLISH before that being paid for.

        The one that must wait is paid for too, so that it goes first when its time has come.
        """
        count = len(packets)
        if not self._messages:
            return count
        if now < self._step_at:
            return max(index, self._paid - 1)
        at = max(index, self._paid)
        while at < count:
            if isinstance(packets[at], Publish) and not self._pay(now):
                self._paid = at + 1
                return at
            at += 1
        self._paid = count
        return count

    def _pay(self, now: float) -> bool:
        for name, bucket in self._messages:
            self._step_at = self._later(self._step_at, name, bucket.take(1.0, now), now)
        return self._step_at <= now

    def _later(self, until: float, name: str, wait_seconds: float, now: float) -> float:
        if wait_seconds <= 0.0:
            return until
        if name == self._strict:
            self.exceeded = True
        if now + wait_seconds <= until:
            return until
        self.bound = name
        return now + wait_seconds

    def restart(self) -> None:
        """The held packets are all stepped."""
        self._paid = 0

    def waits_until(self, now: float) -> float:
        """When to go on reading and stepping; 0 when that is now."""
        until = max(self._step_at, self._read_at)
        return until if until > now else 0.0
