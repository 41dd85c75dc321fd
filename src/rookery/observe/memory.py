"""How much memory the process has and may have, as Linux tells it."""

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK_SHARE: Final = 0.8
"""What of the memory there is the node may take unless it is told: the rest is for everybody else."""
UNKNOWN_BYTES: Final = 2**50
"""What stands for a limit that nobody can tell."""
ROOT: Final = Path("/")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(root: Path = ROOT) -> int:
    """What the process holds in memory now; 0 where nobody can tell."""
    try:
        return int((root / "proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def memory_bytes(root: Path = ROOT) -> int:
    """What the process may have at most: the least of its control groups and of the machine."""
    found = [UNKNOWN_BYTES]
    with suppress(OSError, ValueError, IndexError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
    groups = [("sys/fs/cgroup", "memory.max"), ("sys/fs/cgroup/memory", "memory.limit_in_bytes")]
    for (folder, file), group in zip(groups, _groups(root), strict=True):
        # A group is bound by those above it too; in a container its own path may not be visible.
        place = root / folder
        for part in ("", *Path(group).parts):
            place /= part
            with suppress(OSError, ValueError):
                found.append(int((place / file).read_text()))
    return min(found)


def _groups(root: Path) -> tuple[str, str]:
    """The process's control group in version 2 and, of memory, in version 1; relative."""
    unified = memory = ""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                unified = path.strip("/")
            elif "memory" in controllers.split(","):
                memory = path.strip("/")
    return unified, memory


def give_back() -> None:
    """Hand memory that is free back to the system, where the C library can. May take a while: not on the loop.

    Without it a process that was large once stays so, and a mark that was passed would never be left.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
