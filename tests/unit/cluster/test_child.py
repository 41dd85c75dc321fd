"""A program that ends with whoever started it, even when that was killed."""

import os
import select
import signal
import subprocess
import sys

import pytest

from rookery.cluster import child

PARENT = """
import subprocess, sys
from rookery.cluster import child
# The program says when SIGTERM reaches it; it inherits our output.
script = "trap 'echo told; exit' TERM; echo ready; while :; do sleep 0.05; done"
process = subprocess.Popen(child.command(["/bin/sh", "-c", script]))
process.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_program_is_told_when_its_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        parent.wait()
        readable, _, _ = select.select([parent.stdout], [], [], 30)
        assert readable, "the program goes on"
        assert parent.stdout.readline() == "told\n"


def test_it_does_not_start_for_a_parent_that_is_gone():
    command = [sys.executable, child.__file__, str(os.getpid() + 1), "/bin/echo", "started"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b""


def test_it_becomes_the_program():
    with subprocess.Popen(child.command(["/bin/sleep", "60"])) as process:
        process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
