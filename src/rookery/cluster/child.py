"""Starts a program that ends with us, even when we end without a word.

Linux sends a process the signal it asked for when its parent is gone (``PR_SET_PDEATHSIG``). The request must be
made between fork and exec, where Python code of a process with threads may wait for a lock that nobody holds any
more. So it is made by a small Python of its own, this file, which then becomes the program.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def command(program: Sequence[str]) -> list[str]:
    """What to run in place of ``program`` so that it is sent SIGTERM when this process ends."""
    if sys.platform != "linux":
        return list(program)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *program]


def main(arguments: Sequence[str]) -> None:
    """Ask for the signal and become the program."""
    parent, *program = arguments
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # A parent that ended before the request was made sends no signal any more.
    if os.getppid() == int(parent):
        os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
