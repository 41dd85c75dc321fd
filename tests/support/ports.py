"""Ports for programs that cannot be told to let the system choose."""

import socket
from contextlib import ExitStack


def free_row(count: int) -> int:
    """The first of so many neighbouring ports that were free a moment ago."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            try:
                for port in range(first + 1, first + count):
                    held.enter_context(socket.create_server(("", port)))
            except (OSError, OverflowError):
                continue
            return first
