"""``rookery pub``: publish one message, or one for each line that comes in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rookery.cli import remote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rookery.mqtt.properties import Properties

STDIN = 0
READ_BYTES = 65_536
AHEAD_MAX = 1_000
"""Lines that may wait for their acknowledgement at once."""


def pub(
    topic: Annotated[str, typer.Option("--topic", "-t", help="The topic name.")],
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="The payload, as UTF-8.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Publish a file; - is standard input."),
    ] = None,
    lines: Annotated[
        bool,
        typer.Option("--lines", "-l", help="Publish each line of standard input as it comes."),
    ] = False,
    null: Annotated[
        bool, typer.Option("--null", "-n", help="Publish an empty payload; -r clears with it.")
    ] = False,
    qos: remote.Qos = 0,
    retain: Annotated[
        bool, typer.Option("--retain", "-r", help="Have the node keep it as retained message.")
    ] = False,
    expiry_seconds: Annotated[
        int | None,
        typer.Option(min=0, max=0xFFFFFFFF, help="Seconds until it is no longer delivered (5)."),
    ] = None,
    user_property: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Add a user property (5). Repeatable."),
    ] = None,
    host: remote.Host = "localhost",
    port: remote.Port = None,
    unix: remote.Unix = None,
    client_id: remote.ClientId = None,
    username: remote.Username = None,
    password: remote.Password = None,
    password_file: remote.PasswordFile = None,
    version: remote.ProtocolVersion = remote.Version.V5,
    tls: remote.Tls = False,
    cafile: remote.CaFile = None,
    cert: remote.Certificate = None,
    key: remote.Key = None,
    insecure: remote.Insecure = False,
) -> None:
    """Publish to a node. Done (0) means acknowledged, where the QoS has acknowledgements."""
    from rookery.mqtt.topics import validate_topic_name

    if [message is not None, file is not None, lines, null].count(True) != 1:
        raise typer.BadParameter("give one of --message, --file, --lines and --null")
    if not validate_topic_name(topic):
        raise typer.BadParameter(f"{topic!r} is no topic name", param_hint="--topic")
    properties = _properties(version, expiry_seconds, user_property or [])
    target = remote.Remote(
        host,
        port,
        unix,
        client_id,
        username,
        password,
        password_file,
        version,
        tls,
        cafile,
        cert,
        key,
        insecure,
    )
    payloads = _lines() if lines else _one(message, file)
    remote.run(target, _publish(target, topic, payloads, qos, retain, properties))


async def _publish(
    target: remote.Remote,
    topic: str,
    payloads: AsyncIterator[bytes],
    qos: int,
    retain: bool,
    properties: Properties | None,
) -> int:
    """Publish all payloads in their order, the next before the last is acknowledged."""
    import asyncio

    places = asyncio.Semaphore(AHEAD_MAX)
    async with target.client() as client:

        async def publish(payload: bytes) -> None:
            try:
                await client.publish(topic, payload, qos, retain, properties)
            finally:
                places.release()

        try:
            async with asyncio.TaskGroup() as group:
                async for payload in payloads:
                    await places.acquire()
                    group.create_task(publish(payload))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return 0


def _one(message: str | None, file: Path | None) -> AsyncIterator[bytes]:
    """The single payload; a file is read before anything is sent."""
    if file is None:
        return _only(os.fsencode(message or ""))
    if str(file) == "-":
        return _whole_input()
    try:
        return _only(file.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--file") from None


async def _only(payload: bytes) -> AsyncIterator[bytes]:
    yield payload


async def _whole_input() -> AsyncIterator[bytes]:
    yield b"".join([data async for data in _standard_input()])


async def _lines() -> AsyncIterator[bytes]:
    rest = b""
    async for data in _standard_input():
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest


async def _standard_input() -> AsyncIterator[bytes]:
    """What comes, when it comes, without a thread that could not be stopped."""
    import asyncio
    import select

    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(STDIN, readable.set)
    except PermissionError:
        readable.set()  # A file, which the loop cannot wait for, is always readable.
    try:
        while True:
            await readable.wait()
            # The loop's word may be older than the last read, and a read for nothing would block.
            if not select.select([STDIN], [], [], 0)[0]:
                readable.clear()
                continue
            data = os.read(STDIN, READ_BYTES)
            if not data:
                return
            yield data
    finally:
        loop.remove_reader(STDIN)


def _properties(
    version: remote.Version, expiry_seconds: int | None, user_properties: list[str]
) -> Properties | None:
    from rookery.mqtt.properties import Properties

    if expiry_seconds is None and not user_properties:
        return None
    if version is not remote.Version.V5:
        raise typer.BadParameter("properties need --version 5")
    properties = Properties()
    properties.message_expiry_interval = expiry_seconds
    for pair in user_properties:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--user-property")
        properties.user_properties.append((name, value))
    return properties
