"""The NATS server of a machine, with a real one."""

import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from rookery.app.cluster.machine import MachineNats
from rookery.config.models import Config
from tests.support.slapd import free_ports

SECONDS_MAX = 30.0


def nats(directory: Path, **nats: Any) -> MachineNats:
    port, route_port = free_ports(2)
    settings = {"port": port, "route_port": route_port, **nats}
    return MachineNats(Config.model_validate({"cluster": {"nats": settings}}), directory, Path())


def until(machine: MachineNats) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not machine.listening and not machine.fault:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pid_of(directory: Path) -> int:
    log = (directory / "nats" / "nats-server.log").read_text()
    found = re.search(r"\[(\d+)\]", log)
    assert found is not None
    return int(found[1])


def test_it_runs_until_it_is_stopped_in_a_session_of_its_own(tmp_path: Path):
    machine = nats(tmp_path)
    machine.start()
    until(machine)
    assert machine.listening
    pid = pid_of(tmp_path)
    assert os.getsid(pid) == pid
    machine.stop()
    assert not machine.listening
    assert not Path(f"/proc/{pid}").exists()


def test_it_tells_why_it_cannot_run(tmp_path: Path):
    machine = nats(tmp_path, binary=str(tmp_path / "none"))
    machine.start()
    until(machine)
    assert "is no program that can be run" in machine.fault
    machine.stop()


def test_it_can_be_stopped_at_once(tmp_path: Path):
    before = threading.active_count()
    machine = nats(tmp_path)
    machine.start()
    machine.stop()
    assert (machine.listening, machine.fault, threading.active_count()) == (False, "", before)


def test_it_does_not_begin_when_it_was_stopped_before(tmp_path: Path):
    machine = nats(tmp_path)
    machine._stopping = True  # As when a signal comes between the two.
    machine.start()
    machine.stop()
    assert not (tmp_path / "nats").exists()
