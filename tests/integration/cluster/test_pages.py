"""The pages on clusters: their configurations load, their commands, figures and log lines exist."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rookery.config import Loaded, load, warnings
from tests.support.pages import ROOT, blocks, commands, page, read_command, unknown_figures

PAGES = ("clustering.md", "partitions.md", "sizing.md", "durability.md", "workers.md")
CLUSTERING = page("clustering.md")
WHOLE, *PARTS = blocks(CLUSTERING, "yaml")
LINES_AND_MEANINGS = "| line of the log |"


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for key, value in above.items():
        known = both.get(key)
        both[key] = merged(known, value) if isinstance(known, dict) else value
    return both


def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> Loaded:
    """The configuration of the page, and what a part of it says above that."""
    monkeypatch.setenv("NODE_ID", "b")
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    settings = merged(yaml.safe_load(WHOLE), yaml.safe_load(part))
    settings["cluster"]["secret"] = f"${{file:{secret}}}"
    file = tmp_path / "rookery.yaml"
    file.write_text(yaml.safe_dump(settings))
    return load(file, os.environ)


@pytest.mark.parametrize("part", ["{}", *PARTS])
def test_a_configuration_loads_and_warns_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
):
    found = loaded(tmp_path, monkeypatch, part)
    assert warnings(found.config, stored_users=1, references=found.references) == []
    assert found.config.nats_routes == ("a.example.com:6222", "c.example.com:6222")


@pytest.mark.parametrize("line", sorted({each for name in PAGES for each in commands(page(name))}))
def test_a_command_is_one(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cluster-secret", "a.db"):  # Files that must be there are looked for.
        Path(name).touch()
    there = line.replace("/etc/rookery/cluster-secret", "cluster-secret").replace(" FILE", " a.db")
    read_command(there.replace("<", "").replace(">", ""))


@pytest.mark.parametrize("name", PAGES)
def test_the_figures_are_counted(name: str):
    assert unknown_figures(page(name)) == set()


def test_the_log_has_such_lines():
    (table,) = re.findall(
        rf"^{re.escape(LINES_AND_MEANINGS)}.*?(?:\n\n|\Z)", CLUSTERING, re.DOTALL | re.MULTILINE
    )
    named = {
        word for row in table.splitlines()[2:] for word in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    source = "".join(path.read_text() for path in (ROOT / "src" / "rookery").rglob("*.py"))
    assert len(named) > 20
    assert {word for word in named if f'"{word}"' not in source} == set()
