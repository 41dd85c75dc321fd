"""Who looks after the nodes: real processes in their place, and a clock that the test turns."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rookery.cli.cluster import supervisor as module
from rookery.cli.cluster.asking import Readiness
from rookery.cli.cluster.folder import Folder
from rookery.cli.cluster.plan import planned
from rookery.cli.cluster.processes import Process, process_of
from rookery.cli.cluster.supervisor import (
    BACKOFF_SECONDS_MAX,
    LASTED_SECONDS,
    LOG_LINES,
    StartFault,
    Supervisor,
    Watched,
    last_lines,
)

SECONDS_MAX = 20.0


class World:
    """What the supervisor meets: processes that wait, and nodes that are ready when the test says so."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000.0
        self.said: list[str] = []
        self.unready: dict[str, str] = {}
        self.code = "import time; time.sleep(60)"
        self.folder = Folder(path)
        plans = planned(2, {})
        self.folder.prepare(plans)
        self.supervisor = Supervisor(self.folder, plans, [], lambda: self.now, self.said.append)

    def start(self, config: Path, log: Path, overrides: list[str]) -> Process:
        log.write_text(f"{config.parent.name} wrote this\n")
        pid = os.posix_spawn(
            sys.executable, [sys.executable, "-c", self.code], os.environ, setsid=True
        )
        found = process_of(pid)
        return found or Process(pid, 0)

    def readiness(self, node: Watched) -> Readiness:
        reason = self.unready.get(node.node_id)
        return Readiness(reason is None, () if reason is None else (reason,))

    def kill(self, index: int) -> int:
        """End a node behind the supervisor's back; its number."""
        process = self.supervisor.nodes[index].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process.pid

    def take(self) -> list[str]:
        said, self.said[:] = list(self.said), []
        return said


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)
    monkeypatch.setattr(module, "start_node", made.start)
    monkeypatch.setattr(module, "_readiness", made.readiness)
    yield made
    made.supervisor.stop(lambda: True)


def up(world: World) -> Supervisor:
    world.supervisor.start()
    world.supervisor.step()
    assert world.supervisor.all_ready
    world.take()
    return world.supervisor


def test_each_change_is_told_once(world: World):
    world.unready["node2"] = "cluster: joining"
    world.supervisor.start()
    pids = [node.process.pid for node in world.supervisor.nodes if node.process]
    world.supervisor.step()
    world.supervisor.step()
    assert world.take() == [
        f"node1 starts (pid {pids[0]})",
        f"node2 starts (pid {pids[1]})",
        "node1 is ready",
    ]
    assert not world.supervisor.all_ready
    assert "node2 is not ready: cluster: joining" in world.supervisor.missing()
    assert "node2 wrote this" in world.supervisor.missing()
    assert "node1" not in world.supervisor.missing().replace("wrote", "")

    world.unready.clear()
    world.supervisor.step()
    world.unready["node1"] = "commits: the last commit failed"
    world.supervisor.step()
    assert world.take() == ["node2 is ready", "node1 is not ready: commits: the last commit failed"]


def test_the_state_file_follows(world: World):
    supervisor = up(world)
    state = world.folder.read()
    assert state is not None
    assert [each.process for each in state.nodes] == [each.process for each in supervisor.nodes]
    assert len(state.running()) == 2
    assert supervisor.stop(lambda: False)
    state = world.folder.read()
    assert state is not None
    assert [each.process for each in state.nodes] == [None, None]


def test_a_node_that_ends_is_started_again_later_each_time(world: World):
    supervisor = up(world)
    waits = []
    for _ in range(7):
        pid = world.kill(1)
        supervisor.step()
        (said,) = world.take()
        assert said.startswith(
            f"node2 (pid {pid}) ended by itself: SIGKILL; it is started again in"
        )
        wait = float(said.split()[-2])
        waits.append(wait)
        world.now += wait - 0.01
        supervisor.step()
        assert world.take() == []
        world.now += 0.01
        supervisor.step()
        assert [line.split(" (")[0] for line in world.take()] == ["node2 starts", "node2 is ready"]
        state = world.folder.read()
        assert state is not None and len(state.running()) == 2
    assert waits == [1, 2, 4, 8, 16, BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MAX]

    world.now += LASTED_SECONDS
    world.kill(1)
    supervisor.step()
    assert world.take()[0].endswith("started again in 1 s")


def test_a_node_that_ends_while_all_come_up_is_a_fault(world: World):
    world.code = "raise SystemExit(3)"
    world.supervisor.start()
    for node in world.supervisor.nodes:
        assert node.process is not None
        os.waitid(os.P_PID, node.process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(StartFault, match=r"(?s)node1 .* ended by itself: exit code 3.*wrote this"):
        world.supervisor.step()


def test_who_does_not_end_is_told(world: World):
    world.code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    supervisor = up(world)
    for node in supervisor.nodes:
        assert node.process is not None
        until(lambda pid=node.process.pid: ignores_sigterm(pid))
    assert not supervisor.stop(lambda: True)
    assert world.take() == [
        "node1 did not end by itself and was killed",
        "node2 did not end by itself and was killed",
    ]


def test_the_end_of_a_log_is_that_of_the_last_start(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("before\n")
    assert last_lines(log, 7) == ["(nothing)"]
    log.write_text("before\n" + "x\n" * 50 + "last\n")
    lines = last_lines(log, 7)
    assert (len(lines), lines[-1]) == (LOG_LINES, "last")


def ignores_sigterm(pid: int) -> bool:
    (line,) = (
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigIgn" in each
    )
    return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
