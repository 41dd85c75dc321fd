"""The wall clock and the disk of one node, at our command: a library put before libc, and a file it looks at.

It reaches what runs in the node's own process. A ``nats-server`` is no user of libc and sees nothing of it.
"""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("shim.c")
CELLS: Final = struct.Struct("=qq")
SECOND_NS: Final = 1_000_000_000


def missing() -> str:
    """What keeps this machine from having shims, in words; empty when nothing does."""
    return "" if shutil.which("gcc") else "needs the package gcc"


def build(directory: Path) -> Path:
    """Compile the library."""
    library = directory / "shim.so"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"],
        check=True,
    )
    return library


class Shim:
    """The clock and the disk of one node; what is set holds at once."""

    def __init__(self, library: Path, directory: Path) -> None:
        path = directory / "shim.bin"
        path.write_bytes(bytes(CELLS.size))
        with path.open("r+b") as file:
            self._cells = mmap.mmap(file.fileno(), CELLS.size)
        self.environment = {"LD_PRELOAD": str(library), "CLUSTER_TEST_SHIM": str(path)}
        self._clock_ns = 0
        self._sync_ns = 0

    def set_clock(self, seconds: float) -> None:
        """Let the wall clock be off by so much."""
        self._clock_ns = int(seconds * SECOND_NS)
        self._write()

    def set_sync(self, seconds: float) -> None:
        """Let every sync of the disk take so much longer."""
        self._sync_ns = int(seconds * SECOND_NS)
        self._write()

    def close(self) -> None:
        """Let go of the file; what was set stays."""
        self._cells.close()

    def _write(self) -> None:
        self._cells[:] = CELLS.pack(self._clock_ns, self._sync_ns)
