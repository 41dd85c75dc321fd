"""The directory: what is kept, what is private, and what is not started on top of it."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rookery.cli.cluster.folder import Folder, FolderFault, NodeState, State, checked
from rookery.cli.cluster.plan import NodePlan, packed, planned
from rookery.cli.cluster.processes import Process, process_of

PLANS = planned(3, {})
ME = process_of(os.getpid())


def state(plans: list[NodePlan], process: Process | None = None) -> State:
    return State(None, tuple(NodeState(plan, process) for plan in plans))


def test_what_is_written_is_read(tmp_path: Path):
    folder = Folder(tmp_path)
    assert folder.read() is None
    folder.prepare(PLANS)
    kept = State(Process(5, 6), (NodeState(PLANS[0], ME), NodeState(PLANS[1], None)))
    folder.write(kept)
    assert folder.read() == kept
    assert folder.pid_file("node1").read_text() == f"{os.getpid()}\n"
    assert not folder.pid_file("node2").exists()
    data = json.loads(folder.state_file.read_text())["nodes"][0]
    assert (data["pid"], data["ports"]["mqtt"]) == (os.getpid(), 1883)
    assert data["log"] == str(tmp_path / "node1" / "node.log")

    folder.write(kept.stopped())
    assert not folder.pid_file("node1").exists()
    assert folder.read() == State(None, (NodeState(PLANS[0], None), NodeState(PLANS[1], None)))


def test_the_secret_is_private_random_and_stays(tmp_path: Path):
    one, other = Folder(tmp_path / "a"), Folder(tmp_path / "b")
    for folder in (one, other):
        folder.lock()
        folder.prepare(PLANS)
        folder.unlock()
    assert one.secret() != other.secret()
    assert len(one.secret()) == 64
    assert stat.S_IMODE(one.secret_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o700
    before = one.secret()
    one.prepare(PLANS)
    assert one.secret() == before


def test_a_configuration_that_somebody_changed_stays(tmp_path: Path):
    folder = Folder(tmp_path)
    folder.prepare(PLANS)
    folder.config_file("node1").write_text("mine")
    folder.prepare(PLANS)
    assert folder.config_file("node1").read_text() == "mine"
    assert "node2" in folder.config_file("node2").read_text()


def test_one_at_a_time(tmp_path: Path):
    one, other = Folder(tmp_path), Folder(tmp_path)
    one.lock()
    with pytest.raises(FolderFault, match="'rookery cluster down' stops it"):
        other.lock()
    one.unlock()
    other.lock()
    other.unlock()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 2}', '{"version": 1}'])
def test_a_state_file_that_is_none(tmp_path: Path, text: str):
    folder = Folder(tmp_path)
    folder.state_file.write_text(text)
    with pytest.raises(FolderFault, match=r"cluster\.json"):
        folder.read()


def test_a_directory_that_is_none(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderFault, match="cannot be used"):
        Folder(tmp_path / "file" / "below").lock()
    with pytest.raises(FolderFault, match="cannot be read"):
        Folder(tmp_path).secret()


def test_running_nodes_are_not_started_again(tmp_path: Path):
    with pytest.raises(FolderFault, match=rf"node1 \(pid {os.getpid()}\), node2 .* run in"):
        checked(tmp_path, state(PLANS, ME), PLANS)


def test_a_process_that_is_gone_is_no_node(tmp_path: Path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    checked(tmp_path, state(PLANS, Process(done.pid, 1)), PLANS)
    assert ME is not None
    checked(tmp_path, state(PLANS, Process(ME.pid, ME.started + 1)), PLANS)


def test_what_was_there_keeps_its_ports_and_its_number(tmp_path: Path):
    checked(tmp_path, None, PLANS)
    checked(tmp_path, state(PLANS), PLANS)
    checked(tmp_path, state(PLANS), planned(5, {}))
    with pytest.raises(FolderFault, match=r"node1 .* has other ports .mqtt 1883, not 100, grpc"):
        checked(tmp_path, state(PLANS), packed(3, 100))
    with pytest.raises(FolderFault, match="has 3 nodes; start as many"):
        checked(tmp_path, state(PLANS), PLANS[:2])
    with pytest.raises(FolderFault, match="on one server only, so it cannot grow"):
        checked(tmp_path, state(PLANS[:1]), PLANS)
