"""Every value of a loaded configuration beside the place it came from, secrets masked."""

from dataclasses import dataclass

from pydantic import SecretStr

from rookery.config.errors import Origin, Path, dotted
from rookery.config.load import Loaded

MASK = "***"


@dataclass(frozen=True)
class Row:
    """One value. Lists that have entries and sections are told by what is in them."""

    path: Path
    value: bool | int | float | str | list[object] | None
    origin: Origin

    @property
    def name(self) -> str:
        """The path as people write it."""
        return dotted(self.path)


def explain(loaded: Loaded) -> list[Row]:
    """All values in the order of the models."""
    return [Row(path, _value(loaded, path), at) for path, at in loaded.origins.items()]


def _value(loaded: Loaded, path: Path) -> bool | int | float | str | list[object] | None:
    value: object = loaded.config
    for part in path:
        if isinstance(value, tuple) and isinstance(part, int):
            value = value[part]
        else:
            value = getattr(value, str(part))
    if isinstance(value, SecretStr):
        return MASK
    if path in loaded.references:
        return loaded.references[path]  # What it stands for may be somebody's secret.
    if isinstance(value, tuple):
        return []  # One with entries has paths of its own below this one.
    assert value is None or isinstance(value, bool | int | float | str)
    return value
