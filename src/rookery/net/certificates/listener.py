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


class Attempt:
    """One try to make a context of the files: the context, or why there is none."""

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
        attempt = Attempt(options)
        if attempt.fault is not None:
            raise attempt.fault
        self.name = name
        self.wanted = options
        """What the configuration asks for now."""
        self.fault: str | None = None
        """Why the context in use is not the one that the files and the configuration ask for."""
        self.tried_at = now
        self.reloads = 0
        self.reloads_failed = 0
        self._attempt = attempt
        self._made = self._whole(attempt)

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
        return self._attempt.stamp

    def accept(self, attempt: Attempt, now: float) -> None:
        """Use what was made; when it was not, go on with what is in use, and tell."""
        self._attempt = attempt
        self.tried_at = now
        if attempt.fault is not None:
            self.fault = str(attempt.fault)
            self.reloads_failed += 1
            return
        self.fault = None
        self.reloads += 1
        self._made = self._whole(attempt)

    @staticmethod
    def _whole(attempt: Attempt) -> ServerContext:
        assert attempt.made is not None
        return attempt.made
