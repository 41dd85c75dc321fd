"""How commands come by a password: from a file, from standard input, or typed in twice."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer


class Algorithm(StrEnum):
    """The hashes that can be made, by their names."""

    ARGON2ID = "argon2id"
    BCRYPT = "bcrypt"
    SCRYPT = "scrypt"
    PBKDF2_SHA256 = "pbkdf2-sha256"
    PBKDF2_SHA512 = "pbkdf2-sha512"
    SHA256 = "sha256"
    SHA512 = "sha512"


PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Read the password from a file's first line.",
    ),
]
PasswordStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from the first line that comes in."),
]
HashAlgorithm = Annotated[
    Algorithm,
    typer.Option(
        "--algorithm",
        "-a",
        help="How to hash it. sha256 and sha512 are soon guessed by someone who has read the hash.",
    ),
]


Printed = Literal[
    "argon2id",
    "bcrypt",
    "scrypt",
    "pbkdf2-sha256",
    "pbkdf2-sha512",
    "sha256",
    "sha512",
    "scram-sha-256",
    "scram-sha-512",
]
"""What can be printed: the hashes, and verifiers for ``authentication.scram``."""


def hashed_or_exit(file: Path | None, stdin: bool, algorithm: Algorithm | Printed) -> str:
    """Get the password and hash it; exit with 1 where it cannot be one."""
    from rookery.auth.hashes import PasswordFormatError
    from rookery.auth.passwords import hash_password
    from rookery.auth.scram_verifier import VerifierFault, make_verifier

    password = _password(file, stdin)
    if not password:
        typer.echo("rookery: an empty password is none", err=True)
        raise typer.Exit(1)
    try:
        if algorithm.startswith("scram-"):
            return str(make_verifier(password, algorithm.upper()))
        return hash_password(password, str(algorithm))
    except (PasswordFormatError, VerifierFault) as error:
        typer.echo(f"rookery: {error}", err=True)
        raise typer.Exit(1) from None


def _password(file: Path | None, stdin: bool) -> str:
    if file is not None and stdin:
        raise typer.BadParameter("--password-file and --password-stdin exclude each other")
    if file is not None:
        return _first_line(file.read_bytes())
    if stdin:
        return _first_line(sys.stdin.buffer.readline())
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "there is nobody to ask for the password; give --password-stdin or --password-file"
        )
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return typed


def _first_line(raw: bytes) -> str:
    try:
        return raw.partition(b"\n")[0].removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        typer.echo("rookery: the password is not UTF-8", err=True)
        raise typer.Exit(1) from None
