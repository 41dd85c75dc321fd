"""Loading: every source in order of precedence, one validation, all errors at once.

The sources are laid over each other as trees whose values remember their origin: defaults (the models'
own) < the file < the predecessor's variables < ``ROOKERY_`` variables < ``--set``. What pydantic refuses is
then told with the origin of the value it refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError

from rookery.config.errors import DEFAULT, ConfigError, ConfigErrors, Origin, Path
from rookery.config.messages import sentences, unknown_key
from rookery.config.models import Config, default_node_id
from rookery.config.schema import setting_at
from rookery.config.secrets import References
from rookery.config.sections import TOLERATE_PROBLEMS
from rookery.config.sources import (
    FILE_VARIABLE,
    Assignment,
    read_environment,
    read_file,
    read_overrides,
)
from rookery.config.tree import Node, assign, locate, to_data

STORE_DIRECTORY = "rookery-data"
DEFAULT_FILE = FilePath("rookery.yaml")


@dataclass(frozen=True)
class Loaded:
    """A configuration and where it came from."""

    config: Config
    origins: Mapping[Path, Origin]
    """Of every value (and every empty list), by its path."""
    source: FilePath | None
    """The file that was read."""
    overrides: tuple[str, ...] = ()
    """What the command line set, for loading again."""
    references: Mapping[Path, str] = field(default_factory=dict)
    """What was written where a text refers to files or variables, by its path."""


def find_file(option: FilePath | None, environ: Mapping[str, str]) -> FilePath | None:
    """The file to load: ``--config``, else ``ROOKERY_CONFIG``, else ``rookery.yaml`` if it is there."""
    if option is not None:
        return option
    if environ.get(FILE_VARIABLE):
        return FilePath(environ[FILE_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def load(
    path: FilePath | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> Loaded:
    """Load the configuration; raises ``ConfigErrors`` with all that is wrong in all sources."""
    errors: list[ConfigError] = []
    tree = Node({}, DEFAULT, DEFAULT)
    if path is not None:
        tree = read_file(path, errors)
    plain, own = read_environment(environ or {}, errors)
    for assignment in (*plain, *own, *read_overrides(overrides, errors)):
        tree = _laid(tree, assignment, errors)
    references = References(environ or {}, errors)
    tree = references.resolve(tree)
    config = _validated(tree, errors, references)
    if errors or config is None:
        raise ConfigErrors(errors)
    origins = {found: _origin(tree, found) for found in _values(config, ())}
    return Loaded(config, origins, path, tuple(overrides), references.written)


def store_directory(loaded: Loaded) -> FilePath:
    """Where the store lies: a relative path starts at the configuration file, if there is one."""
    config = loaded.config
    # Nodes that share a folder and differ in their names must not meet in one store.
    directory = FilePath(config.store.directory or f"{STORE_DIRECTORY}/{config.broker.node_id}")
    return base_directory(loaded) / directory


def unnamed_directory(loaded: Loaded) -> FilePath | None:
    """Where the store lay while the node had its default name; ``None`` where that makes no difference."""
    broker, store = loaded.config.broker, loaded.config.store
    if store.directory is not None or "node_id" not in broker.model_fields_set:
        return None
    name = default_node_id({"mqtt_port": broker.mqtt_port})
    return None if name == broker.node_id else store_directory(loaded).parent / name


def access_directory(loaded: Loaded) -> FilePath:
    """Where the access database lies: beside the store, unless nodes share one."""
    directory = loaded.config.store.access_directory
    return store_directory(loaded) if directory is None else base_directory(loaded) / directory


def base_directory(loaded: Loaded) -> FilePath:
    """Where relative paths start: at the configuration file, or without one in the working directory."""
    return FilePath() if loaded.source is None else loaded.source.parent


def _laid(tree: Node, assignment: Assignment, errors: list[ConfigError]) -> Node:
    """Lay one value over the tree, if it has a place there."""
    path, value = assignment.path, assignment.value
    for depth in range(1, len(path) + 1):
        if setting_at(path[:depth]) is None:
            errors.append(ConfigError(value.origin, path, unknown_key(path[:depth])))
            return tree
    try:
        return assign(tree, path, value)
    except IndexError as error:
        errors.append(ConfigError(value.origin, path, str(error)))
        return tree


def _validated(tree: Node, errors: list[ConfigError], references: References) -> Config | None:
    """Validate until no new error appears.

    A model checks how its settings go together only when each is right by itself. So what was refused is
    left out and the rest validated again, or the operator would learn of those errors one run later.
    (Only what depends on a section where a necessary setting is missing is still told later.)
    """
    data: Any = to_data(tree)
    refused: set[Path] = set(references.unresolved)
    told: set[tuple[Path, str]] = set()
    while True:
        try:
            return Config.model_validate(data)
        except ValidationError as failed:
            details = failed.errors(include_url=False)
        for detail in details:
            detail["input"] = references.written.get(detail["loc"], detail["input"])
        found = [item for detail in details for item in sentences(detail)]
        new = [item for item in found if item not in told and not _covered(item[0], refused)]
        if not new:
            new = [item for item in _problems(data) if item not in told | set(found)]
            errors.extend(_error(tree, *item) for item in new if not _covered(item[0], refused))
            return None
        errors.extend(_error(tree, *item) for item in new)
        told.update(new)
        refused.update(_without(data, path) for path, _ in new)


def _problems(data: Any) -> list[tuple[Path, str]]:
    """What does not go together, in sections around others of which the same is true."""
    try:
        return list(Config.model_validate(data, context=TOLERATE_PROBLEMS).problems())
    except ValidationError:
        return []


def _error(tree: Node, path: Path, text: str) -> ConfigError:
    """Say where an error is: at the value, at its key when that is wrong, or where it is missing."""
    node, exact = locate(tree, path)
    wrong_key = exact and setting_at(path) is None
    return ConfigError(node.key_origin if wrong_key else node.origin, path, text)


def _covered(path: Path, reported: set[Path]) -> bool:
    return any(path[: len(done)] == done for done in reported)


def _without(data: Any, path: Path) -> Path:
    """Take a value out of the data; an entry takes its list with it, or the others would move up.

    Returns the path of what was taken out.
    """
    cut = len(path)
    while cut > 1 and isinstance(path[cut - 1], int):
        cut -= 1
    for part in path[: cut - 1]:
        try:
            data = data[part]
        except KeyError:  # A default, in a section that nobody gave.
            return path[:cut]
    data.pop(path[cut - 1], None)
    return path[:cut]


def _origin(tree: Node, path: Path) -> Origin:
    """Where a value came from; below a value that came whole (``"a, b"``), that one."""
    node, exact = locate(tree, path)
    plain = not isinstance(node.content, dict | list) and node.content is not None
    return node.origin if exact or plain else DEFAULT


def _values(value: object, path: Path) -> list[Path]:
    """The paths of all values of a model."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        below = [_values(getattr(value, name), (*path, name)) for name in fields]
    elif isinstance(value, tuple) and value:
        below = [_values(entry, (*path, index)) for index, entry in enumerate(value)]
    else:
        return [path]
    return [found for paths in below for found in paths]
