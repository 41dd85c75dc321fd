"""``leave``, ``evacuate``, ``force-leave`` and ``rebalance``: whom they ask, with what, and what they say."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rookery.cli.access import operator
from rookery.cli.main import app
from tests.support.metrics_port import SECRET, Admin, metrics_port


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rookery.yaml").write_text(f"cluster: {{secret: {SECRET}}}\n")


def cluster(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cluster", *arguments])


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("action", ["leave", "evacuate"])
def test_the_node_does_it_and_says_what(action: str):
    admin = Admin("a", {})
    with metrics_port(admin) as address:
        done = cluster(action, "--nodes", address)
    assert done.exit_code == 0, done.output
    assert admin.asked == [(action, {})]
    assert admin.by == [operator()]
    assert done.stdout.splitlines() == [
        f"{address} ({address}) did it",
        "  sessions moved: 5",
        "  to: b",
    ]


def test_every_node_is_asked_to_rebalance_whatever_becomes_of_the_others():
    one, other = Admin("a", {}), Admin("b", {})
    other.refusal = "not now"
    nobody = free_address()
    with metrics_port(one) as here, metrics_port(other) as there:
        nodes = f"{here},{nobody},{there}"
        done = cluster("rebalance", "--nodes", nodes)
        as_json = cluster("rebalance", "--nodes", nodes, "--json")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["node", "done", "sessions", "moved", "to"],
        [here, "yes", "5", "b"],
        [nobody, "no", "-", "-"],
        [there, "no", "-", "-"],
    ]
    assert f"{nobody} ({nobody}): connection refused" in done.stderr
    assert f"{there} ({there}) will not do it: not now" in done.stderr
    assert json.loads(as_json.stdout)["nodes"] == [
        {"node_id": here, "metrics": here, "problem": None, "sessions_moved": 5, "to": "b"},
        {
            "node_id": nobody,
            "metrics": nobody,
            "problem": f"{nobody} ({nobody}): connection refused",
        },
        {
            "node_id": there,
            "metrics": there,
            "problem": f"{there} ({there}) will not do it: not now",
        },
    ]
    assert (done.exit_code, as_json.exit_code) == (1, 1)
    assert one.asked == other.asked == [("rebalance", {})] * 2
    assert one.by == [operator()] * 2


def test_all_nodes_that_did_it_are_a_success():
    with metrics_port(Admin("a", {})) as here, metrics_port(Admin("b", {})) as there:
        assert cluster("rebalance", "--nodes", f"{here},{there}").exit_code == 0


def test_members_that_cannot_be_asked_from_here_are_named():
    with metrics_port(Admin("a", {"a": "up", "b": "up", "c": "down"})) as here:
        with metrics_port(Admin("b", {"a": "up"})) as there:
            nodes = f"{here},{there}"
            done = cluster("rebalance", "--nodes", nodes)
            as_json = cluster("rebalance", "--nodes", nodes, "--json")
        unnamed = cluster("rebalance", "--nodes", nodes)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["node", "done"],
        [here, "yes"],
        [there, "yes"],
        ["c", "no"],
    ]
    assert "c was not asked: run this command on its machine" in done.stderr
    assert json.loads(as_json.stdout)["nodes"][2]["node_id"] == "c"
    assert (done.exit_code, as_json.exit_code) == (0, 0)
    assert "was not asked" not in unnamed.output
    assert unnamed.exit_code == 1


def test_the_acts_on_one_node_say_what_they_are_for():
    for action, purpose in (("leave", "leave the cluster"), ("evacuate", "stays a member")):
        text = " ".join(cluster(action, "--help").stdout.replace("│", "").split())
        assert purpose in text
        assert "Exit codes: 0, it was done" in text
        assert "--node " in text


def test_a_dead_node_is_named_to_one_that_lives():
    admin = Admin("a", {})
    with metrics_port(admin) as address:
        done = cluster("force-leave", "c", "--nodes", f"{free_address()},{address}", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"sessions_moved": 5, "to": "b"})
    assert admin.asked == [("force-leave", {"node_id": "c"})]


def test_the_configured_node_is_asked_without_an_address(tmp_path: Path):
    admin = Admin("a", {})
    with metrics_port(admin) as address:
        port = address.rpartition(":")[2]
        (tmp_path / "rookery.yaml").write_text(
            f"broker: {{node_id: a, metrics_port: {port}}}\ncluster: {{secret: {SECRET}}}\n"
        )
        assert cluster("leave").exit_code == 0
        assert cluster("leave", "--node", "a").exit_code == 0
        refused = cluster("leave", "--node", "b")
    assert refused.exit_code == 2
    assert "there is no b here" in refused.stderr
    assert len(admin.asked) == 2


def test_one_of_several_is_named():
    admin = Admin("a", {})
    with metrics_port(admin) as one, metrics_port(Admin("b", {})) as other:
        nodes = f"{one},{other}"
        assert cluster("evacuate", "--nodes", nodes).exit_code == 2
        assert cluster("evacuate", "--nodes", nodes, "--node", one).exit_code == 0
    assert admin.asked == [("evacuate", {})]


def test_a_refusal_is_told():
    admin = Admin("a", {})
    admin.refusal = "c lives"
    with metrics_port(admin) as address:
        done = cluster("force-leave", "c", "--nodes", address)
    assert done.exit_code == 1
    assert "will not do it: c lives" in done.stderr


def test_a_wrong_secret_is_told(tmp_path: Path):
    admin = Admin("a", {})
    (tmp_path / "rookery.yaml").write_text("cluster: {secret: fedcba9876543210}\n")
    with metrics_port(admin) as address:
        done = cluster("leave", "--nodes", address)
    assert (done.exit_code, admin.asked) == (1, [])
    assert "the cluster's secret is needed" in done.stderr
    assert "fedcba" not in done.output


def test_without_a_secret_nothing_is_asked(tmp_path: Path):
    (tmp_path / "rookery.yaml").write_text("")
    done = cluster("leave")
    assert done.exit_code == 1
    assert "cluster.secret is not set" in done.stderr


def test_the_secret_goes_to_no_other_machine():
    done = cluster("leave", "--nodes", "192.0.2.1:8082")
    assert done.exit_code == 2
    assert "would go in clear" in " ".join(done.stderr.replace("│", "").split())


def test_nobody_there():
    address = free_address()
    for arguments in (["leave"], ["rebalance"], ["force-leave", "c"]):
        done = cluster(*arguments, "--nodes", address)
        assert done.exit_code == 1
        assert f"{address}" in done.stderr and "connection refused" in done.stderr
