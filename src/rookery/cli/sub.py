"""``rookery sub``: print the messages of topic filters as they come."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rookery.cli import remote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rookery.client import Client
    from rookery.mqtt.packets import Publish
    from rookery.mqtt.properties import Properties

    LineOf = Callable[[Publish], bytes]

TIME_UP = 27
"""The exit code when ``--timeout`` ended the command, the same as of ``mosquitto_sub``."""


def sub(
    topic: Annotated[list[str], typer.Option("--topic", "-t", help="A topic filter. Repeatable.")],
    qos: remote.Qos = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the topic name before each payload.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each message.")
    ] = False,
    count: Annotated[
        int | None, typer.Option("--count", "-C", min=1, help="Exit after so many messages.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", "-W", min=0, metavar="SECONDS", help="Exit with 27 after so many seconds."
        ),
    ] = None,
    keep_session: Annotated[
        bool,
        typer.Option(
            "--keep-session",
            "-c",
            help="Resume the session of --id, and leave it behind for the next time.",
        ),
    ] = False,
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
    """Subscribe to a node and print each payload with a line break after it, until interrupted.

    Exit codes: 0 after --count messages, 1 when the node refused or was lost, 27 after --timeout.
    """
    from rookery.mqtt.topics import validate_topic_filter

    for topic_filter in topic:
        if not validate_topic_filter(topic_filter, levels_max=65_535):
            raise typer.BadParameter(f"{topic_filter!r} is no topic filter", param_hint="--topic")
    if keep_session and client_id is None:
        raise typer.BadParameter("--keep-session needs --id")
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
        clean_start=not keep_session,
        properties=_never_expiring() if keep_session else None,
    )
    line_of = json_line if as_json else topic_line if verbose else payload_line
    remote.run(target, _print(target, topic, qos, line_of, count, timeout))


async def _print(
    target: remote.Remote,
    topic_filters: list[str],
    qos: int,
    line_of: LineOf,
    count: int | None,
    timeout_seconds: float | None,
) -> int:
    import asyncio

    try:
        async with asyncio.timeout(timeout_seconds) as limit, target.client() as client:
            await _subscribe(client, topic_filters, qos)
            await _print_messages(client.messages(), line_of, count)
    except TimeoutError:
        if limit.expired():
            return TIME_UP
        raise
    return 0


async def _subscribe(client: Client, topic_filters: list[str], qos: int) -> None:
    """Subscribe to all; what is refused is told, and when all are there is nothing to wait for."""
    from rookery.client import ClientError
    from rookery.client.errors import told
    from rookery.mqtt.packets import SubscriptionRequest

    requests = [SubscriptionRequest(topic_filter, qos) for topic_filter in topic_filters]
    refused = 0
    for topic_filter, code in zip(topic_filters, await client.subscribe(requests), strict=True):
        if code >= 0x80:
            refused += 1
            typer.echo(f"rookery: {topic_filter}: {told(code, None)}", err=True)
    if refused == len(topic_filters):
        raise ClientError("every subscription was refused")


async def _print_messages(
    messages: AsyncIterator[Publish], line_of: LineOf, count: int | None
) -> None:
    printed = 0
    async for message in messages:
        sys.stdout.buffer.write(line_of(message) + b"\n")
        sys.stdout.buffer.flush()
        printed += 1
        if printed == count:
            return


def payload_line(message: Publish) -> bytes:
    """The payload as it is."""
    return message.payload


def topic_line(message: Publish) -> bytes:
    """The topic name, a space and the payload."""
    return message.topic.encode() + b" " + message.payload


def json_line(message: Publish) -> bytes:
    """All of the message as a JSON object; bytes that are no UTF-8 as ``..._base64``."""
    shown: dict[str, Any] = {"topic": message.topic, "qos": message.qos, "retain": message.retain}
    _show(shown, "payload", message.payload)
    if message.properties is not None:
        shown["properties"] = _shown_properties(message.properties)
    return json.dumps(shown, ensure_ascii=False).encode()


def _shown_properties(properties: Properties) -> dict[str, Any]:
    """The properties that are there, by their names in the standard."""
    from rookery.mqtt.properties import PROPERTIES

    shown: dict[str, Any] = {}
    for row in PROPERTIES.values():
        value = getattr(properties, row.name)
        if isinstance(value, bytes):
            _show(shown, row.name, value)
        elif value is not None and value != []:
            shown[row.name] = value
    return shown


def _show(shown: dict[str, Any], name: str, value: bytes) -> None:
    try:
        shown[name] = value.decode()
    except UnicodeDecodeError:
        shown[f"{name}_base64"] = base64.b64encode(value).decode()


def _never_expiring() -> Properties:
    from rookery.mqtt.properties import Properties
    from rookery.mqtt.types import SESSION_NEVER_EXPIRES

    properties = Properties()
    properties.session_expiry_interval = SESSION_NEVER_EXPIRES
    return properties
