"""Where a configuration value came from, and what is wrong with it."""

from dataclasses import dataclass

Path = tuple[str | int, ...]
"""The keys and list indexes that lead to a value: ``("listeners", 0, "port")``."""


def dotted(path: Path) -> str:
    """The path as people write it: ``listeners.0.port``; odd characters are escaped."""
    return ".".join(str(part).encode("unicode_escape").decode() for part in path)


@dataclass(frozen=True)
class Origin:
    """The place a value was read from. ``str()`` names it for people."""

    kind: str
    """``default``, ``file``, ``environment`` or ``override``."""
    name: str = ""
    """The file's path, the variable's name, or the text after ``--set``, secrets masked."""
    line: int = 0
    """Counted from 1; 0 when the place is the whole file or no file."""
    column: int = 0
    through: str = ""
    """The files and variables that references in the value name."""

    @property
    def order(self) -> tuple[int, str, int, int]:
        """Sorts origins as an operator looks through them: the file from its top, then the rest."""
        return (_KINDS.index(self.kind), self.name, self.line, self.column)

    def __str__(self) -> str:
        place = self._place()
        return f"{place} (from {self.through})" if self.through else place

    def _place(self) -> str:
        match self.kind:
            case "file":
                return f"{self.name}:{self.line}:{self.column}" if self.line else self.name
            case "environment":
                return f"environment {self.name}"
            case "override":
                return f"--set {self.name}"
        return self.kind


_KINDS = ("file", "environment", "override", "default")

DEFAULT = Origin("default")


@dataclass(frozen=True)
class ConfigError:
    """One thing that is wrong: where, with which value, and what would be right."""

    origin: Origin
    path: Path
    text: str

    def __str__(self) -> str:
        where = f"{self.origin}: {dotted(self.path)}" if self.path else str(self.origin)
        return f"{where}: {self.text}"


class ConfigErrors(Exception):
    """All that is wrong with a configuration; ``str()`` has a line for each error."""

    def __init__(self, errors: list[ConfigError]) -> None:
        self.errors = sorted(errors, key=lambda error: error.origin.order)
        super().__init__("\n".join(str(error) for error in self.errors))
