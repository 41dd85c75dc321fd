"""The access database as the running node sees it: several readers, each of which takes its part.

All of them read in one transaction, so what they see is of one moment.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from rookery.auth.access.file import AccessFile

T = TypeVar("T")
Reader = Callable[[sqlite3.Connection | None], Callable[[], None]]


class AccessWatch:
    """What ``FileWatch`` watches of the access database. Without a file (``None``) it stays empty for good."""

    def __init__(self, file: AccessFile | None) -> None:
        self._file = file
        self._readers: list[Reader] = []

    @property
    def name(self) -> str:
        """The file's path."""
        return "no access database" if self._file is None else str(self._file.path)

    def subscribe(
        self, read: Callable[[sqlite3.Connection | None], T], apply: Callable[[T], None]
    ) -> None:
        """Have ``read`` called off the loop, and ``apply`` with its answer on the loop, after every change.

        ``read`` gets ``None`` where there is no database; it may raise ``FileFault`` (and so
        ``AccessFault``), and then nothing of the change is applied, to any reader.
        """

        def reader(connection: sqlite3.Connection | None) -> Callable[[], None]:
            return partial(apply, read(connection))

        self._readers.append(reader)

    def version(self) -> object:
        """See ``AccessFile.version``."""
        return None if self._file is None else self._file.version()

    def read(self) -> Callable[[], None]:
        """Let every reader read; the answer lets every one apply. Raises ``AccessFault``."""
        if self._file is None:
            applies = [reader(None) for reader in self._readers]
        else:
            with self._file.reading() as connection:
                applies = [reader(connection) for reader in self._readers]

        def apply() -> None:
            for each in applies:
                each()

        return apply
