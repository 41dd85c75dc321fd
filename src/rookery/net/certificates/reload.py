"""Keeps the TLS of the listeners up to date with their files, and warns before a certificate ends.

Files are looked at every second and read, in a thread, once they have changed and rested: a renewal
that writes the certificate and then its key would else be caught between the two. Contexts are
made anew each hour as well, because the keys of session tickets go with them (see ``context``).
"""

import asyncio
from typing import Final

import structlog

from rookery.net.certificates.facts import CertificateFacts, day
from rookery.net.certificates.listener import ListenerTls, Reading, Stamp, stamp_of
from rookery.net.certificates.options import TlsOptions
from rookery.ports import Clock

LOOK_SECONDS: Final = 1.0
TICKETS_SECONDS: Final = 3600.0
"""How long a session can be resumed at most, until its client is verified in full again."""
WARN_DAYS: Final = 30.0
WARN_SECONDS: Final = 86_400.0

log: Final = structlog.get_logger("rookery.net")


class TlsReloader:
    """Watches over the listeners' certificates."""

    def __init__(self, clock: Clock) -> None:
        self.listeners: list[ListenerTls] = []
        self._clock = clock
        self._asked = asyncio.Event()
        self._seen: dict[str, Stamp] = {}
        self._warned_at: float | None = None

    def open(self, name: str, options: TlsOptions) -> ListenerTls:
        """Read the files of a listener and watch them from now on; raises ``TlsFileFault``."""
        listener = ListenerTls(name, options, self._clock.monotonic())
        self.listeners.append(listener)
        return listener

    def ask(self) -> None:
        """Have everything read again soon."""
        self._asked.set()

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while True:
            self.warn()
            try:
                # wait_for of Python 3.11 loses a cancellation that comes together with the event.
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                pass
            asked = self._asked.is_set()
            self._asked.clear()
            await self.look(asked)

    async def look(self, asked: bool = False) -> None:
        """Read what has changed, or everything when asked to."""
        for listener in self.listeners:
            wanted = listener.wanted
            stamp = await asyncio.to_thread(stamp_of, wanted.files())
            rested = self._seen.get(listener.name, listener.tried) == stamp
            self._seen[listener.name] = stamp
            old = self._clock.monotonic() - listener.tried_at >= TICKETS_SECONDS
            if asked or old or (rested and stamp != listener.tried):
                changed = asked or stamp != listener.tried
                reading = await asyncio.to_thread(Reading, wanted)
                listener.accept(reading, self._clock.monotonic())
                self._tell(listener, changed)

    def _tell(self, listener: ListenerTls, changed: bool) -> None:
        if listener.fault is not None:
            log.error("tls_reload_failed", listener=listener.name, error=listener.fault)
        elif changed:
            certificate = listener.facts[0] if listener.facts else None
            log.info(
                "tls_reloaded",
                listener=listener.name,
                serial=certificate and certificate.serial,
                ends=certificate and day(certificate.not_after),
            )
            self._warned_at = None

    def problems(self) -> list[str]:
        """What somebody should see to: failed reloads, and what ends soon."""
        found = [
            f"listener {listener.name} goes on with its former certificates: {listener.fault}"
            for listener in self.listeners
            if listener.fault is not None
        ]
        return found + [_ending(listener, fact, left) for listener, fact, left in self._ending()]

    def warn(self) -> None:
        """Log what ends soon, at the start, after a change and once a day."""
        now = self._clock.monotonic()
        if self._warned_at is not None and now - self._warned_at < WARN_SECONDS:
            return
        self._warned_at = now
        for listener, fact, left in self._ending():
            log.warning(
                "certificate_ends",
                listener=listener.name,
                use=fact.use,
                file=str(fact.file),
                subject=fact.subject,
                ends=day(fact.not_after),
                days_left=round(left, 1),
            )

    def _ending(self) -> list[tuple[ListenerTls, CertificateFacts, float]]:
        wall = self._clock.wall()
        return [
            (listener, fact, fact.days_left(wall))
            for listener in self.listeners
            for fact in listener.facts
            if fact.days_left(wall) < (0 if fact.use == "crl" else WARN_DAYS)
        ]


def _ending(listener: ListenerTls, fact: CertificateFacts, left: float) -> str:
    what = "CRL" if fact.use == "crl" else "certificate"
    when = f"ends on {day(fact.not_after)}" if left > 0 else f"ended on {day(fact.not_after)}"
    return f"{what} {fact.subject} in {fact.file} (listener {listener.name}) {when}"
