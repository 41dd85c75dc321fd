"""A WebSocket client of a few lines over a blocking socket, for tests: frames by hand, right or wrong."""

import base64
import os
import socket
from typing import Final, Self

from tests.support.wire_client import READ_SECONDS_MAX

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10


class WebSocket:
    """A stream of the bytes in binary frames; usable wherever a test client wants a socket."""

    def __init__(self, address: tuple[str, int], sub_protocols: str | None = "mqtt") -> None:
        self._socket = socket.create_connection(address, READ_SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self.close_frame: bytes | None = None
        self.status, self.headers = self._open(address, sub_protocols)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sub_protocol(self) -> str | None:
        """What the broker chose."""
        return self.headers.get("sec-websocket-protocol")

    def _open(
        self, address: tuple[str, int], sub_protocols: str | None
    ) -> tuple[int, dict[str, str]]:
        lines = [
            "GET /mqtt HTTP/1.1",
            f"Host: {address[0]}:{address[1]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if sub_protocols is not None:
            lines.append(f"Sec-WebSocket-Protocol: {sub_protocols}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._data:
            self._fill()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        status_line, *header_lines = head.decode().split("\r\n")
        pairs = (line.partition(":") for line in header_lines)
        return int(status_line.split()[1]), {key.lower(): text.strip() for key, _, text in pairs}

    def _fill(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("the broker closed the connection")
        self._data += data

    def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            self._fill()
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def send_frame(
        self, opcode: int, payload: bytes, *, final: bool = True, masked: bool = True
    ) -> None:
        """Write one frame."""
        length, bit = len(payload), 0x80 if masked else 0
        if length < 126:
            size = bytes([bit | length])
        elif length < 65536:
            size = bytes([bit | 126]) + length.to_bytes(2, "big")
        else:
            size = bytes([bit | 127]) + length.to_bytes(8, "big")
        if masked:
            mask = os.urandom(4)
            stream = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
            hidden = int.from_bytes(payload, "big") ^ stream
            size, payload = size + mask, hidden.to_bytes(length, "big")
        self._socket.sendall(bytes([0x80 * final | opcode]) + size + payload)

    def receive_frame(self) -> tuple[int, bytes]:
        """The next frame of the broker: its opcode and its bytes."""
        first, second = self._take(2)
        assert not second & 0x80, "a server does not mask"
        assert not first & 0x70, "a reserved bit is set"
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        return first & 0x0F, self._take(length)

    # What a test client asks of a socket

    def sendall(self, data: bytes, /) -> None:
        """Write the bytes in one binary frame."""
        self.send_frame(BINARY, data)

    def recv(self, count: int, /) -> bytes:
        """The bytes of the next binary frame; none when the broker closes."""
        opcode, payload = self.receive_frame()
        if opcode == CLOSE:
            self.close_frame = payload
            return b""
        # [MQTT-6.0.0-1] MQTT is in binary frames only.
        assert opcode in (BINARY, CONTINUATION), f"a data frame with the opcode {opcode}"
        return payload

    def settimeout(self, seconds: float, /) -> None:
        """Bound the waits that follow."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Close the TCP connection."""
        self._socket.close()
