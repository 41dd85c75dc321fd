"""Real processes: known by number and beginning, ended, and killed where they do not end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rookery.cli.cluster.processes import (
    Process,
    ended,
    environment,
    is_running,
    process_of,
    start_node,
    stop_processes,
    sweep,
)

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
WAITS = "print('there', flush=True); import time; time.sleep(60)"


@contextmanager
def running(code: str) -> Iterator[Process]:
    """A process in a session of its own, once it is there."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"there\n"
            found = process_of(child.pid)
            assert found is not None
            yield found
        finally:
            child.kill()


def test_a_process_is_known_again():
    with running(WAITS) as process:
        assert is_running(process)
        assert not is_running(Process(process.pid, process.started - 1))
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_of(process.pid) is None  # Though its parent has not asked for it yet.
        assert ended(process) == "SIGKILL"
    assert process_of(process.pid) is None


def test_who_ends_when_asked_is_not_killed():
    with running(WAITS) as one, running(WAITS) as other:
        assert stop_processes([one, other], time.monotonic) == []
        assert not is_running(one) and not is_running(other)


def test_who_does_not_end_is_killed():
    with running(STUBBORN + WAITS) as stubborn, running(WAITS) as other:
        assert stop_processes([stubborn, other], time.monotonic, seconds_max=0.3) == [stubborn]
        assert not is_running(stubborn)


def test_who_is_in_a_hurry_does_not_wait():
    with running(STUBBORN + WAITS) as stubborn:
        began = time.monotonic()
        assert stop_processes([stubborn], time.monotonic, hurried=lambda: True) == [stubborn]
        assert time.monotonic() - began < 10


def test_what_is_gone_already_is_stopped():
    with running(WAITS) as process:
        os.kill(process.pid, signal.SIGKILL)
    assert stop_processes([process], time.monotonic) == []


def test_what_a_dead_one_left_behind_is_ended():
    child = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {WAITS!r}]); p.wait()"
    )
    with running(child) as parent:
        below = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        left = process_of(int(below[0]))
        assert left is not None
        os.kill(parent.pid, signal.SIGKILL)
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        assert is_running(left)
        sweep(parent)
        while is_running(left):
            time.sleep(0.01)
    sweep(parent)  # Nothing is left, and that is no fault.


def test_a_node_is_told_what_its_file_does_not_say():
    given = {
        "PATH": "/bin",
        "MQTT_PORT": "1",
        "PEER_NODES": "a",
        "ROOKERY_CONFIG": "x",
        "ROOKERY_BROKER__NODE_ID": "x",
        "ROOKERY_CLUSTER__ENABLED": "false",
        "ROOKERY_LIMITS__SESSIONS_MAX": "5",
    }
    assert environment(given) == {"PATH": "/bin", "ROOKERY_LIMITS__SESSIONS_MAX": "5"}


def test_a_node_that_cannot_start_says_why_in_its_log(tmp_path: Path):
    log = tmp_path / "node.log"
    process = start_node(tmp_path / "absent.yaml", log, ["limits.x=1"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ended(process) == "exit code 1"
    assert ended(process) == "ended"
    text = log.read_text()
    assert "absent.yaml" in text and "limits.x" in text


def test_a_node_has_a_session_of_its_own_and_ends_in_good_order(tmp_path: Path):
    (tmp_path / "rookery.yaml").write_text(
        "listeners: [{type: tcp, host: 127.0.0.1, port: 0}]\nmetrics: {enabled: false}\n"
    )
    process = start_node(tmp_path / "rookery.yaml", tmp_path / "node.log", [])
    while "configured by" not in (tmp_path / "node.log").read_text():
        assert is_running(process)
        time.sleep(0.02)
    assert os.getsid(process.pid) == process.pid
    os.kill(process.pid, signal.SIGTERM)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ended(process) == "exit code 0"
