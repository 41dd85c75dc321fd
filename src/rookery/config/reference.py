"""Writes the reference of all settings from the models: ``python -m rookery.config.reference``."""

import json
import sys
from collections.abc import Iterator

from rookery.config.schema import ENTRY, ROOT, Setting, walk
from rookery.config.sections import Section
from rookery.config.sources import PLAIN_NAMES

INTRODUCTION = """\
# Configuration reference

This page is written by `python -m rookery.config.reference`; do not edit it.

A node runs without any configuration. What is set is read from four places; each wins over those before it:

1. the defaults below;
2. a YAML file: the one that `-c` names, else the one that `ROOKERY_CONFIG` names, else `rookery.yaml` in
   the working directory if it is there;
3. the environment: first the short names in the table below, then `ROOKERY_` names, with `__` between the
   parts: `ROOKERY_LIMITS__INFLIGHT_MAX=100`. Entries of a list go by number
   (`ROOKERY_LISTENERS__0__PORT=1884`), or the whole list is one YAML or JSON value
   (`ROOKERY_LISTENERS='[{"type": "tcp", "port": 1884}]'`). A text is taken to the letter, quotes included.
   Empty variables count as unset;
4. the command line: `--set limits.inflight_max=100`, the value as YAML, again with numbers for the entries of
   a list: `--set listeners.0.port=1884`.

Where two places set the same section, the section has the keys of both; any other value, a list too, replaces
the one before it. `rookery config show` tells the place each value came from, `rookery config check` tells
every error at once. Relative paths of files start at the working directory.
"""

SHORT_NAMES = """\
## Short names of variables

A `ROOKERY_` variable for the same setting wins over these. A value that begins with `tcp://` is left alone:
Kubernetes sets such variables for a service that is called `mqtt`, say.

| Variable | Setting |
|---|---|
"""


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [INTRODUCTION, SHORT_NAMES + "".join(_short_names())]
    sections = [(("Sections",), ROOT), *walk(ROOT)]
    parts += [_section(path, setting) for path, setting in sections if setting.kind == "section"]
    return "\n".join(parts)


def _short_names() -> Iterator[str]:
    for name, path in PLAIN_NAMES.items():
        yield f"| `{name}` | `{'.'.join(map(str, path))}` |\n"


def _section(path: tuple[str, ...], setting: Setting) -> str:
    title = ".".join(path).replace(f".{ENTRY}", "[]")
    lines = [f"## {title}", "", setting.description, ""]
    lines += ["| Setting | Takes | Default | Meaning |", "|---|---|---|---|"]
    lines += [_row(key, child) for key, child in setting.children.items()]
    return "\n".join(lines) + "\n"


def _row(key: str, setting: Setting) -> str:
    cells = (f"`{key}`", _takes(setting), _default(setting), setting.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _takes(setting: Setting) -> str:
    if setting.kind == "section":
        return "a section, see below"
    if setting.kind == "list":
        entry = setting.children[ENTRY]
        return "a list, see below" if entry.kind == "section" else f"a list, each {entry.expected}"
    return setting.expected


def _default(setting: Setting) -> str:
    if setting.required:
        return "must be given"
    if setting.kind == "section":
        return "`null`" if setting.optional else ""
    if setting.kind == "list" and not setting.default and not setting.optional:
        return "`[]`"
    return f"`{json.dumps(setting.default, default=Section.model_dump)}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
