"""``rookery tls``."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from rookery.cli.main import app
from rookery.config import load
from tests.support.certificates import make_certificates


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tls", *arguments])


class TestSelfSigned:
    def test_it_tells_a_configuration_and_a_command(self, tmp_path: Path) -> None:
        folder = tmp_path / "with space"
        done = run("self-signed", "--dir", str(folder), "--host", "a.example")
        assert done.exit_code == 0, done.output
        text = re.search(r"listeners:\n(?:  .*\n)+", done.output)
        assert text is not None
        path = tmp_path / "rookery.yaml"
        path.write_text(text[0])
        (listener,) = load(path).config.listeners
        assert listener.tls is not None
        assert Path(listener.tls.certificate) == folder / "server.pem"
        assert listener.tls.client_certificate == "none"
        words = shlex.split(done.output.splitlines()[-1])
        assert words == [
            *("mosquitto_sub", "-h", "a.example", "-p", "8883"),
            *("--cafile", str(folder / "ca.pem"), "-t", "#", "-v"),
        ]
        assert run("show", "-c", str(path)).exit_code == 0

    def test_clients_make_certificates_required(self, tmp_path: Path) -> None:
        arguments = ["self-signed", "--dir", str(tmp_path), "--client", "bob", "--client", "bob"]
        done = run(*arguments)
        assert done.exit_code == 0
        text = re.search(r"listeners:\n(?:  .*\n)+", done.output)
        assert text is not None
        tls = yaml.safe_load(text[0])["listeners"][0]["tls"]
        assert (tls["ca"], tls["client_certificate"]) == (str(tmp_path / "ca.pem"), "required")
        assert f"--cert {tmp_path}/bob.pem --key {tmp_path}/bob.key" in done.output
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == (
            f"rookery: {tmp_path}/ca.pem is there already: --force overwrites it\n"
        )
        assert run(*arguments, "--force").exit_code == 0

    @pytest.mark.parametrize(
        "arguments", [["--host", "a b"], ["--client", "../x"], ["--client", "ca"], ["--days", "0"]]
    )
    def test_what_cannot_be_made_is_refused(self, tmp_path: Path, arguments: list[str]) -> None:
        done = run("self-signed", "--dir", str(tmp_path / "x"), *arguments)
        assert done.exit_code == 2
        assert arguments[0] in done.stderr
        assert not (tmp_path / "x").exists()


class TestShow:
    def test_all_that_is_configured(self, tmp_path: Path) -> None:
        made = make_certificates(tmp_path)
        tls = {
            "certificate": str(made.chained_server.certificate),
            "private_key": str(made.chained_server.private_key),
            "ca": str(made.ca),
            "client_certificate": "optional",
            "crl": str(made.crl),
        }
        listeners = [{"type": "tls", "port": 8883, "tls": tls}, {"type": "tcp"}]
        done = run("show", "--set", f"listeners={json.dumps(listeners)}")
        assert done.exit_code == 0, done.output
        lines = done.output.splitlines()
        assert lines[0] == (
            "tls-0 (tls on 0.0.0.0:8883, TLS 1.2 and later, client certificates: optional)"
        )
        shown = [line.strip() for line in lines]
        assert shown[1:3] == ["certificate: chained-server", "by      Test intermediate"]
        assert "names   chained.example" in shown
        assert [line for line in shown if re.match(r"\w+: ", line)] == [
            "certificate: chained-server",
            "chain: Test intermediate",
            "ca: Test ca",
            "crl: Test ca",
        ]
        assert len([line for line in shown if re.fullmatch(r"ends .* UTC, in \d+ days", line)]) == 4

    def test_what_has_ended(self, tmp_path: Path) -> None:
        made = make_certificates(tmp_path)
        pair = made.server_expired
        tls = {"certificate": str(pair.certificate), "private_key": str(pair.private_key)}
        listeners = json.dumps([{"type": "tls", "port": 8883, "tls": tls}])
        assert ", 10 days ago" in run("show", "--set", f"listeners={listeners}").output

    def test_files_that_cannot_be_used(self, tmp_path: Path) -> None:
        tls = {"certificate": str(tmp_path / "no"), "private_key": str(tmp_path / "no")}
        listeners = json.dumps([{"type": "tls", "port": 8883, "tls": tls}])
        done = run("show", "--set", f"listeners={listeners}")
        assert done.exit_code == 1
        assert done.stderr.startswith(f"rookery: listener tls-0: certificate file {tmp_path}/no")

    def test_none(self) -> None:
        done = run("show", "--set", "listeners=[{type: tcp}]")
        assert (done.exit_code, done.output) == (0, "no listener has TLS\n")
