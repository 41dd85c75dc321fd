"""What ``up`` and ``down`` decide before a process is started; with processes: tests/integration/cluster."""

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rookery.cli.cluster.folder import Folder, NodeState, State
from rookery.cli.cluster.plan import packed
from rookery.cli.cluster.processes import process_of
from rookery.cli.main import app
from tests.support.ports import free_row


def cluster(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cluster", *arguments])


def kept(path: Path, count: int, *, running: bool = False) -> int:
    """A directory that had a cluster; its first port."""
    folder = Folder(path)
    start = free_row(6 * count)
    plans = packed(count, start)
    folder.lock()
    folder.prepare(plans)
    process = process_of(os.getpid()) if running else None
    folder.write(State(None, tuple(NodeState(plan, process) for plan in plans)))
    folder.unlock()
    return start


@pytest.mark.parametrize(
    "arguments",
    [
        ("0",),
        ("17",),
        ("x",),
        ("--ports-from", "65530"),
        ("--ports-from", "20000", "--mqtt-port", "5"),
        ("--mqtt-port", "4222"),
    ],
)
def test_a_wrong_command_line(tmp_path: Path, arguments: tuple[str, ...]):
    assert cluster("up", "-d", str(tmp_path), *arguments).exit_code == 2
    assert not (tmp_path / "cluster.json").exists()


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        done = cluster("up", "1", "-d", str(tmp_path), "--ports-from", str(min(port, 65_530)))
    assert done.exit_code == 1
    assert f"port {port}, " in done.stderr and " of node1, is taken" in done.stderr
    assert not (tmp_path / "cluster.json").exists()


def test_a_cluster_that_runs_is_not_started_again(tmp_path: Path):
    kept(tmp_path, 1, running=True)
    done = cluster("up", "1", "-d", str(tmp_path))
    assert done.exit_code == 1
    assert f"node1 (pid {os.getpid()}) run in {tmp_path} already" in done.stderr


def test_a_cluster_that_was_there_keeps_ports_and_number(tmp_path: Path):
    start = kept(tmp_path, 3)
    fewer = cluster("up", "2", "-d", str(tmp_path))
    assert fewer.exit_code == 1 and "has 3 nodes" in fewer.stderr
    others = cluster("up", "-d", str(tmp_path), "--ports-from", "1000")
    assert others.exit_code == 1 and f"mqtt {start}, not 1000" in others.stderr
    # Without a number or ports they are those of before.
    with socket.create_server(("", start + 12)):
        same = cluster("up", "-d", str(tmp_path))
    assert same.exit_code == 1 and f"port {start + 12}, mqtt of node3, is taken" in same.stderr


def test_down_where_nothing_is(tmp_path: Path):
    done = cluster("down", "-d", str(tmp_path))
    assert (done.exit_code, done.stdout) == (0, f"there is no cluster in {tmp_path}\n")
    kept(tmp_path, 2)
    done = cluster("down", "-d", str(tmp_path))
    assert (done.exit_code, done.stdout) == (0, "no node was running\n")
