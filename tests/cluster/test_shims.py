"""A node's wall clock and its disk obey, and its monotonic clock does not."""

import os
import platform
import subprocess
import sys
import time

import pytest

from tests.cluster import shims

LACKING = shims.missing() or ("" if platform.machine() == "x86_64" else "futex has another number")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"SHIMS NOT TESTED: {LACKING}")

CHILD = """
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None)
FUTEX, WAIT_BITSET, CLOCK_REALTIME = 202, 9, 256
def wait_by_wall_clock(seconds):
    word = ctypes.c_int(0)
    until = time.time() + seconds
    at = ctypes.create_string_buffer(struct.pack("=qq", int(until), int(until % 1 * 1e9)))
    libc.syscall(
        ctypes.c_long(FUTEX), ctypes.byref(word), ctypes.c_long(WAIT_BITSET | CLOCK_REALTIME),
        ctypes.c_long(0), at, None, ctypes.c_long(-1),
    )
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
for line in sys.stdin:
    begun = time.monotonic()
    os.fsync(file)
    os.fdatasync(file)
    synced = time.monotonic() - begun
    wait_by_wall_clock(0.05)
    waited = time.monotonic() - begun - synced
    print(time.time(), time.monotonic(), synced, waited, flush=True)
"""


def test_the_clock_and_the_disk(tmp_path):
    shim = shims.Shim(shims.build(tmp_path), tmp_path)
    command = [sys.executable, "-c", CHILD, str(tmp_path / "file")]
    environment = {**os.environ, **shim.environment}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdin is not None and child.stdout is not None

        def look():
            child.stdin.write(b"\n")
            child.stdin.flush()
            wall, monotonic, synced, waited = map(float, child.stdout.readline().split())
            assert abs(monotonic - time.monotonic()) < 5
            return wall - time.time(), synced, waited

        for offset in (0.0, 300.0, -300.25):
            shim.set_clock(offset)
            off, _, waited = look()
            assert off == pytest.approx(offset, abs=1.0)
            assert 0.04 < waited < 5
        shim.set_clock(0.0)
        shim.set_sync(0.1)
        assert look()[1] >= 0.2
        shim.set_sync(0.0)
        assert look()[0] == pytest.approx(0.0, abs=1.0)
    shim.close()
