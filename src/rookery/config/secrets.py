"""References in texts: ``${file:/run/secrets/x}`` and ``${env:NAME}`` stand for what is found there.

They are resolved once the sources are laid over each other, so a reference that something overrides is not
looked at. What was written goes on being known: errors and ``config show`` tell the reference, never
what it stands for.
"""

import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath

from rookery.config.errors import ConfigError, Path
from rookery.config.schema import ROOT, Setting
from rookery.config.tree import Node

REFERENCE = re.compile(r"(\$?)\$\{(file|env):([^}]*)\}")
"""A ``$`` before it makes it plain text, without that ``$``. Other ``${...}`` are no references."""

SECRET_BYTES_MAX = 65_536


class UnresolvedReference(Exception):
    """What a reference names cannot be had; the text says what and why."""


class References:
    """Resolves the references of one tree."""

    def __init__(self, environ: Mapping[str, str], errors: list[ConfigError]) -> None:
        self._environ = environ
        self._errors = errors
        self.written: dict[Path, str] = {}
        """What stands at the paths whose text had references."""
        self.unresolved: set[Path] = set()

    def resolve(self, node: Node, setting: Setting | None = ROOT, path: Path = ()) -> Node:
        """The tree with all references in texts resolved; those that cannot be stay, and are errors."""
        if setting is None:
            return node
        content = node.content
        if isinstance(content, dict) and setting.kind == "section":
            keys = {
                key: self.resolve(child, setting.child(key), (*path, key))
                for key, child in content.items()
            }
            return replace(node, content=keys)
        if isinstance(content, list) and setting.kind == "list":
            entries = [
                self.resolve(child, setting.child(index), (*path, index))
                for index, child in enumerate(content)
            ]
            return replace(node, content=entries)
        if setting.kind in ("text", "choice") and isinstance(content, str):
            return self._text(node, path)
        return node

    def _text(self, node: Node, path: Path) -> Node:
        written = node.text
        sources: list[str] = []

        def found(match: re.Match[str]) -> str:
            escape, kind, name = match.groups()
            if escape:
                return match[0][1:]
            sources.append(name if kind == "file" else f"environment {name}")
            return _file(name) if kind == "file" else self._variable(name)

        try:
            text = REFERENCE.sub(found, written)
        except UnresolvedReference as fault:
            self._errors.append(ConfigError(node.origin, path, str(fault)))
            self.unresolved.add(path)
            return node
        if not sources:
            return replace(node, content=text, text=text)
        self.written[path] = written
        origin = replace(node.origin, through=", ".join(sources))
        return replace(node, content=text, text=text, origin=origin)

    def _variable(self, name: str) -> str:
        if name not in self._environ:
            raise UnresolvedReference(
                f"refers to the environment variable {name}, which is not set"
            )
        return self._environ[name]


def _file(name: str) -> str:
    """The text of a file without the newline at its end, which editors and ``echo`` put there."""
    path = FilePath(name)
    where = f"refers to the file {name}, which"
    try:
        # A pipe could keep the reader waiting for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnresolvedReference(f"{where} is not a regular file")
        with path.open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
        text = data.decode()
    except OSError as error:
        raise UnresolvedReference(f"{where} cannot be read: {error.strerror}") from error
    except ValueError as error:  # Not UTF-8, or a NUL in the name.
        raise UnresolvedReference(f"{where} does not hold text in UTF-8") from error
    if len(data) > SECRET_BYTES_MAX:
        raise UnresolvedReference(f"{where} is longer than {SECRET_BYTES_MAX} bytes")
    return text.removesuffix("\n").removesuffix("\r")
