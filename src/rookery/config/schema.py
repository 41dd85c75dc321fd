"""What the models say of each setting, as one table: read by the loader, the messages and the reference."""

import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal

from annotated_types import Ge, Le, MaxLen
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from rookery.config.errors import Path
from rookery.config.models import Config
from rookery.config.sections import Expected, Section


@dataclass(frozen=True)
class Setting:
    """One place in the configuration: a value, a list or a section."""

    kind: str
    """``bool``, ``int``, ``float``, ``text``, ``choice``, ``list`` or ``section``."""
    expected: str
    """What it takes, in words that follow "must be"."""
    description: str
    default: object
    required: bool
    optional: bool
    """Whether it may be null."""
    secret: bool
    choices: tuple[str, ...]
    children: dict[str, "Setting"]
    """Of a section: its keys. Of a list: the setting of every entry, under ``ENTRY``."""

    def child(self, part: str | int) -> "Setting | None":
        """The setting one key or index further down."""
        if self.kind == "list":
            return self.children[ENTRY] if isinstance(part, int) else None
        return self.children.get(str(part))

    def holds_secret(self) -> bool:
        """Whether a secret is here or below."""
        return self.secret or any(child.holds_secret() for child in self.children.values())


ENTRY = "<n>"


def setting_at(path: Path) -> Setting | None:
    """The setting at a path, or ``None`` when there is none there."""
    found: Setting | None = ROOT
    for part in path:
        found = found.child(part) if found else None
    return found


def walk(setting: Setting, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Setting]]:
    """Every setting below this one, sections before what is in them; list entries as ``ENTRY``."""
    for key, child in setting.children.items():
        yield (*path, key), child
        yield from walk(child, (*path, key))


def _section(model: type[Section], field: FieldInfo | None, *, optional: bool = False) -> Setting:
    children = {name: _of_field(child) for name, child in model.model_fields.items()}
    expected = "a mapping with the keys " + ", ".join(children)
    made = _setting("section", expected, field, children, optional=optional)
    return made if field else replace(made, description=model.__doc__ or "")


def _of_field(field: FieldInfo) -> Setting:
    return _of(field.annotation, list(field.metadata), field)


def _of(annotation: Any, metadata: list[Any], field: FieldInfo | None) -> Setting:
    """Read one annotation, whatever it is wrapped in."""
    optional = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *more = typing.get_args(annotation)
            metadata += [part for item in more for part in _flat(item)]
        elif origin in (typing.Union, UnionType):
            optional = True
            (annotation,) = (arg for arg in typing.get_args(annotation) if arg is not NoneType)
        else:
            break
    if origin is tuple:
        entry = _of(typing.get_args(annotation)[0], [], None)
        return _setting("list", "a list", field, {ENTRY: entry}, optional=optional)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return _section(annotation, field, optional=optional)
    if origin is Literal:
        choices = typing.get_args(annotation)
        text = "one of " + ", ".join(choices)
        return _setting("choice", text, field, optional=optional, choices=choices)
    kind, text = _scalar(annotation, metadata)
    secret = annotation is SecretStr
    return _setting(kind, text, field, optional=optional, secret=secret)


def _flat(item: Any) -> list[Any]:
    return list(item.metadata) if isinstance(item, FieldInfo) else [item]


def _scalar(annotation: Any, metadata: list[Any]) -> tuple[str, str]:
    """The kind of a plain value and the words for what it may be."""
    said = {type(item): item for item in metadata}
    kind = {bool: "bool", int: "int", float: "float"}.get(annotation, "text")
    if Expected in said:
        return kind, said[Expected].text
    if kind == "bool":
        return kind, "true or false"
    if kind == "text":
        return kind, f"a text of 1 to {said[MaxLen].max_length} characters"
    number = "a whole number" if kind == "int" else "a number"
    return kind, f"{number} from {said[Ge].ge} to {said[Le].le}"


def _setting(
    kind: str,
    expected: str,
    field: FieldInfo | None,
    children: dict[str, Setting] | None = None,
    *,
    optional: bool = False,
    secret: bool = False,
    choices: tuple[str, ...] = (),
) -> Setting:
    description = (field.description if field else None) or ""
    return Setting(
        kind=kind,
        expected=expected + (", or null" if optional else ""),
        description=" ".join(description.split()),
        default=field.get_default(call_default_factory=True, validated_data={}) if field else None,
        required=field.is_required() if field else False,
        optional=optional,
        secret=secret,
        choices=choices,
        children=children or {},
    )


ROOT = _section(Config, None)
