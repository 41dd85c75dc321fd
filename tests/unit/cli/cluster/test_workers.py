"""``rookery start --workers``: what keeps it from starting, and its signals, with real processes for nodes."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rookery.cli.cluster import workers as module
from rookery.cli.cluster.folder import Folder, NodeState, State
from rookery.cli.cluster.plan import NodePlan, Ports
from rookery.cli.cluster.processes import Process, process_of
from rookery.cli.cluster.workers import Workers
from rookery.cli.main import app
from tests.support.ports import free_row

PLAN = NodePlan("a-1", Ports(1, 2, 3, 4, 5, 6))


def config(path: Path, more: str = "") -> Path:
    """A configuration with ports that are free."""
    port = free_row(9)
    file = path / "rookery.yaml"
    file.write_text(
        f"broker: {{node_id: a, mqtt_port: {port}, grpc_port: {port + 1}, metrics_port: {port + 2},"
        f" dashboard_port: {port + 7}}}\n"
        f"cluster: {{nats: {{port: {port + 5}, route_port: {port + 6}}}}}\n"
        f"store: {{directory: d}}\n{more}"
    )
    return file


def refused(file: Path, count: int = 2, code: int = 1) -> str:
    done = CliRunner().invoke(app, ["start", "--workers", str(count), "-c", str(file)])
    assert done.exit_code == code, done.output
    return done.stderr


def test_fewer_than_one(tmp_path: Path):
    assert "--workers" in refused(config(tmp_path), 0, 2)


def test_a_listener_that_cannot_be_shared(tmp_path: Path):
    file = config(tmp_path, "listeners: [{type: unix, path: /s}]")
    assert "listeners.0 (unix-0) is a unix socket" in refused(file)


def test_a_configuration_that_no_node_of_a_cluster_can_have(tmp_path: Path):
    file = config(tmp_path)
    file.write_text(file.read_text().replace("directory: d", "directory: d, durability: os"))
    assert "store.durability: is os, but a node of a cluster" in refused(file)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_taken_even_by_one_that_would_share_it(tmp_path: Path, shared: bool):
    file = config(tmp_path)
    port = int(file.read_text().partition("mqtt_port: ")[2].partition(",")[0])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert f"listener tcp: 0.0.0.0:{port} is already in use" in refused(file)


def test_a_store_of_a_node_without_workers(tmp_path: Path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "rookery.db").touch()
    assert "is the store of a node without workers" in refused(config(tmp_path))


def test_workers_that_run_already(tmp_path: Path):
    folder = Folder(tmp_path / "d")
    folder.lock()
    folder.make_directories([PLAN])
    folder.write(State(None, (NodeState(PLAN, process_of(os.getpid())),)))
    folder.unlock()
    assert f"a-1 (pid {os.getpid()}) run in {tmp_path / 'd'} already" in refused(config(tmp_path))


def test_a_hangup_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[list[str]] = []

    def start(arguments: list[str]) -> Process:
        started.append(arguments)
        pid = os.posix_spawn(
            sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"], os.environ
        )
        return process_of(pid) or Process(pid, 0)

    monkeypatch.setattr(module, "start_worker", start)
    folder = Folder(tmp_path, own_files=False)
    folder.make_directories([PLAN])
    workers = Workers(folder, {PLAN: ["--set", "x=1"]}, lambda: 0.0, lambda _line: None, "h")
    workers.start()
    assert (started, workers.nodes[0].host) == ([["--set", "x=1"]], "h")
    process = workers.nodes[0].process
    assert process is not None
    workers.reload()
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == -signal.SIGHUP
