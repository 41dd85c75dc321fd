import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rookery import __version__
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5
from tests.support.engine import connect, said

PATIENCE_SECONDS = 20

CONFIG = {
    "listeners": [{"type": "tcp", "name": "main", "host": "127.0.0.1", "port": 0}],
    "metrics": {"enabled": False},
    "log": {"level": "info", "format": "json"},
}


def written(tmp_path: Path, **changed: object) -> Path:
    path = tmp_path / "rookery.yaml"
    path.write_text(json.dumps(CONFIG | changed))
    return path


def command(path: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "rookery", "start", "-c", str(path), *more]


@contextmanager
def started(path: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A node of the command line, and the banner it began with."""
    with subprocess.Popen(
        command(path, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            banner: list[str] = []
            while not (banner and "configured by" in banner[-1]):
                line = process.stdout.readline()
                assert line, process.stderr.read()
                banner.append(line.rstrip())
            yield process, banner
        finally:
            if process.poll() is None:
                process.kill()


def port_of(banner: list[str]) -> int:
    found = re.search(r"listening on tcp://127\.0\.0\.1:(\d+)", "\n".join(banner))
    assert found
    return int(found[1])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_told_to_stop_and_says_goodbye(tmp_path, signum):
    with started(written(tmp_path)) as (process, banner):
        assert re.match(
            rf"Rookery {re.escape(__version__)} \((compiled|interpreted) core\)", banner[0]
        )
        link = Link(CLIENT, PACKET_BYTES_LIMIT, 0, V5)
        link.send(connect("a"))
        with socket.create_connection(("127.0.0.1", port_of(banner)), PATIENCE_SECONDS) as sock:
            sock.sendall(link.take_output())
            assert said(link.receive(sock.recv(4_096))) == ["CONNACK"]
            process.send_signal(signum)
            data = b""
            while chunk := sock.recv(4_096):
                data += chunk
            assert said(link.receive(data)) == ["DISCONNECT 0x8B"]
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0
        events = [json.loads(line)["event"] for line in log.splitlines()]
        assert events[:2] == ["store_opened", "node_started"]
        assert events[-1] == "node_stopped"
        assert "client_connected" in events


def test_warnings_stand_in_the_banner(tmp_path):
    path = written(
        tmp_path,
        listeners=[{"type": "tcp", "name": "main", "host": "0.0.0.0", "port": 0}],
    )
    with started(path) as (process, _):
        process.terminate()
        rest = process.stdout.read()
        process.wait(PATIENCE_SECONDS)
    assert "  warning: " in rest


def test_the_log_level_is_read_again_on_sighup(tmp_path):
    path = written(tmp_path)
    with started(path) as (process, _):
        path.write_text("log: {level: nonsense}")
        process.send_signal(signal.SIGHUP)
        lines = iter(lambda: json.loads(process.stderr.readline()), None)
        refused = next(line for line in lines if line["event"] == "config_refused")
        assert "nonsense" in refused["errors"][0]
        written(tmp_path, log={"level": "debug", "format": "json"}, metrics={"enabled": True})
        process.send_signal(signal.SIGHUP)
        reloaded = next(line for line in lines if line["event"] == "config_reloaded")
        assert (reloaded["log_level"], reloaded["needs_restart"]) == ("debug", ["metrics"])
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0


class TestFailures:
    def fails(self, path: Path, *more: str) -> str:
        done = subprocess.run(
            command(path, *more),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            env=os.environ | {"COLUMNS": "200"},
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    def test_a_port_that_is_taken(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            listener = {"type": "tcp", "name": "main", "host": "127.0.0.1", "port": port}
            words = self.fails(written(tmp_path, listeners=[listener]))
        assert "rookery: " in words
        assert str(port) in words

    def test_a_configuration_with_errors(self, tmp_path):
        words = self.fails(written(tmp_path), "--set", "limits.inflight_max=lots")
        assert "limits.inflight_max" in words

    def test_a_certificate_that_is_missing(self, tmp_path):
        tls = {"certificate": str(tmp_path / "no.pem"), "private_key": str(tmp_path / "no.key")}
        listener = CONFIG["listeners"][0] | {"type": "tls", "tls": tls}
        assert "no.pem" in self.fails(written(tmp_path, listeners=[listener]))
