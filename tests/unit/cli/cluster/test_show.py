"""``cluster status`` and ``topology``: tables, JSON and exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rookery.cli.main import app
from tests.support.metrics_port import Admin, metrics_port


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def cluster(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cluster", *arguments])


def test_the_status_of_two_that_are_well():
    a, b = Admin("a", {"a": "up", "b": "up"}), Admin("b", {"a": "up"}, sessions=0)
    with metrics_port(a) as one, metrics_port(b) as other:
        done = cluster("status", "--nodes", f"{one},{other}")
        as_json = cluster("status", "--nodes", f"{one},{other}", "--json")
    assert (done.exit_code, as_json.exit_code) == (0, 0)
    header, *rows = (line.split() for line in done.stdout.splitlines())
    assert dict(zip(header, rows[0], strict=True)) == {
        "node": "a",
        "process": "unknown",
        "pid": "-",
        "ready": "yes",
        "state": "live",
        "epoch": "3",
        "links": "1/1",
        "sessions": "5",
        "routes": "7",
    }
    assert rows[1][header.index("sessions")] == "0"
    assert [each["node_id"] for each in json.loads(as_json.stdout)["nodes"]] == ["a", "b"]


def test_the_status_of_one_that_is_not_ready():
    with metrics_port(Admin("a", {"b": "down"}), unready="fenced") as address:
        done = cluster("status", "--nodes", address)
    assert done.exit_code == 1
    assert "0/1" in done.stdout
    assert done.stdout.splitlines()[-1] == "a is not ready: cluster: fenced"


def test_the_topology_as_each_sees_it():
    a = Admin("a", {"b": "up", "c": "down"}, leaders={"LOG_a": "a"})
    b = Admin("b", {"a": "up", "c": "up"}, leaders={"LOG_b": "b"})
    with metrics_port(a) as one, metrics_port(b) as other:
        done = cluster("topology", "--nodes", f"{one},{other}")
        as_json = cluster("topology", "--nodes", f"{one},{other}", "--json")
    assert done.exit_code == 1  # a has no link to c, which it takes for a living member.
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == "link from state epoch to a to b to c".split()
    assert lines[1:3] == [
        ["a", "live", "3", ".", "up", "down"],
        ["b", "live", "3", "up", ".", "up"],
    ]
    assert lines[4:] == [["stream", "leader"], ["LOG_a", "a"], ["LOG_b", "b"]]
    told = json.loads(as_json.stdout)
    assert told["nodes"] == ["a", "b", "c"]
    assert told["links"] == {"a": {"b": "up", "c": "down"}, "b": {"a": "up", "c": "up"}}
    assert told["leaders"] == {"LOG_a": "a", "LOG_b": "b"}


def test_a_dead_member_needs_no_link():
    members = [
        {"node_id": "b", "state": "live", "link": "up"},
        {"node_id": "c", "state": "dead", "link": "down"},
    ]
    with metrics_port(Admin("a", {}, members=members)) as address:
        assert cluster("topology", "--nodes", address).exit_code == 0


def test_the_topology_of_no_cluster():
    with metrics_port() as address:
        done = cluster("topology", "--nodes", address)
    assert done.exit_code == 1
    assert f"{address}: this node is on its own: cluster.enabled is false" in done.stdout


def test_a_wrong_address():
    assert cluster("status", "--nodes", "x").exit_code == 2


def test_a_state_file_that_is_none(tmp_path: Path):
    (tmp_path / "cluster.json").write_text("{")
    done = cluster("status", "-d", str(tmp_path))
    assert done.exit_code == 1
    assert "cluster.json" in done.stderr
