"""``rookery audit``."""

import getpass
import json
from pathlib import Path

from typer.testing import CliRunner

from rookery.cli.audit import note_act
from rookery.cli.main import app


def run(directory: Path, *arguments: str):
    place = f"store.directory={directory}"
    return CliRunner().invoke(app, [*arguments, "--set", place])


def test_acts_are_told_with_who_and_when(tmp_path: Path):
    assert run(tmp_path, "audit", "list").output == ""
    run(tmp_path, "ban", "add", "client_id", "x", "--reason", "noise")
    note_act(tmp_path, "store repair", "here")
    first, second = run(tmp_path, "audit", "list").output.splitlines()
    who = getpass.getuser()
    assert first.partition("  ")[2] == f"{who}  ban add  client_id x  deny for good: noise"
    assert second.partition("  ")[2] == f"{who}  store repair  here"
    assert first.startswith("20") and first[19] == "Z"
    lines = run(tmp_path, "audit", "list", "--json").output.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert len(run(tmp_path, "audit", "list", "--last", "1").output.splitlines()) == 1


def test_since(tmp_path: Path):
    note_act(tmp_path, "test", "x")
    assert run(tmp_path, "audit", "list", "--since", "1h").output != ""
    assert run(tmp_path, "audit", "list", "--since", "2090-01-01").output == ""
    assert run(tmp_path, "audit", "list", "--since", "x").exit_code == 2
