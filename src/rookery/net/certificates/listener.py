"""The TLS of one listener as it changes: the context that new connections get, and what is behind it."""

import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from rookery.net.certificates.context import ServerContext, server_context
from rookery.net.certificates.facts import CertificateFacts
from rookery.net.certificates.options import TlsFileFault, TlsOptions

Stamp = tuple[tuple[int, ...], ...]
"""What tells one state of some files from another."""


def stamp_of(files: Sequence[Path]) -> Stamp:
    """The state of the files; links are followed, since some renewals only turn a link."""
    return tuple(_file_stamp(file) for file in files)


def _file_stamp(file: Path) -> tuple[int, ...]:
    try:
        status = os.stat(file)  # noqa: PTH116 - the same, and one line for both the file and its absence
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Reading:
    """One reading of the files: the context made of them, or why there is none."""

    def __init__(self, options: TlsOptions) -> None:
        # Looked at first: what changes meanwhile is then seen as a change.
        self.options = options
        self.stamp = stamp_of(options.files())
        self.made: ServerContext | None = None
        self.fault: TlsFileFault | None = None
        try:
            self.made = server_context(options)
        except TlsFileFault as fault:
            self.fault = fault


class ListenerTls:
    """What a listener's connections are encrypted with.

    A link takes the context when it begins and keeps it; changing ours is nothing to it.
    """

    def __init__(self, name: str, options: TlsOptions, now: float) -> None:
        """Raises ``TlsFileFault`` when the files are no good."""
        reading = Reading(options)
        if reading.fault is not None:
            raise reading.fault
        self.name = name
        self.wanted = options
        """What the configuration asks for now."""
        self.fault: str | None = None
        """Why the context in use is not the one that the files and the configuration ask for."""
        self.tried_at = now
        self.reloads = 0
        self.reloads_failed = 0
        self._reading = reading
        self._made = self._whole(reading)

    @property
    def context(self) -> ssl.SSLContext:
        """What the next connection gets."""
        return self._made.context

    @property
    def facts(self) -> tuple[CertificateFacts, ...]:
        """What is in use."""
        return self._made.facts

    @property
    def tried(self) -> Stamp:
        """The state of the files when they were last read."""
        return self._reading.stamp

    def accept(self, reading: Reading, now: float) -> None:
        """Use what was made; when it was not, go on with what is in use, and tell."""
        self._reading = reading
        self.tried_at = now
        if reading.fault is not None:
            self.fault = str(reading.fault)
            self.reloads_failed += 1
            return
        self.fault = None
        self.reloads += 1
        self._made = self._whole(reading)

    @staticmethod
    def _whole(reading: Reading) -> ServerContext:
        assert reading.made is not None
        return reading.made
