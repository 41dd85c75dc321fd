"""Sentences for what the models refuse: what is wrong and what would be right."""

import difflib
import json
from collections.abc import Iterator, Sequence

from pydantic_core import ErrorDetails

from rookery.config.errors import Path, dotted
from rookery.config.schema import ROOT, Setting, setting_at, walk

SHOWN_CHARACTERS_MAX = 60


def sentences(error: ErrorDetails) -> Iterator[tuple[Path, str]]:
    """The paths and sentences of one error of pydantic's."""
    path = tuple(error["loc"])
    match error["type"]:
        case "default_factory_not_called":
            return  # Follows from another error of the same section.
        case "extra_forbidden":
            yield path, unknown_key(path)
        case "problems":
            for below, text in error["ctx"]["problems"]:
                yield (*path, *below), text
        case "missing":
            yield path, f"is missing: must be {_setting(path).expected}"
        case _:
            yield path, refusal(path, error["input"])


def _setting(path: Path) -> Setting:
    setting = setting_at(path)
    assert setting is not None, f"the models refuse {dotted(path)}, which they do not have"
    return setting


def refusal(path: Path, value: object) -> str:
    """Say what the setting takes, and what it was given unless that is a secret."""
    setting = _setting(path)
    text = f"must be {setting.expected}"
    if not setting.secret:
        text += f", not {shown(value)}"
    close = _close(str(value), setting.choices)
    return f"{text}; did you mean {close}?" if close else text


def shown(value: object) -> str:
    """A value as it would be written, shortened."""
    if value is None:
        return "empty"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = text[:SHOWN_CHARACTERS_MAX] + "..."
    return text


def unknown_key(path: Path) -> str:
    """Say which key may have been meant by the last one of the path."""
    *above, key = path
    parent = setting_at(tuple(above)) or ROOT
    if parent.kind == "list":
        return f"entries of a list go by number, as {dotted((*above, 0))}"
    if parent.kind != "section":
        return f"unknown key; {dotted(tuple(above))} is a single value"
    keys = list(parent.children)
    # The same word in another section is likelier than a word here that is only a little alike.
    meant = _close(str(key), keys, 0.8) or _elsewhere(str(key)) or _close(str(key), keys)
    if meant:
        return f"unknown key, did you mean {meant}?"
    return f"unknown key; the keys here are {', '.join(parent.children)}"


def _elsewhere(key: str) -> str | None:
    """Where another section has this key."""
    paths = [path for path, _ in walk(ROOT) if path[-1] == key]
    return ".".join(paths[0]) if paths else None


def _close(word: str, words: Sequence[str], likeness: float = 0.6) -> str | None:
    found = difflib.get_close_matches(word.lower().replace("-", "_"), words, 1, likeness)
    return found[0] if found else None
