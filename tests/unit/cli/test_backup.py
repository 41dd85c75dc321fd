"""``rookery backup``."""

from pathlib import Path

from typer.testing import CliRunner, Result

from rookery.cli.main import app
from tests.unit.store.test_inspect import fill


def run(directory: Path, *arguments: str) -> Result:
    place = f"store.directory={directory}"
    return CliRunner().invoke(app, ["backup", *arguments, "--set", place])


def test_create_and_restore(tmp_path: Path):
    fill(tmp_path / "a")
    file = str(tmp_path / "file")
    done = run(tmp_path / "a", "create", file)
    assert done.exit_code == 0
    assert done.output.startswith(f"{file}: ")
    done = run(tmp_path / "b", "restore", file)
    assert (done.exit_code, done.output) == (0, f"{tmp_path}/b: restored from {file}\n")
    done = run(tmp_path / "b", "restore", file)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "--force" in done.stderr
    done = run(tmp_path / "b", "restore", file, "--force")
    assert done.exit_code == 0
    assert "rookery.db.replaced-" in done.output
