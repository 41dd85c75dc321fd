"""The scripts: they call the command, from anywhere, and pass its options and exit codes on."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import command
from tests.support.ports import free_row
from tests.tidy.source import ROOT

SCRIPTS = ROOT / "scripts"
SECONDS_MAX = 30.0


@pytest.fixture
def run(tmp_path: Path):
    """Run a script elsewhere, with a rookery of this source."""
    rookery = tmp_path / "rookery"
    rookery.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    rookery.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_PORT")}

    def run(name: str, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [SCRIPTS / name, *arguments],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS_MAX,
            cwd=tmp_path,
            env={**clean, "ROOKERY": str(rookery)},
        )
        return done.returncode, done.stdout.decode()

    yield run
    run("stop-cluster.sh")


def test_start_test_and_stop(run):
    port = free_row(18)
    code, text = run("start-cluster.sh", "--ports-from", str(port))
    assert code == 0, text
    assert [line for line in text.splitlines() if line.startswith("node3 ")][-1].split()[1] == str(
        port + 12
    )
    address = f"localhost:{port}"
    code, text = run("cluster-test", "--nodes", f"{address},{address}")
    assert code == 0, text
    assert run("start-cluster.sh", "--ports-from", str(port))[0] == 1
    code, text = run("stop-cluster.sh")
    assert (code, text.count(" is stopped")) == (0, 3)
    assert run("stop-cluster.sh") == (0, "no node was running\n")
    assert run("cluster-test", "--nodes", f"{address},{address}")[0] == 1


def test_the_scripts_are_clean():
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: SCRIPTS NOT CHECKED")
    files = sorted(path for path in SCRIPTS.iterdir() if path.read_text().startswith("#!/bin/sh"))
    assert len(files) >= 4
    done = subprocess.run([shellcheck, *files], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_without_a_command_they_say_so(tmp_path: Path):
    copies = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, copies)
    done = subprocess.run(
        [copies / "stop-cluster.sh"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 1
    assert "there is no rookery command: run 'make setup'" in done.stderr
