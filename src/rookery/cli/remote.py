"""What ``pub`` and ``sub`` share: the options that say how to reach a node, and how they end.

The letters are those of ``mosquitto_pub`` and ``mosquitto_sub`` wherever these have one.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

    from rookery.client import Client
    from rookery.mqtt.properties import Properties

FROM_ENVIRONMENT = "ROOKERY_PASSWORD"
PORT, TLS_PORT = 1883, 8883
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended, as shells have it."""
CLIENT_ID_3_1_MAX = 23
"""Characters of a client id that every 3.1 node takes."""


class Version(StrEnum):
    """The protocol versions by their names."""

    V3_1 = "3.1"
    V3_1_1 = "3.1.1"
    V5 = "5"

    @property
    def level(self) -> int:
        """The number on the wire."""
        return {"3.1": 3, "3.1.1": 4, "5": 5}[self.value]


Host = Annotated[str, typer.Option("--host", "-h", help="The node's host.")]
Port = Annotated[
    int | None,
    typer.Option("--port", "-p", min=1, max=65_535, help="Its port; 1883, with TLS 8883."),
]
Unix = Annotated[Path | None, typer.Option("--unix", metavar="PATH", help="A unix socket instead.")]
ClientId = Annotated[
    str | None, typer.Option("--id", "-i", help="The client id; one made up by default.")
]
Username = Annotated[str | None, typer.Option("--username", "-u", help="The user's name.")]
Password = Annotated[
    str | None,
    typer.Option(
        "--password",
        "-P",
        help=f"The password. Others can see it here; ${FROM_ENVIRONMENT} and --password-file hide it.",
    ),
]
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
ProtocolVersion = Annotated[Version, typer.Option("--version", "-V", help="The MQTT version.")]
Qos = Annotated[int, typer.Option("--qos", "-q", min=0, max=2, help="The quality of service.")]
Tls = Annotated[bool, typer.Option("--tls", help="Use TLS, trusting whom the system trusts.")]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--cafile",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Use TLS, trusting these authorities (PEM).",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Show this certificate (PEM); with --key.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="The certificate's private key (PEM).",
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Use TLS without checking who answers.")]


@dataclass
class Remote:
    """How to reach a node and as whom; a bad combination is a wrong command line."""

    host: str
    port: int | None
    unix: Path | None
    client_id: str | None
    username: str | None
    password: str | None
    password_file: Path | None
    version: Version
    tls: bool
    cafile: Path | None
    certificate: Path | None
    key: Path | None
    insecure: bool
    clean_start: bool = True
    properties: Properties | None = None
    context: ssl.SSLContext | None = field(init=False)

    def __post_init__(self) -> None:
        if self.key is not None and self.certificate is None:
            raise typer.BadParameter("--key needs --cert")
        if self.password_file is not None and self.password is not None:
            raise typer.BadParameter("--password and --password-file exclude each other")
        password_given = self.password is not None or self.password_file is not None
        if password_given and self.username is None and self.version is not Version.V5:
            raise typer.BadParameter("before version 5 a password needs --username")
        self.context = self._context()

    def client(self) -> Client:
        """The client, not connected yet. Needs a running loop."""
        from rookery.actors.clock import new_client_id
        from rookery.client import Client

        client_id = self.client_id
        if client_id is None:
            client_id = new_client_id()[:CLIENT_ID_3_1_MAX]
        return Client(
            self.host,
            self._port,
            client_id=client_id,
            version=self.version.level,
            username=self.username,
            password=self._password(),
            clean_start=self.clean_start,
            properties=self.properties,
            tls=self.context,
            unix_path=self.unix,
        )

    @property
    def where(self) -> str:
        """The address, for people."""
        return f"{self.host}:{self._port}" if self.unix is None else str(self.unix)

    @property
    def _port(self) -> int:
        if self.port is not None:
            return self.port
        return PORT if self.context is None else TLS_PORT

    def _password(self) -> bytes | None:
        if self.password is not None:
            return self.password.encode()
        if self.password_file is not None:
            return self.password_file.read_bytes().partition(b"\n")[0].removesuffix(b"\r")
        if self.username is not None and FROM_ENVIRONMENT in os.environ:
            return os.environb[FROM_ENVIRONMENT.encode()]
        return None

    def _context(self) -> ssl.SSLContext | None:
        if not (self.tls or self.cafile or self.certificate or self.insecure):
            return None
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.cafile)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise typer.BadParameter(f"--cafile, --cert or --key: {error}") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def run(target: Remote, work: Coroutine[None, None, int]) -> None:
    """Run a command's work, then exit: with its code, with 1 and a word about why, or as told.

    A reader of standard output that has had enough, as ``head`` has, is no failure.
    """
    import asyncio

    from rookery.client import ClientError

    try:
        code = asyncio.run(work)
    except BrokenPipeError:
        # Python would try once more to write what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (ClientError, OSError) as error:
        typer.echo(f"rookery: {target.where}: {error}", err=True)
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)
