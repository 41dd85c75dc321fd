import os
import subprocess
import sys
from pathlib import Path

import pytest

from rookery.observe.memory import (
    UNKNOWN_BYTES,
    memory_bytes,
    resident_bytes,
)

MIB = 2**20


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_process_has_some():
    assert 5 * MIB < resident_bytes() < memory_bytes() < UNKNOWN_BYTES


GROWTH = """
from rookery.observe.memory import PAGE_BYTES, give_back, resident_bytes
before = resident_bytes()
held = bytearray(64 * 2**20)
held[::PAGE_BYTES] = b"x" * len(held[::PAGE_BYTES])
assert resident_bytes() > before + 48 * 2**20
del held
give_back()
assert resident_bytes() < before + 32 * 2**20
"""


def test_it_grows_with_what_is_held_and_is_given_back():
    # In a process of its own: one that has run many tests has that much to spare, and does not grow.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", GROWTH], check=True, env=environment)


@pytest.mark.parametrize("text", ["", "1", "x y"])
def test_nobody_can_tell(tmp_path: Path, text: str):
    assert resident_bytes(put(tmp_path, {"proc/self/statm": text})) == 0
    assert resident_bytes(tmp_path / "absent") == 0
    assert memory_bytes(tmp_path) == UNKNOWN_BYTES


MACHINE = {"proc/meminfo": "MemFree: 5 kB\nMemTotal: 4096 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4 * MIB),
        ({"sys/fs/cgroup/memory.max": "max\n"}, 4 * MIB),
        ({"sys/fs/cgroup/memory.max": "2000000\n"}, 2_000_000),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/memory.max": "3000000\n",
            },
            3_000_000,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/x\n4:memory,cpuset:/m\n",
                "sys/fs/cgroup/memory/m/memory.limit_in_bytes": "1000000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            1_000_000,
        ),
    ],
)
def test_the_tightest_limit_counts(tmp_path: Path, files: dict[str, str], expected: int):
    assert memory_bytes(put(tmp_path, MACHINE | files)) == expected
