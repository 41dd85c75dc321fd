"""The library of ``disk.c``: built when it is needed, and put before libc in a process under test."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("disk.c")


class NoCompiler(Exception):
    """There is nothing to build the library with, or it cannot be built."""


@functools.cache
def library() -> Path:
    """The library, as the compiler of this machine makes it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NoCompiler("there is no C compiler (gcc)")
    name = f"rookery-power-{os.getuid()}-{sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    built = Path(tempfile.gettempdir(), name)
    if not built.exists():
        # Under a name of its own first: others may be building it at the same time.
        new = built.with_suffix(f".{os.getpid()}")
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
        done = subprocess.run(
            [compiler, *options, "-o", str(new), str(SOURCE)],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise NoCompiler(f"{SOURCE.name} cannot be built: {done.stderr}")
        new.rename(built)
    return built


def need_library() -> None:
    """Skip the test, and say so, where the library cannot be had."""
    try:
        library()
    except NoCompiler as reason:
        pytest.skip(f"{reason}: LOSS OF POWER AND FAULTS OF THE DISK WERE NOT CHECKED HERE")


def environment(
    directory: Path, *, journal: Path | None = None, faults: Path | None = None
) -> dict[str, str]:
    """The environment of a process whose files below the directory are watched."""
    found = {"LD_PRELOAD": str(library()), "POWER_DIRECTORY": str(directory)}
    if journal is not None:
        found["POWER_JOURNAL"] = str(journal)
    if faults is not None:
        found["POWER_FAULTS"] = str(faults)
    return {**os.environ, **found}


class Faults:
    """Which operations fail from now on, for every process that watches this file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heal()

    def set(self, lines: Iterable[str]) -> None:
        """Let these fail, as ``disk.c`` explains: ``write -wal ENOSPC``."""
        new = self.path.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.path)

    def heal(self) -> None:
        """Let everything work again."""
        self.set([])
