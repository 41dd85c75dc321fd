"""The places a configuration is read from, each as values laid at paths of the tree."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from rookery.config.errors import ConfigError, Origin, Path
from rookery.config.schema import ROOT, setting_at
from rookery.config.tree import Composer, Node, path_of

PREFIX = "ROOKERY_"
FILE_VARIABLE = "ROOKERY_CONFIG"

PLAIN_NAMES: Mapping[str, Path] = {
    "NODE_ID": ("broker", "node_id"),
    "MQTT_PORT": ("broker", "mqtt_port"),
    "GRPC_PORT": ("broker", "grpc_port"),
    "METRICS_PORT": ("broker", "metrics_port"),
    "DASHBOARD_PORT": ("broker", "dashboard_port"),
    "PEER_NODES": ("broker", "peer_nodes"),
    "POD_NAMESPACE": ("broker", "pod_namespace"),
}
"""The predecessor's variables. A ``ROOKERY_`` variable for the same setting wins."""

# A Kubernetes service called "mqtt" puts MQTT_PORT=tcp://10.0.0.7:1883 into every pod beside it.
SERVICE_LINK = re.compile(r"^(tcp|udp|sctp)://")


@dataclass(frozen=True)
class Assignment:
    """A value for one path."""

    path: Path
    value: Node


def read_file(path: FilePath, errors: list[ConfigError]) -> Node:
    """The tree of a file, as far as it can be read."""
    name = str(path)
    whole = Origin("file", name)
    empty = Node({}, whole, whole)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        errors.append(ConfigError(whole, (), f"cannot be read: {error.strerror}"))
        return empty
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        origin = Origin("file", name, before.count(b"\n") + 1, column)
        errors.append(ConfigError(origin, (), "is not UTF-8; save the file in that encoding"))
        return empty
    composer = Composer(lambda line, column: Origin("file", name, line, column))
    root = composer.compose(text)
    errors.extend(composer.errors)
    if root is None or root.content is None:
        return empty
    if not isinstance(root.content, dict):
        errors.append(ConfigError(root.origin, (), f"must be {ROOT.expected}"))
        return empty
    return root


def read_environment(
    environ: Mapping[str, str], errors: list[ConfigError]
) -> tuple[list[Assignment], list[Assignment]]:
    """What the predecessor's names and the ``ROOKERY_`` names say; empty variables say nothing."""
    plain = [
        _variable(name, path, environ[name], errors)
        for name, path in PLAIN_NAMES.items()
        if environ.get(name) and not SERVICE_LINK.match(environ[name])
    ]
    own: list[Assignment | None] = []
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name == FILE_VARIABLE or not text:
            continue
        path = path_of(name.removeprefix(PREFIX).lower().replace("__", "."))
        if len(path) > 1 or path[0] in ROOT.children:
            own.append(_variable(name, path, text, errors))
        else:
            _report_stray(name, str(path[0]), errors)
    # A whole section or list first, then what is set inside it.
    ordered = sorted((item for item in own if item), key=lambda item: _sort_key(item.path))
    return [item for item in plain if item], ordered


def _report_stray(name: str, section: str, errors: list[ConfigError]) -> None:
    """Other programs may own names with our prefix; one that nearly names a section is a slip."""
    close = difflib.get_close_matches(section, ROOT.children, 1, 0.8)
    if close:
        text = f"names no section, did you mean {PREFIX}{close[0].upper()}?"
        errors.append(ConfigError(Origin("environment", name), (), text))


def _sort_key(path: Path) -> tuple[int, list[tuple[int, str]]]:
    parts = [(part, "") if isinstance(part, int) else (0, part) for part in path]
    return len(path), parts


def _variable(name: str, path: Path, text: str, errors: list[ConfigError]) -> Assignment | None:
    origin = Origin("environment", name)
    setting = setting_at(path)
    if setting and setting.kind == "text":
        # Taken to the letter: a password may look like YAML ("a #b") and mean no such thing.
        null = setting.optional and text in ("null", "~")
        return Assignment(path, Node(None if null else text, origin, origin, text))
    return _value(path, text, origin, errors)


def _value(path: Path, text: str, origin: Origin, errors: list[ConfigError]) -> Assignment | None:
    composer = Composer(lambda _line, _column: origin)
    node = composer.compose(text, path)
    errors.extend(composer.errors)
    if composer.errors:
        return None
    return Assignment(path, node or Node(None, origin, origin))


def read_overrides(overrides: Sequence[str], errors: list[ConfigError]) -> list[Assignment]:
    """What ``--set key=value`` says, in the order given; values are YAML."""
    assignments = []
    for override in overrides:
        key, equals, text = override.partition("=")
        path = path_of(key.strip())
        setting = setting_at(path)
        masked = setting is not None and setting.holds_secret()
        origin = Origin("override", f"{key}=***" if masked and equals else override)
        if not equals or "" in path:
            text = "write key=value, as --set limits.inflight_max=100"
            errors.append(ConfigError(origin, (), text))
            continue
        assignment = _value(path, text, origin, errors)
        if assignment:
            assignments.append(assignment)
    return assignments
