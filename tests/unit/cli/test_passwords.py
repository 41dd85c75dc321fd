import os
import pty
import sys
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from rookery.auth.passwords import HASHES, parse_hash
from rookery.auth.scram_verifier import parse_verifier
from rookery.cli.main import app
from rookery.cli.passwords import Algorithm, Printed
from tests.support.command import command

runner = CliRunner()


def matches(output: str, password: bytes) -> bool:
    stored = parse_hash(output.strip())
    assert stored is not None
    return stored.matches(password)


def test_the_names_are_those_of_the_hashes():
    assert [each.value for each in Algorithm] == list(HASHES)
    assert [*HASHES, "scram-sha-256", "scram-sha-512"] == list(get_args(Printed))


@pytest.mark.parametrize("algorithm", ["scram-sha-256", "scram-sha-512"])
def test_verifiers_for_scram(algorithm: str):
    options = ["--password-stdin", "--algorithm", algorithm]
    done = runner.invoke(app, ["user", "hash", *options], input="secret\n")
    verifier = parse_verifier(done.stdout.strip())
    assert verifier.mechanism == algorithm.upper()
    assert verifier.matches("secret")


@pytest.mark.parametrize("line", [b"secret\nmore", b"secret\r\n", b"secret"])
def test_from_standard_input_and_from_a_file(tmp_path: Path, line: bytes):
    done = runner.invoke(app, ["user", "hash", "--password-stdin", "-a", "sha256"], input=line)
    assert done.exit_code == 0
    assert matches(done.stdout, b"secret")
    (tmp_path / "pw").write_bytes(line)
    done = runner.invoke(
        app, ["user", "hash", "--password-file", str(tmp_path / "pw"), "-a", "sha256"]
    )
    assert matches(done.stdout, b"secret")


@pytest.mark.parametrize(
    ("line", "algorithm", "complaint"),
    [
        (b"", "sha256", "an empty password is none"),
        (b"\n", "sha256", "an empty password is none"),
        (b"\xff\n", "sha256", "the password is not UTF-8"),
        (b"x" * 73, "bcrypt", "at most 72 bytes"),
        (b"a\x07", "scram-sha-256", "control characters"),
    ],
)
def test_what_is_no_password(line: bytes, algorithm: str, complaint: str):
    done = runner.invoke(app, ["user", "hash", "--password-stdin", "-a", algorithm], input=line)
    assert done.exit_code == 1
    assert complaint in done.stderr
    assert done.stdout == ""


def test_a_wrong_command_line(tmp_path: Path):
    done = runner.invoke(app, ["user", "hash"], input="secret\n")
    assert done.exit_code == 2
    assert "there is nobody to ask" in " ".join(done.stderr.split())
    (tmp_path / "pw").write_text("x")
    both = ["--password-stdin", "--password-file", str(tmp_path / "pw")]
    assert runner.invoke(app, ["user", "hash", *both]).exit_code == 2


def typed(*answers: bytes) -> tuple[bytes, int]:
    """Run with a terminal on which somebody answers each prompt."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, command("user", "hash", "-a", "sha256"))
    shown = b""
    waiting = list(answers)
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # What Linux says when the other side of a terminal is closed.
            part = b""
        if not part:
            break
        shown += part
        # The space comes last, once the terminal shows nothing of what is typed any more.
        if shown.endswith(b": ") and waiting:
            os.write(terminal, waiting.pop(0) + b"\n")
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_typed_in_twice_and_not_shown():
    shown, code = typed(b"secret", b"secret")
    assert code == 0
    assert b"secret" not in shown
    assert matches(shown.decode().split()[-1], b"secret")


def test_typed_in_twice_but_not_the_same_is_asked_again():
    shown, code = typed(b"secret", b"other", b"secret", b"secret")
    assert code == 0
    assert matches(shown.decode().split()[-1], b"secret")
