"""``rookery config``, run as a program."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import rookery

Done = subprocess.CompletedProcess[str]

COMMAND = (sys.executable, "-m", "rookery")


def environment(**environ: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    if "PYTHONPATH" in kept:  # Programs run in a directory of their own.
        kept["PYTHONPATH"] = str(Path(kept["PYTHONPATH"]).resolve())
    return {**kept, **environ}


def run(directory: Path, *arguments: str, **environ: str) -> Done:
    return subprocess.run(
        [*COMMAND, "config", *arguments],
        cwd=directory,
        env=environment(**environ),
        capture_output=True,
        text=True,
        check=False,
    )


def run_on_a_terminal(directory: Path, *arguments: str, **environ: str) -> str:
    """What the program writes when its output is a terminal."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [*COMMAND, "config", *arguments],
        cwd=directory,
        env=environment(TERM="xterm-256color", COLUMNS="120", **environ),
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            parts.append(os.read(ours, 65536))
        except OSError:  # How Linux tells that the other side is closed.
            break
        if not parts[-1]:
            break
    os.close(ours)
    assert program.communicate()[1] == b""
    assert program.returncode == 0
    return b"".join(parts).decode()


class TestCheck:
    def test_without_errors_it_exits_with_0_and_tells_warnings(self, tmp_path: Path):
        done = run(tmp_path, "check")
        assert done.returncode == 0
        assert done.stdout == "the configuration without a file: no errors\n"
        assert done.stderr.startswith(
            "warning: anonymous clients are let in from this machine only (tcp;"
        )

    def test_all_errors_go_to_standard_error_and_the_exit_code_is_1(self, tmp_path: Path):
        (tmp_path / "f.yaml").write_text("limits:\n  inflight_max: abc\n  zzz: 1\n")
        done = run(tmp_path, "check", "-c", "f.yaml", "--set", "log.level=loud", MQTT_PORT="x")
        assert done.returncode == 1
        assert done.stdout == ""
        places = [line.split(": ")[:2] for line in done.stderr.splitlines()]
        assert places == [
            ["f.yaml:2:17", "limits.inflight_max"],
            ["f.yaml:3:3", "limits.zzz"],
            ["environment MQTT_PORT", "broker.mqtt_port"],
            ["--set log.level=loud", "log.level"],
        ]

    def test_a_name_without_srv_records_is_told_before_a_node_starts(self, tmp_path: Path):
        pytest.importorskip("grpc")
        (tmp_path / "rookery.yaml").write_text(
            "broker: {node_id: a}\n"
            "cluster: {enabled: true, secret: 0123456789abcdef, host: 0.0.0.0,\n"
            "  discovery: srv, dns_name: nodes.example.com}\n"
        )
        expected = "rookery.yaml:3:29: cluster.dns_name: is nodes.example.com, which has no SRV "
        checked, started = run(tmp_path, "check"), rookery("start", cwd=tmp_path)
        assert (checked.returncode, started.returncode) == (1, 1)
        assert checked.stderr.startswith(expected)
        assert "_nats._tcp.example.com" in checked.stderr
        assert started.stderr.decode() == checked.stderr

    @pytest.mark.parametrize("how", ["option", "variable", "working directory"])
    def test_the_file_is_found(self, tmp_path: Path, how: str):
        name = "rookery.yaml" if how == "working directory" else "f.yaml"
        (tmp_path / name).write_text("log: {}\n")
        arguments = ("--config", name) if how == "option" else ()
        environ = {"ROOKERY_CONFIG": name} if how == "variable" else {}
        assert run(tmp_path, "check", *arguments, **environ).stdout == f"{name}: no errors\n"

    def test_a_wrong_option_is_a_usage_error(self, tmp_path: Path):
        done = run(tmp_path, "check", "--nope")
        assert done.returncode == 2
        assert "--nope" in done.stderr


class TestShow:
    def test_every_value_and_its_origin_in_columns(self, tmp_path: Path):
        (tmp_path / "rookery.yaml").write_text(
            "broker:\n  auth:\n    users: [{username: a, password: hunter2}]\n"
        )
        done = run(tmp_path, "show", "--set", "limits.inflight_max=7", MQTT_PORT=":1884")
        assert (done.returncode, done.stderr) == (0, "")
        header, *rows = (line.split(maxsplit=2) for line in done.stdout.splitlines())
        assert header == ["Setting", "Value", "Origin"]
        told = {setting: (value, origin) for setting, value, origin in rows}
        assert told["broker.mqtt_port"] == ("1884", "environment MQTT_PORT")
        assert told["broker.node_id"] == ('"rookery-1884"', "default")
        assert told["broker.auth.users.0.username"] == ('"a"', "rookery.yaml:3:24")
        assert told["broker.auth.users.0.password"] == ('"***"', "rookery.yaml:3:37")
        assert told["limits.inflight_max"] == ("7", "--set limits.inflight_max=7")
        assert "hunter2" not in done.stdout

    def test_json(self, tmp_path: Path):
        done = run(tmp_path, "show", "--json", NODE_ID="n")
        told = json.loads(done.stdout)
        assert told["source"] is None
        assert told["values"]["broker.node_id"] == {"value": "n", "origin": "environment NODE_ID"}
        assert told["values"]["mqtt.server_reference"] == {"value": None, "origin": "default"}

    def test_errors_are_told_as_by_check(self, tmp_path: Path):
        done = run(tmp_path, "show", "-c", "no.yaml")
        assert done.returncode == 1
        assert done.stderr == "no.yaml: cannot be read: No such file or directory\n"

    def test_a_table_on_a_terminal_with_codes_only_when_wanted(self, tmp_path: Path):
        assert "\x1b[" in run_on_a_terminal(tmp_path, "show")
        bare = run_on_a_terminal(tmp_path, "show", NO_COLOR="1")
        assert "\x1b[" not in bare
        assert bare.splitlines()[1].split() == ["broker.mqtt_port", "1883", "default"]


def test_the_reference_is_printed(tmp_path: Path):
    assert run(tmp_path, "reference").stdout.startswith("# Configuration reference\n")
