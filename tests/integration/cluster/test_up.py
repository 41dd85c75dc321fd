"""``rookery cluster up`` with real nodes: how it begins, goes on and ends."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rookery.cli.cluster.processes import process_of
from tests.support.command import rookery, rookery_open
from tests.support.ports import free_row
from tests.support.wire import V5
from tests.support.wire_client import Client, tcp

SECONDS_MAX = 30.0


class Up:
    """``cluster up`` in the foreground; its lines one by one."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, pattern: str) -> re.Match[str]:
        """The next line in which this is found."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.decode().rstrip("\n"))
            if found := re.search(pattern, self.said[-1]):
                return found
        raise AssertionError(f"never said {pattern!r}: {self.said}")

    def stop(self, signum: signal.Signals) -> int:
        """Tell it to stop; its exit code."""
        self.process.send_signal(signum)
        self.until("all nodes are stopped")
        return self.process.wait(SECONDS_MAX)


@contextmanager
def started(path: Path, count: int, port: int, *more: str) -> Iterator[Up]:
    arguments = ("cluster", "up", str(count), "-d", str(path), "--ports-from", str(port), *more)
    with rookery_open(*arguments, env={**os.environ, "NO_COLOR": "1"}) as process:
        try:
            yield Up(process)
        finally:
            if process.poll() is None:
                process.terminate()


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch):
    for variable in list(os.environ):
        if variable.startswith("ROOKERY_") or variable.endswith("_PORT"):
            monkeypatch.delenv(variable)


@pytest.fixture
def down(tmp_path: Path) -> Iterator[None]:
    """Leave nothing behind, whatever the test comes to."""
    yield
    rookery("cluster", "down", "-d", str(tmp_path))


def told(path: Path, *arguments: str) -> tuple[int, str]:
    done = rookery("cluster", *arguments, "-d", str(path))
    return done.returncode, (done.stdout + done.stderr).decode()


def nodes_of(path: Path) -> list[dict[str, object]]:
    code, text = told(path, "status", "--json")
    found: list[dict[str, object]] = json.loads(text)["nodes"]
    assert code == (0 if all(node["ready"] for node in found) else 1)
    return found


@pytest.mark.usefixtures("down")
def test_three_nodes_from_beginning_to_end(tmp_path: Path):
    port = free_row(18)
    with started(tmp_path, 3, port) as up:
        up.until("Ctrl-C stops all nodes")
        ready = {line for line in up.said if line.endswith("is ready")}
        assert ready == {f"node{number} is ready" for number in (1, 2, 3)}
        header, *rows = up.said[-5:-1]
        assert header.split() == "node MQTT gRPC metrics dashboard pid ready log".split()
        for index, row in enumerate(rows):
            first = port + 6 * index
            assert row.split()[:5] == [f"node{index + 1}", *map(str, range(first, first + 4))]
            assert row.split()[6:] == ["yes", str(tmp_path / f"node{index + 1}" / "node.log")]

        nodes = nodes_of(tmp_path)
        assert [node["process"] for node in nodes] == ["running"] * 3
        assert [str(node["pid"]) for node in nodes] == [row.split()[5] for row in rows]

        address = f"127.0.0.1:{port}"
        check = rookery("check", "cross-node", "--nodes", f"{address},{address}", "--qos", "2")
        assert check.returncode == 0, check.stdout

        code, text = told(tmp_path, "up", "3", "--ports-from", str(port))
        assert code == 1
        assert f"or 'rookery start --workers' runs in {tmp_path}" in text

        killed = int(str(nodes[1]["pid"]))
        os.kill(killed, signal.SIGKILL)
        up.until(rf"node2 \(pid {killed}\) ended by itself: SIGKILL; it is started again in 1 s")
        again = int(up.until(r"node2 starts \(pid (\d+)\)")[1])
        up.until("node2 is ready")
        assert [node["pid"] for node in nodes_of(tmp_path)][1] == again != killed

        assert up.stop(signal.SIGINT) == 0
    pids = [again, *(int(str(nodes[index]["pid"])) for index in (0, 2))]
    assert [process_of(pid) for pid in pids] == [None] * 3
    for number in (1, 2, 3):
        assert "node_stopped" in (tmp_path / f"node{number}" / "node.log").read_text()
        assert not (tmp_path / f"node{number}" / "node.pid").exists()
    assert [node["process"] for node in nodes_of(tmp_path)] == ["stopped"] * 3


@pytest.mark.usefixtures("down")
def test_nodes_left_running_are_stopped_later_and_go_on_with_their_data(tmp_path: Path):
    port = free_row(6)
    code, text = told(tmp_path, "up", "1", "--ports-from", str(port), "--detach")
    assert code == 0, text
    assert "stop them with: rookery cluster down" in text
    with Client(tcp(("127.0.0.1", port)), V5) as client:
        client.connect("keeper")
        client.publish("kept", b"x", qos=1, retain=True)
        client.disconnect()
    (first,) = nodes_of(tmp_path)
    assert (tmp_path / "node1" / "node.pid").read_text() == f"{first['pid']}\n"
    code, text = told(tmp_path, "up")
    assert (code, f"node1 (pid {first['pid']}) run in {tmp_path} already" in text) == (1, True)

    assert told(tmp_path, "down") == (0, f"node1 (pid {first['pid']}) is stopped\n")
    assert told(tmp_path, "down") == (0, "no node was running\n")

    code, text = told(tmp_path, "up", "--detach")
    assert code == 0, text
    (second,) = nodes_of(tmp_path)
    assert (second["node_id"], second["metrics"]) == (first["node_id"], first["metrics"])
    assert second["pid"] != first["pid"]
    with Client(tcp(("127.0.0.1", port)), V5) as client:
        client.connect("reader")
        client.subscribe("kept")
        client.receive_message("kept", b"x")
    assert told(tmp_path, "down")[0] == 0


@pytest.mark.usefixtures("down")
def test_down_stops_one_in_the_foreground(tmp_path: Path):
    with started(tmp_path, 1, free_row(6)) as up:
        up.until("Ctrl-C stops all nodes")
        (node,) = nodes_of(tmp_path)
        assert told(tmp_path, "down") == (0, "the cluster is stopped\n")
        up.until("all nodes are stopped")
        assert up.process.wait(SECONDS_MAX) == 0
    assert process_of(int(str(node["pid"]))) is None


@pytest.mark.usefixtures("down")
def test_nodes_of_one_that_was_killed_are_found_and_stopped(tmp_path: Path):
    port = free_row(6)
    with started(tmp_path, 1, port) as up:
        up.until("Ctrl-C stops all nodes")
        up.process.kill()
        up.process.wait(SECONDS_MAX)
    (node,) = nodes_of(tmp_path)
    assert node["process"] == "running"
    assert told(tmp_path, "up")[0] == 1
    assert told(tmp_path, "down") == (0, f"node1 (pid {node['pid']}) is stopped\n")
    assert process_of(int(str(node["pid"]))) is None


@pytest.mark.usefixtures("down")
def test_being_stopped_while_it_starts(tmp_path: Path):
    with started(tmp_path, 2, free_row(12)) as up:
        pid = int(up.until(r"node1 starts \(pid (\d+)\)")[1])
        assert up.stop(signal.SIGTERM) == 0
    assert process_of(pid) is None


def test_nodes_that_cannot_start_say_why_and_leave_nothing(tmp_path: Path):
    code, text = told(tmp_path, "up", "2", "--ports-from", str(free_row(12)), "--set", "limits.x=1")
    assert code == 1
    assert "ended by itself: exit code 1" in text
    assert "limits.x: unknown key" in text
    assert [node["process"] for node in nodes_of(tmp_path)] == ["stopped"] * 2


@pytest.mark.usefixtures("down")
def test_nodes_that_are_never_ready_are_told_and_stopped(tmp_path: Path):
    more = ("--set", "metrics.enabled=false", "--timeout", "4")
    code, text = told(tmp_path, "up", "1", "--ports-from", str(free_row(6)), *more)
    assert code == 1
    assert "the time is up\nnode1 is not ready: connection refused\nthe end of" in text
    assert "node_started" in text
    assert [node["process"] for node in nodes_of(tmp_path)] == ["stopped"]
