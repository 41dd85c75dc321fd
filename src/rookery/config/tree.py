"""Values that remember where they were read: made from YAML, laid over each other, turned to data.

A ``Node`` never changes; laying one tree over another makes a third, so trees may share parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import yaml

from rookery.config.errors import ConfigError, Origin, Path
from rookery.config.schema import ROOT, Setting

Scalar = str | int | float | bool | None

MERGE_TAG = "tag:yaml.org,2002:merge"
STRING_TAG = "tag:yaml.org,2002:str"
SCALAR_TAGS = frozenset({f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")})
KNOWN_TAGS = SCALAR_TAGS | {STRING_TAG, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}


@dataclass(frozen=True)
class Node:
    """A value and where it was read."""

    content: "Scalar | dict[str, Node] | list[Node]"
    origin: Origin
    key_origin: Origin
    """Where the key of the value was read; for list entries and single values the same place."""
    text: str = ""
    """A plain value as it was written: ``0123`` where ``content`` is 83."""


class Composer:
    """Reads one YAML text into a tree and collects all that is wrong with it."""

    def __init__(self, origin_at: Callable[[int, int], Origin]) -> None:
        self._origin_at = origin_at
        self._open: set[int] = set()
        self._done: dict[int, Node] = {}
        self._constructor = yaml.constructor.SafeConstructor()
        self.errors: list[ConfigError] = []

    def compose(self, text: str, path: Path = ()) -> Node | None:
        """The tree of the text; ``None`` when it is empty or not YAML at all (then see ``errors``)."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            return None if root is None else self._node(root, path)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            assert mark is not None  # The scanner, parser and composer mark all their errors.
            what = ", ".join(part for part in (error.context, error.problem) if part)
            origin = self._origin_at(mark.line + 1, mark.column + 1)
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            column = error.position - (before.rfind("\n") + 1) + 1
            origin = self._origin_at(before.count("\n") + 1, column)
            what = f"the character U+{error.character:04X} may not appear in it"
        except RecursionError:
            origin, what = self._origin_at(0, 0), "it is nested too deeply"
        self.errors.append(ConfigError(origin, path, f"is not valid YAML: {what}"))
        return None

    def _node(self, node: yaml.Node, path: Path) -> Node:
        done = self._done.get(id(node))
        if done is not None:  # An alias: the value of its anchor.
            return done
        origin = self._origin(node)
        if id(node) in self._open:
            self._error(origin, path, "refers to itself; an alias cannot stand inside its anchor")
            return Node(None, origin, origin)
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            made = Node(self._mapping(node, path), origin, origin)
        elif isinstance(node, yaml.SequenceNode):
            entries = [self._node(child, (*path, index)) for index, child in enumerate(node.value)]
            made = Node(entries, origin, origin)
        else:
            assert isinstance(node, yaml.ScalarNode)  # There is no fourth kind of node.
            made = Node(self._scalar(node, path), origin, origin, node.value)
        self._open.discard(id(node))
        self._done[id(node)] = made
        return made

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            origin = self._origin(key)
            if key.tag == MERGE_TAG:
                merged |= self._merged(value, path)
            elif not isinstance(key, yaml.ScalarNode):
                self._error(origin, path, "a key must be a plain word, not a list or mapping")
            elif key.value in own:
                first = own[key.value].key_origin
                place = f"on line {first.line} already" if first.line else "twice"
                self._error(origin, (*path, key.value), f"is given {place}; keep one of the two")
            else:
                child = self._node(value, (*path, key.value))
                own[key.value] = replace(child, key_origin=origin)
        return merged | own

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Node]:
        """The keys that ``<<`` brings in; of several mappings the first wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Node] = {}
        for source in sources:
            content = self._node(source, path).content
            if isinstance(content, dict):
                merged = content | merged
            else:
                self._error(self._origin(source), path, "<< takes a mapping or a list of mappings")
        return merged

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Scalar:
        if node.tag not in KNOWN_TAGS:
            self._error(self._origin(node), path, f"the tag {node.tag} is not known; leave it out")
        if node.tag not in SCALAR_TAGS:
            return str(node.value)
        try:
            value: Scalar = self._constructor.construct_object(node)
        except ValueError:  # "0x_" looks like a number and is none.
            return str(node.value)
        return value

    def _origin(self, node: yaml.Node) -> Origin:
        return self._origin_at(node.start_mark.line + 1, node.start_mark.column + 1)

    def _error(self, origin: Origin, path: Path, text: str) -> None:
        self.errors.append(ConfigError(origin, path, text))


def merge(below: Node, above: Node) -> Node:
    """Lay one value over another: mappings join key by key, anything else replaces what was there."""
    if not isinstance(below.content, dict) or not isinstance(above.content, dict):
        return above
    joined = dict(below.content)
    for key, node in above.content.items():
        joined[key] = merge(joined[key], node) if key in joined else node
    return replace(above, content=joined)


def assign(tree: Node, path: Path, value: Node) -> Node:
    """Lay ``value`` over what the tree has at ``path``.

    Raises ``IndexError`` (its text says what would be right) for an index beyond the end of a list.
    """
    return _assign(tree, path, 0, value)


def _assign(tree: Node | None, path: Path, depth: int, value: Node) -> Node:
    if depth == len(path):
        return value if tree is None else merge(tree, value)
    part = path[depth]
    content = tree.content if tree else None
    origin = tree.origin if tree and content is not None else value.origin
    key_origin = tree.key_origin if tree and content is not None else value.key_origin
    if isinstance(part, int):
        entries = list(content) if isinstance(content, list) else []
        if part > len(entries):
            raise IndexError(f"the list ends before it; the next free number is {len(entries)}")
        below = entries[part] if part < len(entries) else None
        entries[part : part + 1] = [_assign(below, path, depth + 1, value)]
        return Node(entries, origin, key_origin)
    keys = dict(content) if isinstance(content, dict) else {}
    keys[part] = _assign(keys.get(part), path, depth + 1, value)
    return Node(keys, origin, key_origin)


def to_data(node: Node, setting: Setting | None = ROOT) -> object:
    """The tree as plain data for the models.

    What a text setting is given stays as it was written (``password: 0123``), and a section or list
    left empty (all its keys are comments, say) is as if it were not there. What lies below a wrong place
    is left out: the models refuse the place itself, and aliases within aliases could make it huge.
    """
    kind = setting.kind if setting else ""
    if isinstance(node.content, dict):
        if setting is None or kind != "section":
            return {}
        below = [(key, child, setting.child(key)) for key, child in node.content.items()]
        return {
            key: to_data(child, found) for key, child, found in below if not _empty(child, found)
        }
    if isinstance(node.content, list):
        if setting is None or kind != "list":
            return []
        return [to_data(child, setting.child(0)) for child in node.content]
    if kind in ("text", "choice") and node.content is not None:
        return node.text
    return node.content


def _empty(node: Node, setting: Setting | None) -> bool:
    return node.content is None and setting is not None and setting.kind in ("section", "list")


def locate(tree: Node, path: Path) -> tuple[Node, bool]:
    """The node at ``path``, or the nearest above it; and whether it is the very one."""
    node = tree
    for part in path:
        content = node.content
        if isinstance(content, dict) and part in content:
            node = content[str(part)]
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            node = content[part]
        else:
            return node, False
    return node, True


def path_of(text: str) -> Path:
    """The path that ``listeners.0.port`` or ``listeners[0].port`` names."""
    parts = text.replace("[", ".").replace("]", "").split(".")
    return tuple(int(part) if part.isdecimal() else part for part in parts)
