"""What commands on the access database share: where it lies, who changes it, and how its faults are told."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rookery.cli.options import load_or_exit

if TYPE_CHECKING:
    from rookery.auth.access.file import AccessFile
    from rookery.config import Loaded


def access_or_exit(file: Path | None, overrides: list[str] | None) -> "tuple[AccessFile, Loaded]":
    """The access database of the configured node, and its configuration; exit with 1 where that is wrong."""
    loaded = load_or_exit(file, overrides)
    return access_of(loaded), loaded


def access_of(loaded: "Loaded") -> "AccessFile":
    """The access database beside the store; it is there with every durability."""
    from rookery.auth.access.file import AccessFile
    from rookery.config import access_directory

    return AccessFile(access_directory(loaded))


def stored_users(loaded: "Loaded") -> int:
    """How many users the access database has; 0 where it cannot be read, which a start tells."""
    from rookery.auth.access.file import AccessFault
    from rookery.auth.access.users import users_of

    try:
        with access_of(loaded).reading() as connection:
            return len(users_of(connection))
    except AccessFault:
        return 0


def operator() -> str:
    """Who runs the command, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A user id without a name, as in a container.
        import os

        return f"uid {os.getuid()}"


@contextmanager
def access_faults_told() -> Iterator[None]:
    """Tell what goes wrong on standard error and exit with 1."""
    from rookery.auth.watch import FileFault

    try:
        yield
    except FileFault as fault:
        typer.echo(f"rookery: {fault}", err=True)
        raise typer.Exit(1) from None
