"""Which nodes a command is about."""

from pathlib import Path

import pytest
import typer

from rookery.cli.cluster.folder import Folder, NodeState, State
from rookery.cli.cluster.plan import planned
from rookery.cli.cluster.targets import addresses_of, secret_of, targets_of

SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def running_cluster(path: Path) -> None:
    folder = Folder(path)
    plans = planned(2, {})
    folder.lock()
    folder.prepare(plans)
    folder.write(State(None, tuple(NodeState(plan, None) for plan in plans)))
    folder.unlock()


def test_the_nodes_that_are_listed(tmp_path: Path):
    running_cluster(tmp_path)
    found = targets_of(tmp_path, "a:1, [::1]:2", None, None)
    assert [(each.node_id, each.address) for each in found] == [(None, "a:1"), (None, "[::1]:2")]


def test_those_of_the_directory_with_its_secret(tmp_path: Path):
    running_cluster(tmp_path)
    found = targets_of(tmp_path, None, None, None)
    assert [(each.node_id, each.address) for each in found] == [
        ("node1", "127.0.0.1:8082"),
        ("node2", "127.0.0.1:8084"),
    ]
    assert secret_of(tmp_path, None, None, None) == Folder(tmp_path).secret()


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1:9"), ("::", "[::1]:9"), ("::1", "[::1]:9"), ("10.0.0.1", "10.0.0.1:9")],
)
def test_else_the_configured_one(tmp_path: Path, host: str, address: str):
    file = tmp_path / "x.yaml"
    file.write_text(
        f"broker: {{node_id: a, metrics_port: 9}}\nmetrics: {{host: '{host}'}}\n"
        f"cluster: {{secret: {SECRET}}}\n"
    )
    (found,) = targets_of(tmp_path / "absent", None, file, None)
    assert (found.node_id, found.address) == ("a", address)
    assert secret_of(tmp_path / "absent", None, file, None) == SECRET


def test_a_configuration_that_is_named_wins_over_the_directory(tmp_path: Path):
    running_cluster(tmp_path)
    (found,) = targets_of(tmp_path, None, None, ["broker.metrics_port=7"])
    assert found.address == "127.0.0.1:7"
    assert secret_of(tmp_path, None, None, ["broker.metrics_port=7"]) is None


def test_workers_of_a_cluster_have_the_secret_of_their_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    running_cluster(tmp_path)
    Folder(tmp_path).secret_file.unlink()
    monkeypatch.setenv("ROOKERY_CLUSTER__SECRET", "b" * 20)
    assert secret_of(tmp_path, None, None, None) == "b" * 20


@pytest.mark.parametrize("text", ["a", "a:b", ":1", "a:0", "a:65536", "", ","])
def test_what_is_no_address(text: str):
    with pytest.raises(typer.BadParameter):
        addresses_of(text)
