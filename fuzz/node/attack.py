"""One hostile connection, from open to its rude end."""

import asyncio
import os
import socket
import struct
from typing import Final

from fuzz.node.streams import Script

SECONDS_MAX: Final = 5.0
"""How long one connection may take; a node that does not read is left alone after that."""
READ_BYTES: Final = 65_536
UPGRADE: Final = (
    b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing throws away what is unsent and resets the connection."""


async def attack(script: Script, tcp: tuple[str, int], web_socket: tuple[str, int]) -> None:
    """Send what the script says; however the node answers is right."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await _attack(script, web_socket if script.web_socket else tcp)
    except (TimeoutError, OSError):
        pass


async def _attack(script: Script, address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    try:
        if script.web_socket:
            writer.write(UPGRADE)
        for piece in script.pieces:
            framed = script.web_socket and not script.raw
            writer.write(_frame(piece) if framed else piece)
            await writer.drain()
            await asyncio.sleep(0)
        if script.reads:
            await _read_some(reader)
        if script.resets:
            linger = writer.get_extra_info("socket")
            linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    finally:
        writer.close()


async def _read_some(reader: asyncio.StreamReader) -> None:
    try:
        async with asyncio.timeout(0.05):
            while await reader.read(READ_BYTES):
                pass
    except TimeoutError:
        pass


def _frame(payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 65_536:
        size = bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    stream = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    hidden = int.from_bytes(payload, "big") ^ stream
    return b"\x82" + size + mask + hidden.to_bytes(length, "big")
