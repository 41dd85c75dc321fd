"""``cluster join``: the file says afterwards what it should, or is as it was."""

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rookery.cli.cluster.join import Wanted, joined_text
from rookery.cli.main import app
from rookery.config import load

SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.startswith("ROOKERY_"):
            monkeypatch.delenv(variable)
    (tmp_path / "secret").write_text(SECRET)


def join(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cluster", "join", *arguments])


REMOTE = (
    *("--seed", "10.255.255.1:8081", "--secret-file", "secret", "--node-id", "b"),
    *("--host", "0.0.0.0", "--advertise", "10.0.0.2:8081", "--name", "birds"),
)


@pytest.fixture
def _unreachable(monkeypatch: pytest.MonkeyPatch):
    def refuse(address: tuple[str, int], timeout: float) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.usefixtures("_unreachable")
def test_a_new_file(tmp_path: Path):
    done = join(*REMOTE)
    assert done.exit_code == 0, done.output
    config = load(tmp_path / "rookery.yaml").config
    assert (config.broker.node_id, config.seeds) == ("b", ("10.255.255.1:8081",))
    assert (config.cluster.enabled, config.cluster.name) == (True, "birds")
    assert (config.cluster.host, config.cluster.advertise) == ("0.0.0.0", "10.0.0.2:8081")
    assert config.cluster.secret is not None
    assert config.cluster.secret.get_secret_value() == SECRET
    assert SECRET not in (tmp_path / "rookery.yaml").read_text()
    assert "node b is one of a cluster now" in done.stdout
    assert "10.255.255.1:8081 does not answer now: no route to host" in done.stdout
    assert "next: start the node with 'rookery start -c rookery.yaml'" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rookery.yaml", "secret"]


@pytest.mark.usefixtures("_unreachable")
def test_comments_stay_where_nothing_of_the_cluster_was(tmp_path: Path):
    file = tmp_path / "x.yaml"
    file.write_text("# mine\nlog: {level: debug}")
    file.chmod(0o640)
    assert join(*REMOTE, "-c", str(file)).exit_code == 0
    assert file.read_text().startswith("# mine\nlog: {level: debug}\nbroker:\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert load(file).config.log.level == "debug"


@pytest.mark.usefixtures("_unreachable")
def test_what_was_set_before_stays_set_and_the_old_file_is_kept(tmp_path: Path):
    file = tmp_path / "x.yaml"
    text = (
        "# mine\nbroker: {mqtt_port: 7, peer_nodes: 'a, 10.255.255.1:8081'}\ncluster: {name: y}\n"
    )
    file.write_text(text)
    done = join(*REMOTE[:-2], "-c", str(file))
    assert done.exit_code == 0, done.output
    config = load(file).config
    assert (config.broker.mqtt_port, config.cluster.name) == (7, "y")
    assert config.broker.peer_nodes == ("a", "10.255.255.1:8081")
    assert (tmp_path / "x.yaml.bak").read_text() == text
    assert "x.yaml.bak" in done.stdout


def test_a_seed_that_answers(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as seed:
        address = f"127.0.0.1:{seed.getsockname()[1]}"
        done = join("--seed", address, "--route", "127.0.0.1:1", "--secret-file", "secret")
    assert done.exit_code == 0, done.output
    assert "does not answer" not in done.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("store: {durability: os}\n", "store.durability: is os, but a node of a cluster"),
        ("store: [\n", "is not valid YAML"),
        ("- a\n", "must be a mapping"),
    ],
)
def test_a_file_that_would_not_be_right_is_as_it_was(tmp_path: Path, text: str, told: str):
    file = tmp_path / "rookery.yaml"
    file.write_text(text)
    done = join(*REMOTE)
    assert done.exit_code == 1
    assert told in done.stderr
    assert "rookery.yaml is as it was" in done.stderr
    assert ".new" not in done.stderr
    assert file.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rookery.yaml", "secret"]


def test_what_other_machines_need_is_told(tmp_path: Path):
    done = join("--seed", "10.255.255.1:8081")
    assert done.exit_code == 1
    for key in ("broker.node_id", "cluster.secret", "cluster.host"):
        assert f"{key}: is" in done.stderr
    assert not (tmp_path / "rookery.yaml").exists()


def test_without_a_seed_there_is_nothing_to_join():
    assert join().exit_code == 2


def test_a_section_that_is_empty_is_none():
    text, whole = joined_text("cluster:\nbroker: null\n", Wanted(("a:1",)))
    assert whole
    assert "peer_nodes:\n  - a:1" in text and "enabled: true" in text
