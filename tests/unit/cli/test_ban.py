"""``rookery ban``."""

import getpass
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rookery.cli.main import app


def run(directory: Path, *arguments: str, given: str | None = None) -> Result:
    place = f"store.directory={directory}"
    return CliRunner().invoke(app, ["ban", *arguments, "--set", place], input=given)


def exported(directory: Path) -> list[dict]:
    return [json.loads(line) for line in run(directory, "export").output.splitlines()]


def test_add_list_remove(tmp_path: Path):
    assert run(tmp_path, "list").output == "nobody is banned\n"
    done = run(tmp_path, "add", "client-id", "bad-*", "--reason", "noise", "--action", "disconnect")
    assert (done.exit_code, done.output) == (
        0,
        "banned client_id bad-* (disconnect, for good)\n",
    )
    assert run(tmp_path, "add", "address", "192.0.2.9/24", "--for", "10m").exit_code == 0
    lines = run(tmp_path, "list").output.splitlines()
    who = getpass.getuser()
    assert lines[0] == f"client_id  bad-*         disconnect  for good  by {who}: noise"
    assert lines[1].startswith("address    192.0.2.0/24  deny        until 20")
    (first, second) = exported(tmp_path)
    assert second["until"] - second["at"] == pytest.approx(600, abs=0.01)
    assert [json.loads(line) for line in run(tmp_path, "list", "--json").output.splitlines()] == [
        first,
        second,
    ]
    done = run(tmp_path, "remove", "address", "192.0.2.0/24")
    assert (done.exit_code, done.output) == (0, "address 192.0.2.0/24 is banned no more\n")
    done = run(tmp_path, "remove", "address", "192.0.2.0/24")
    assert (done.exit_code, done.stderr) == (1, "there is no ban of address 192.0.2.0/24\n")
    assert exported(tmp_path) == [first]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("add", "clientid", "x"), "no kind of ban"),
        (("add", "address", "x"), "no address or network"),
        (("remove", "address", "x"), "no address or network"),
        (("add", "client_id", "x", "--for", "soon"), "no duration"),
        (("add", "client_id", "x", "--until", "soon"), "no time"),
        (("add", "client_id", "x", "--until", "2020-01-01"), "passed already"),
        (("add", "client_id", "x", "--until", "2090-01-01", "--for", "1h"), "give one of"),
        (("add", "client_id", "x", "--action", "kick"), "no action"),
    ],
)
def test_a_wrong_command_line(tmp_path: Path, arguments: tuple, text: str):
    done = run(tmp_path, *arguments)
    assert done.exit_code == 2
    assert text in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "access.db").exists()


def test_one_that_has_ended_is_not_listed(tmp_path: Path):
    run(tmp_path, "add", "client_id", "x", "--for", "0.001s")
    run(tmp_path, "add", "client_id", "y")
    assert [ban["pattern"] for ban in exported(tmp_path)] == ["y"]


def test_what_is_exported_can_be_imported(tmp_path: Path):
    here, there = tmp_path / "a", tmp_path / "b"
    run(here, "add", "topic", "secret/#", "--reason", "no")
    run(here, "add", "username", "u?", "--until", "2090-01-01", "--action", "log")
    file = tmp_path / "bans"
    file.write_text(run(here, "export").output)
    assert run(there, "import", str(file)).output == "banned 2\n"

    def without_when(bans: list[dict]) -> list[dict]:
        return sorted(({**ban, "at": 0} for ban in bans), key=lambda ban: ban["pattern"])

    assert without_when(exported(there)) == without_when(exported(here))


def test_a_plain_list_of_addresses(tmp_path: Path):
    text = "# bad ones\n192.0.2.7\n\n2001:db8::/32  # a network\n"
    done = run(tmp_path, "import", "-", "--reason", "listed", "--for", "1d", given=text)
    assert (done.exit_code, done.output) == (0, "banned 2\n")
    found = exported(tmp_path)
    assert sorted(ban["pattern"] for ban in found) == ["192.0.2.7", "2001:db8::/32"]
    assert {ban["reason"] for ban in found} == {"listed"}
    assert all(ban["until"] for ban in found)


def test_when_one_line_is_wrong_nobody_is_banned(tmp_path: Path):
    lines = [
        "192.0.2.7",
        "nobody",
        '{"kind": "client_id"}',
        '{"kind": "client_id", "pattern": "x", "why": 1}',
        '{"kind": "client_id", "pattern": "x", "until": "soon"}',
        "{",
    ]
    done = run(tmp_path, "import", "-", given="\n".join(lines))
    assert done.exit_code == 1
    told = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in told[:-1]] == [f"line {n}" for n in range(2, 7)]
    assert told[-1] == "5 lines are wrong; nobody was banned"
    assert exported(tmp_path) == []


def test_a_file_that_cannot_be_read(tmp_path: Path):
    done = run(tmp_path, "import", str(tmp_path / "absent"))
    assert (done.exit_code, "cannot be read" in done.stderr) == (1, True)
    (tmp_path / "raw").write_bytes(b"\xff\xfe")
    done = run(tmp_path, "import", str(tmp_path / "raw"))
    assert (done.exit_code, "no text in UTF-8" in done.stderr) == (1, True)
