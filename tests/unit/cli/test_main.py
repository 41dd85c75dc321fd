"""The command itself."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from rookery import __version__
from rookery.cli.main import app


def test_the_version():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"rookery {__version__}\n")


def test_help_tells_commands_and_exit_codes():
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    for word in ("config", "start", "Exit codes: 0 done"):
        assert word in done.output


@pytest.mark.parametrize("arguments", [["nope"], ["--nope"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]):
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_help_loads_no_more_than_it_needs():
    """What takes long to load is left to the commands; this is what keeps ``--help`` quick."""
    code = (
        "import sys; from rookery.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'pydantic', 'yaml', 'uvloop', 'structlog', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
