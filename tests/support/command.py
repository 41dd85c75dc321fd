"""The ``rookery`` command as a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import rookery as package

SECONDS_MAX = 30.0
FOLDER = str(Path(package.__file__).resolve().parents[1])
MAIN = f"import sys; sys.path.insert(0, {FOLDER!r}); from rookery.cli.main import main; main()"


def command(*arguments: str) -> list[str]:
    """The command line, with this interpreter and this core."""
    return [sys.executable, "-c", MAIN, *arguments]


def rookery(
    *arguments: str, stdin: bytes = b"", **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end."""
    return subprocess.run(
        command(*arguments),
        check=False,
        input=stdin,
        capture_output=True,
        timeout=SECONDS_MAX,
        **options,
    )


def rookery_open(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start; what it writes can be read."""
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )
