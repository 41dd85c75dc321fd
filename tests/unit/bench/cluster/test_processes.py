import os
import sys
import time
from pathlib import Path

import pytest

from rookery_bench.cluster.processes import Process, descendants, kill_all, program
from rookery_bench.cluster.systems import wait_until
from rookery_bench.peers import PeerError

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


def started(folder: Path, script: str) -> Process:
    process = Process("it", folder / "log")
    process.start([sys.executable, "-c", script], dict(os.environ))
    wait_until("it is ready", lambda: "ready" in process.last_words(), 10)
    return process


def test_killing_takes_what_was_started_as_well(tmp_path: Path) -> None:
    process = started(tmp_path, PARENT)
    (child,) = descendants(process.pid)
    assert "time.sleep(600)" in program(child)
    before_ns = time.monotonic_ns()
    assert kill_all([process]) >= before_ns
    assert not process.running
    assert program(child) == ""
    with pytest.raises(PeerError, match="it ended: ready"):
        process.expect_running()


def test_one_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery_bench.cluster.processes.STOP_SECONDS_MAX", 0.3)
    process = started(tmp_path, STUBBORN)
    process.stop()
    assert not process.running


def test_lives_share_a_log(tmp_path: Path) -> None:
    process = Process("it", tmp_path / "log")
    for word in ("one", "two"):
        process.start([sys.executable, "-c", f"print('{word}')"], dict(os.environ))
        process.reap()
    assert process.last_words() == "one\ntwo"


def test_what_never_ran_can_be_ended(tmp_path: Path) -> None:
    process = Process("it", tmp_path / "log")
    process.stop()
    kill_all([process])
    assert process.last_words() == "no output"
