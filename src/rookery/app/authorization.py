"""Who decides what clients may do, as the configuration asks for it, while its sources change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING

from rookery.auth.access.file import AccessFile
from rookery.auth.access.rules import read_rules, rules_in_use
from rookery.auth.access.watch import AccessWatch
from rookery.auth.acl_file import read_acl_file
from rookery.auth.authorizer import ChainAuthorizer
from rookery.auth.rules import Rule, RuleSet
from rookery.auth.watch import FileWatch, file_version
from rookery.config import Origin
from rookery.config.authorization import Authorization as Settings
from rookery.config.authorization_http import HttpAuthorizer as HttpSettings
from rookery.config.errors import Path as SettingPath
from rookery.ports import Clock

if TYPE_CHECKING:
    from rookery.auth.http_authorizer import HttpAuthorizer

Origins = Mapping[SettingPath, Origin]


class AclFile:
    """The file of rules that the configuration names, if it does, for ``FileWatch``."""

    def __init__(self, path: Path | None, apply: Callable[[list[Rule] | None], None]) -> None:
        self.path = path
        self._apply = apply

    @property
    def name(self) -> str:
        """The file's path."""
        return "no acl_file" if self.path is None else str(self.path)

    def version(self) -> object:
        """What differs after every change, of the setting too."""
        path = self.path
        return None if path is None else (path, file_version(path))

    def read(self) -> Callable[[], None]:
        """Read it. Raises ``AclFileFault``."""
        path = self.path
        rules = None if path is None else read_acl_file(path)
        return lambda: self._apply(rules)


class Authorization:
    """The authorizer of a node, and what keeps it up to date."""

    def __init__(self, settings: Settings, origins: Origins, base: Path, clock: Clock) -> None:
        """``base`` is where relative paths start."""
        self._base = base
        self.authorizer = ChainAuthorizer()
        self._settings = settings
        self._clock = clock
        self._remote: HttpAuthorizer | None = None
        self._stored: list[Rule] | None = None
        self._in_file: list[Rule] | None = None
        self._file = AclFile(None, self._take_file)
        self._configure(settings, origins)

    async def start(self) -> None:
        """Make ready to ask a web service. Raises ``FileFault``."""
        self._remote = self._make_remote(self._settings.http)
        self._replace()

    async def stop(self) -> None:
        """Ask no more."""
        if self._remote is not None:
            await self._remote.stop()

    def watch(self, files: FileWatch, access: AccessWatch) -> None:
        """Have the sources that others change watched."""
        access.subscribe(_read_stored, self._take_stored)
        files.add(self._file)

    def load(self, access: AccessFile | None) -> None:
        """Read those sources once, here and now, for a command. Raises ``FileFault``."""
        if access is not None:
            with access.reading() as connection:
                self._take_stored(_read_stored(connection))
        self._file.read()()

    async def reload(self, settings: Settings, origins: Origins) -> None:
        """Decide by another configuration from now on; its file of rules is read at the next look.

        Raises ``FileFault``, and then nothing changes.
        """
        former = self._remote
        remote = former
        if settings.http != self._settings.http:
            remote = self._make_remote(settings.http)
        self._remote = remote
        self._configure(settings, origins)
        if former is not None and former is not remote:
            await former.stop()

    def _configure(self, settings: Settings, origins: Origins) -> None:
        self._settings = settings
        self._file.path = None if settings.acl_file is None else self._base / settings.acl_file
        self._configured = [
            rule.made(_place(origins, index)) for index, rule in enumerate(settings.rules)
        ]
        self._replace()

    def _take_stored(self, rules: list[Rule] | None) -> None:
        # Rules that are gone, with the whole database perhaps, do not open what they closed.
        stored = rules if rules is not None or self._stored is None else []
        if stored != self._stored:
            self._stored = stored
            self._replace()

    def _take_file(self, rules: list[Rule] | None) -> None:
        self._in_file = rules
        self._replace()

    def _replace(self) -> None:
        settings = self._settings
        sources = (self._stored, self._configured or None, self._in_file)
        if settings.acl_file is not None and self._in_file is None:
            sources = (self._stored, self._configured or None, [])
        self.authorizer.replace(
            [None if rules is None else RuleSet(rules) for rules in sources],
            self._remote,
            settings.default,
        )

    def _make_remote(self, settings: HttpSettings | None) -> HttpAuthorizer | None:
        if settings is None:
            return None
        from rookery.app.authorization_http import make_http_authorizer  # noqa: PLC0415 - an extra

        return make_http_authorizer(settings, self._base, self._clock)


def _read_stored(connection: Connection | None) -> list[Rule] | None:
    return read_rules(connection) if rules_in_use(connection) else None


def _place(origins: Origins, index: int) -> str:
    """Where a rule of the configuration begins: ``rookery.yaml:12``."""
    path = ("authorization", "rules", index)
    found = [origin for key, origin in origins.items() if key[:3] == path]
    lines = [origin for origin in found if origin.kind == "file" and origin.line]
    if lines:
        first = min(lines, key=lambda origin: origin.line)
        return f"{first.name}:{first.line}"
    given = [str(origin) for origin in found if origin.kind != "default"]
    return given[0] if given else f"authorization.rules.{index}"
