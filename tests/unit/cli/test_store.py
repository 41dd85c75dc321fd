"""``rookery store``."""

import json
import sqlite3
from pathlib import Path

from typer.testing import CliRunner, Result

from rookery.cli.main import app
from tests.unit.store.test_inspect import fill


def run(directory: Path, *arguments: str) -> Result:
    place = f"store.directory={directory}"
    return CliRunner().invoke(app, ["store", *arguments, "--set", place])


def test_stats_for_people_and_programs(tmp_path: Path):
    fill(tmp_path)
    done = run(tmp_path, "stats")
    assert done.exit_code == 0
    assert "messages       4: 0 alone, the others in 2 blocks\n" in done.output
    found = json.loads(run(tmp_path, "stats", "--json").output)
    assert (found["sessions"], found["owed"], found["directory"]) == (2, 5, str(tmp_path))


def test_check_and_repair(tmp_path: Path):
    fill(tmp_path)
    done = run(tmp_path, "check")
    assert (done.exit_code, done.output) == (0, f"{tmp_path}: nothing is damaged\n")
    connection = sqlite3.connect(tmp_path / "rookery.db")
    with connection:
        connection.execute("UPDATE log SET data = x'00' WHERE block = 2")
    connection.close()
    done = run(tmp_path, "check")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "block 2: its directory is damaged\n" in done.stderr
    assert "rookery store repair" in done.stderr
    done = run(tmp_path, "repair")
    assert done.exit_code == 0
    assert "saved: 2 sessions" in done.output
    assert "lost: block 2: all entries\n" in done.output
    assert f"{tmp_path}/rookery.db.broken-" in done.output
    assert run(tmp_path, "check").exit_code == 0


def test_export_in_lines(tmp_path: Path):
    fill(tmp_path)

    def kinds(*options: str) -> list[str]:
        done = run(tmp_path, "export", *options)
        assert done.exit_code == 0
        return [json.loads(line)["kind"] for line in done.output.splitlines()]

    both = ["retained", "retained", "session", "session"]
    assert kinds() == kinds("--retained", "--sessions") == both
    assert kinds("--retained") == both[:2]
    assert kinds("--sessions") == both[2:]


def test_faults_go_to_standard_error(tmp_path: Path):
    for command in ("stats", "check", "repair", "export"):
        done = run(tmp_path / "absent", command)
        assert (done.exit_code, done.stdout) == (1, ""), command
        assert "absent" in done.stderr, command


def test_in_memory_there_is_nothing_to_look_at():
    done = CliRunner().invoke(app, ["store", "stats", "--set", "store.durability=memory"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no store on disk" in done.stderr
